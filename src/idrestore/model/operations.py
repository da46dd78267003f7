"""Ad hoc operations: a degradation is undone by the kind of operation that caused it.

Additive (noise, rain, clean) x + r; affine (haze, low light) (1 + Δγ)·x + β; convolutive (blur) a 5x5 kernel δ + Δk for
every pixel and channel. All work on the features x = F and are mixed in parallel, x + Σ_k w_k · change_k(x): each
operation returns only its change, whose predictor ends in zeros at step 0, so that every operation and every mixture
starts as the identity, and one-hot weights give one operation exactly.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from idrestore.degradations import Operation
from idrestore.model.layers import ResidualBlock, joined, mix_channels, strips, zero

KERNEL = 5
"""Side of the convolutive operation's kernels."""
NUM_FILTERS = 8
"""Learned filters that the shared form mixes in each pixel instead of predicting a free kernel."""
BOTTLENECK = 16
"""Channels on which those filters work."""


class Predictor(nn.Sequential):
    """Predict an operation's parameters from the context (B, 2C, H, W); zero at step 0."""

    def __init__(self, dim: int, num_parameters: int) -> None:
        super().__init__(
            nn.Conv2d(2 * dim, dim, 3, padding=1),
            ResidualBlock(dim),
            ResidualBlock(dim),
            zero(nn.Conv2d(dim, num_parameters, 1)),
        )


class Additive(nn.Module):
    """Change x by r: noise, rain."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.predict = Predictor(dim, dim)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        return self.predict(context)


class Affine(nn.Module):
    """Change x by Δγ·x + β: haze, low light."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.predict = Predictor(dim, 2 * dim)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        gain, offset = self.predict(context).chunk(2, dim=1)
        return gain * x + offset


