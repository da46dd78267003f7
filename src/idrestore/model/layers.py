"""Building blocks that know nothing of degradations: normalisation, transformer and residual blocks, resampling.

Written from the Restormer paper (Zamir et al., CVPR 2022, arXiv 2111.09881). Every tensor is (B, C, H, W).
"""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from idrestore.device import KERNEL_ERRORS

BRANCH = 0.3
"""Size of a residual branch at the start, relative to what it is added to."""
STRIP = 1 << 15
"""Pixels of a feature map that wide layers work on at a time: their hidden channels then fit into the cache."""


def strips(x: Tensor) -> list[slice]:
    """Return the rows of (B, C, H, W) in slices of at most `STRIP` pixels, or at least of one row.

    An exported network takes all rows at once: its height is not known yet.
    """
    height, width = x.shape[-2:]
    if torch.compiler.is_compiling():
        return [slice(0, height)]
    rows = max(1, STRIP // (len(x) * width))
    return [slice(top, min(top + rows, height)) for top in range(0, height, rows)]


def by_strips(function: Callable[[Tensor], Tensor], x: Tensor) -> Iterator[Tensor]:
    """Apply a function that looks one row up and down, and pads with zeros, to (B, C, H, W) strip by strip.

    The parts, concatenated, are `function(x)`; what the function needs in between is as small as a strip.
    """
    for rows in strips(x):
        above = min(1, rows.start)
        part = function(x[:, :, rows.start - above : rows.stop + 1])
        yield part[:, :, above : above + rows.stop - rows.start]


def joined(parts: Iterator[Tensor], height: int) -> Tensor:
    """Concatenate parts (B, C, h, W) to (B, C, height, W), with no more than two of them beside the result."""
    first = next(parts)
    if first.requires_grad or first.shape[2] == height:
        return torch.cat([first, *parts], dim=2)
    size = (*first.shape[:2], height, first.shape[3])
    result = torch.empty(size, dtype=first.dtype, device=first.device, memory_format=torch.channels_last)
    top = 0
    for part in itertools.chain([first], parts):
        result[:, :, top : top + part.shape[2]] = part
        top += part.shape[2]
    return result


def mix_channels(x: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply each pixel of (B, C, H, W) by its photo's matrix (B, C, E), and add (B, E): (B, E, H, W)."""
    if len(x) == 1:
        return F.conv2d(x, matrix[0].T[:, :, None, None].to(x.dtype), None if bias is None else bias[0].to(x.dtype))
    rows = x.flatten(2).transpose(1, 2)  # (B, HW, C), a view in channels_last
    matrix = matrix.to(rows.dtype)
    mixed = rows @ matrix if bias is None else torch.baddbmm(bias[:, None].to(rows.dtype), rows, matrix)
    return mixed.transpose(1, 2).unflatten(2, x.shape[-2:])


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        # In channels_last memory the two permutations are views and copy nothing.
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class TransposedAttention(nn.Module):
    """Multi-Dconv head transposed attention (MDTA): channels attend to channels (Restormer, Sec. 3.1)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.to_qkv = nn.Sequential(
            nn.Conv2d(dim, 3 * dim, 1, bias=False),
            nn.Conv2d(3 * dim, 3 * dim, 3, padding=1, groups=3 * dim, bias=False),
        )
        self.project = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        # A pixel's values are mixed by the scores, then projected: one matrix (B, C, C) does both.
        projection = self.project.weight.flatten(1).unflatten(1, (self.heads, -1))  # (C, heads, d)
        scores = self._scores(x)
        mixing = torch.einsum("bhde,chd->bhec", scores, projection.to(scores.dtype)).flatten(1, 2)
        values = slice(2 * x.shape[1], None)
        return joined(by_strips(lambda part: mix_channels(self._expand(part, values), mixing), x), x.shape[2])

    def _expand(self, x: Tensor, channels: slice) -> Tensor:
        """Return some of the channels of queries, keys and values, (B, 3C, H, W) in all."""
        pointwise, depthwise = (weight[channels] for weight in self.to_qkv.parameters())
        return F.conv2d(F.conv2d(x, pointwise), depthwise, padding=1, groups=len(depthwise))

    def _scores(self, x: Tensor) -> Tensor:
        """Return how much each channel attends to each other of its head, (B, heads, d, d); rows sum to 1."""
        queries_and_keys = slice(0, 2 * x.shape[1])
        products, squares = [], []
        for part in by_strips(lambda part: self._expand(part, queries_and_keys), x):
            part = part.flatten(2)
            q, k = part.unflatten(1, (2, self.heads, -1)).unbind(1)  # (B, heads, d, N)
            # One by one: a batch of them would be copied to lie in memory in one piece.
            of_heads = [a @ b.T for qs, ks in zip(q, k, strict=True) for a, b in zip(qs, ks, strict=True)]
            products.append(torch.stack(of_heads).float().unflatten(0, q.shape[:2]))
            squares.append(part.square().sum(dim=2, dtype=torch.float32))
        lengths = sum(squares[1:], squares[0]).clamp_min(1e-24).sqrt()  # (B, 2C), of each channel over the photo
        q, k = lengths.unflatten(1, (2, self.heads, -1)).unbind(1)
        cosines = sum(products[1:], products[0]) / (q[..., None] * k[..., None, :])
        return (cosines * self.temperature).softmax(dim=-1)


class GatedFeedForward(nn.Module):
    """Gated-Dconv feed-forward (GDFN): one half gates the other through GELU (Restormer, Sec. 3.2)."""

    def __init__(self, dim: int, expansion: float) -> None:
        super().__init__()
        hidden = int(dim * expansion)
        self.expand = nn.Sequential(
            nn.Conv2d(dim, 2 * hidden, 1, bias=False),
            nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False),
        )
        self.project = nn.Conv2d(hidden, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return joined(by_strips(self._feed, x), x.shape[2])

    def _feed(self, x: Tensor) -> Tensor:
        # Two halves apart, so that each lies in memory in one piece.
        pointwise, depthwise = (weight.chunk(2) for weight in self.expand.parameters())
        gate, value = (
            F.conv2d(F.conv2d(x, first), second, padding=1, groups=len(second))
            for first, second in zip(pointwise, depthwise, strict=True)
        )
        return self.project(F.gelu(gate).mul_(value))


class TransformerBlock(nn.Module):
    """x + MDTA(norm(x)), then x + GDFN(norm(x))."""

    def __init__(self, dim: int, heads: int, expansion: float) -> None:
        super().__init__()
        self.attend = nn.Sequential(ChannelNorm(dim), TransposedAttention(dim, heads))
        self.feed = nn.Sequential(ChannelNorm(dim), GatedFeedForward(dim, expansion))

    def forward(self, x: Tensor) -> Tensor:
        x = self.attend(x).add_(x)
        return self.feed(x).add_(x)


Convolution = tuple[Tensor, Tensor | None]
"""Weight (E, C, 3, 3) and bias (E,)."""


def residual(x: Tensor, first: Convolution, second: Convolution, fuse: bool) -> Tensor:
    """Return x + conv(ReLU(conv(x))).

    With `fuse`, ReLU and sum are done while what was convolved is in the processor's cache, by the kernels that torch
    has for its compiler; they know no gradients, and torch promises nothing of them: ask `can_fuse` first.
    """
    if fuse and x.device.type == "cpu":
        convolve = torch.ops.mkldnn._convolution_pointwise
        weights = [[None if part is None else part.to(x.dtype) for part in each] for each in (first, second)]
        how = [1, 1], [1, 1], [1, 1], 1  # padding, stride, dilation, groups
        hidden = convolve(x, *weights[0], *how, "relu", [], "")
        return cast("Tensor", convolve.binary(hidden, x, *weights[1], *how, "add", 1.0, None, [], ""))
    hidden = F.relu_(F.conv2d(x, *first, padding=1))
    return F.conv2d(hidden, *second, padding=1).add_(x)


@functools.cache
def can_fuse(dtype: torch.dtype) -> bool:
    """Tell whether the fused kernels of `residual` work here on such numbers, by letting them do so once."""
    x = torch.linspace(-1, 1, 4 * 8 * 8).view(1, 4, 8, 8).to(dtype, memory_format=torch.channels_last)
    convolution = torch.linspace(-0.1, 0.2, 4 * 4 * 9).view(4, 4, 3, 3).to(dtype), None
    try:
        with torch.inference_mode():
            fused, plain = (residual(x, convolution, convolution, fuse).float() for fuse in (True, False))
    except KERNEL_ERRORS:
        return False
    return torch.allclose(fused, plain, rtol=0.03, atol=0.03)  # bf16 keeps 8 bits


class ResidualBlock(nn.Module):
    """x + conv(ReLU(conv(x))) of dense 3x3 convolutions: all its work is matrix products.

    `start_as_identity` zeroes the second convolution, so that the block changes nothing at step 0.
    """

    fuse = False
    """Whether this is for inference alone, and the kernels for it work; see `residual`."""

    def __init__(self, dim: int, start_as_identity: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(dim, dim, 3, padding=1)
        self.second = nn.Conv2d(dim, dim, 3, padding=1)
        if start_as_identity:
            zero(self.second)

    def forward(self, x: Tensor) -> Tensor:
        first, second = ((each.weight, each.bias) for each in (self.first, self.second))
        return residual(x, first, second, self.fuse)


class DepthwiseFeedForward(nn.Module):
    """x + MLP(norm(x)) with a 3x3 depth-wise convolution inside; the identity at step 0."""

    def __init__(self, dim: int, expansion: float) -> None:
        super().__init__()
        hidden = int(dim * expansion)
        self.norm = ChannelNorm(dim)
        self.expand = nn.Conv2d(dim, hidden, 1)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.project = zero(nn.Conv2d(hidden, dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.project(F.gelu(self.depthwise(self.expand(self.norm(x))))).add_(x)


class Downsample(nn.Sequential):
    """Halve height and width, double the channels: convolution, then pixel-unshuffle."""

    def __init__(self, dim: int) -> None:
        super().__init__(nn.Conv2d(dim, dim // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2))


class Upsample(nn.Sequential):
    """Double height and width, halve the channels: convolution of size `kernel`, then pixel-shuffle."""

    def __init__(self, dim: int, kernel: int) -> None:
        convolution = nn.Conv2d(dim, 2 * dim, kernel, padding=kernel // 2, bias=False)
        super().__init__(convolution, nn.PixelShuffle(2))


def zero(layer: nn.Conv2d) -> nn.Conv2d:
    """Set a freshly made layer's weight and bias to zero and return it."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def keep_signal(network: nn.Module) -> None:
    """Start a network without normalisation so that its signal keeps its size from layer to layer.

    PyTorch's own start shrinks it by √3 in every convolution (He et al. 2015 say what to do instead). Residual
    branches start at `BRANCH` of that, so that their sum does not grow; what was zeroed stays zero.
    """
    if any(parameter.is_meta for parameter in network.parameters()):
        return  # shapes alone, to be compared with those of a file
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.any():
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
    for module in network.modules():
        if isinstance(module, ResidualBlock) and module.second.weight.any():
            with torch.no_grad():
                module.first.weight.mul_(2**0.5)  # the ReLU behind it halves the variance
                module.second.weight.mul_(BRANCH)