class Convolutive(nn.Module):
    """Change x by its convolution with a kernel Δk of its own in every pixel and channel: blur."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.predict = Predictor(dim, KERNEL**2 * dim)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        *trunk, head = self.predict
        hidden = context
        for layer in trunk:
            hidden = layer(hidden)
        padded = F.pad(x, [KERNEL // 2] * 4, mode="replicate")

        def strip(rows: slice) -> Tensor:  # 25 C parameters a pixel are too many for a whole photo
            kernels = head(hidden[:, :, rows]).unflatten(1, (KERNEL**2, -1))  # (B, 25, C, h, W)
            return filter_pixels(padded[:, :, rows.start : rows.stop + KERNEL - 1], kernels)

        return joined(map(strip, strips(x)), x.shape[2])


def filter_pixels(padded: Tensor, kernels: Tensor) -> Tensor:
    """Filter each pixel and channel by its own kernel (B, 25, C, H, W); `padded` is (B, C, H + 4, W + 4)."""
    height, width = kernels.shape[-2:]
    result = torch.zeros_like(kernels[:, 0])
    for tap in range(KERNEL**2):  # never materialises the 25 shifted copies
        row, column = divmod(tap, KERNEL)
        shifted = padded[..., row : row + height, column : column + width]
        result = torch.addcmul(result, kernels[:, tap], shifted.to(result.dtype))
    return result


OPERATIONS: dict[Operation, type[Additive] | type[Affine] | type[Convolutive]] = {
    "additive": Additive,
    "affine": Affine,
    "convolutive": Convolutive,
}


class SeparateOperations(nn.Module):
    """Operations with a predictor of their own each (preset `paper`)."""

    def __init__(self, dim: int, operations: tuple[Operation, ...]) -> None:
        super().__init__()
        self.operations = nn.ModuleList(OPERATIONS[operation](dim) for operation in operations)

    def forward(self, x: Tensor, context: Tensor, shares: Tensor, active: Sequence[bool] | None = None) -> Tensor:
        """Return x + Σ_o w_o · change_o(x) for x (B, C, H, W), context (B, 2C, H, W), and shares w (B, O).

        `active`, O long, says which terms of the sum to compute, None all.
        """
        result = x
        for k, operation in enumerate(self.operations):
            if active is None or active[k]:
                result = result + shares[:, k, None, None, None].to(x.dtype) * operation(x, context)
        return result


class SharedOperations(nn.Module):
    """All operations on one trunk of half the width, with a linear head each (preset `fast`).

    The heads are linear and every change is linear in them, so the sum over operations moves into the weights: one
    matrix (2C x C/2), mixed for each photo, predicts gain and offset of everything additive and affine together. A
    convolutive operation mixes `NUM_FILTERS` learned 5x5 filters in each pixel, on a bottleneck of the features.
    """

    def __init__(self, dim: int, operations: tuple[Operation, ...]) -> None:
        super().__init__()
        hidden = dim // 2
        self.operations = operations
        # What an operation may predict: additive an offset, affine gain and offset, convolutive neither.
        gain_and_offset = {"additive": (0.0, 1.0), "affine": (1.0, 1.0), "convolutive": (0.0, 0.0)}
        allowed = torch.tensor([gain_and_offset[operation] for operation in operations])
        convolutive = torch.tensor([float(operation == "convolutive") for operation in operations])
        self.register_buffer("allowed", allowed, persistent=False)  # (O, 2)
        self.register_buffer("convolutive", convolutive, persistent=False)  # (O,)
        self.trunk = nn.Sequential(
            nn.Conv2d(2 * dim, hidden, 3, padding=1), nn.ReLU(inplace=True), ResidualBlock(hidden)
        )
        self.weight = nn.Parameter(torch.zeros(len(operations), 2, dim, hidden))
        self.bias = nn.Parameter(torch.zeros(len(operations), 2, dim))
        if "convolutive" in operations:
            self.squeeze = nn.Conv2d(dim, BOTTLENECK, 1)
            self.filters = nn.Conv2d(BOTTLENECK, NUM_FILTERS * BOTTLENECK, KERNEL, bias=False)
            self.choose_filters = zero(nn.Conv2d(hidden, NUM_FILTERS, 1))
            self.expand = nn.Conv2d(BOTTLENECK, dim, 1, bias=False)

    allowed: Tensor
    convolutive: Tensor

    def forward(self, x: Tensor, context: Tensor, shares: Tensor, active: Sequence[bool] | None = None) -> Tensor:
        """Return x + Σ_o w_o · change_o(x) for x (B, C, H, W), context (B, 2C, H, W), and shares w (B, O).

        `active`, O long, says which terms to compute; only convolutive ones cost enough to be left out.
        """
        hidden = self.trunk(context)  # (B, C/2, H, W)
        parts = shares[:, :, None] * self.allowed  # (B, O, 2)
        weight = torch.einsum("bop,opch->bhpc", parts, self.weight).flatten(2)  # (B, C/2, 2C)
        bias = torch.einsum("bop,opc->bpc", parts, self.bias).flatten(1)  # (B, 2C)
        gain, offset = mix_channels(hidden, weight, bias).chunk(2, dim=1)
        result = (x + offset).addcmul_(gain, x)
        if any(kind == "convolutive" and (active is None or active[k]) for k, kind in enumerate(self.operations)):
            share = (shares @ self.convolutive)[:, None, None, None].to(x.dtype)
            result = result.add_(self._filter(share * self.squeeze(x), hidden))
        return result

    def _filter(self, squeezed: Tensor, hidden: Tensor) -> Tensor:
        """Filter the bottleneck of features (B, BOTTLENECK, H, W) by a mixture of the learned filters in every pixel.

        A filter's part in the mixture is predicted for each of its channels anew, and filters are added up by the
        convolution that expands them: both are products of matrices, which are faster than passes over memory.
        """
        padded = F.pad(squeezed, [KERNEL // 2] * 4, mode="replicate")
        weight, bias = (part.repeat_interleave(BOTTLENECK, dim=0) for part in self.choose_filters.parameters())
        expand = self.expand.weight.repeat(1, NUM_FILTERS, 1, 1)

        def strip(rows: slice) -> Tensor:
            filtered = self.filters(padded[:, :, rows.start : rows.stop + KERNEL - 1])
            return F.conv2d(filtered * F.conv2d(hidden[:, :, rows], weight, bias), expand)

        return joined(map(strip, strips(hidden)), hidden.shape[2])
