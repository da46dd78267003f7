"""Convolutions with weights of their own for each degradation, mixed by a photo's ingredients.

As in CondConv (Yang et al., NeurIPS 2019, arXiv 1904.04971), but what mixes are the ingredients, which the routers find
anyway. All tiles of a photo share them, so that restoring costs what one convolution costs.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from idrestore.model.layers import ResidualBlock


class MixedConv2d(nn.Module):
    """A convolution of stride 1 that keeps height and width, with the weight Σ_k w_k W_k and the bias Σ_k w_k b_k.

    All K weights start as the same one; `num_added` more belong to degradations that were learned later.
    """

    def __init__(self, dim: int, out: int, kernel: int, bias: bool, num_degradations: int, num_added: int = 0) -> None:
        super().__init__()

        def convolutions(number: int) -> nn.ModuleList:
            return nn.ModuleList(nn.Conv2d(dim, out, kernel, padding=kernel // 2, bias=bias) for _ in range(number))

        self.of = convolutions(num_degradations)
        self.added = convolutions(num_added)
        self.share_start()

    @property
    def all(self) -> list[nn.Conv2d]:
        """The convolutions of all degradations, in label order."""
        return cast("list[nn.Conv2d]", [*self.of, *self.added])

    @torch.no_grad()
    def share_start(self) -> None:
        """Give all degradations the first one's weight."""
        first, *others = self.all
        for other in others:
            other.load_state_dict(first.state_dict())

    def forward(self, x: Tensor, ingredients: Tensor) -> Tensor:
        """Convolve (B, C, H, W) by each photo's own mixture, for ingredients (B, K)."""
        padding = self.all[0].padding
        if len(x) == 1 or torch.equal(ingredients, ingredients[:1].expand_as(ingredients)):
            return F.conv2d(x, *self.mixed(ingredients[0]), padding=padding)
        parts = (F.conv2d(x[k : k + 1], *self.mixed(row), padding=padding) for k, row in enumerate(ingredients))
        return torch.cat(list(parts))

    def mixed(self, shares: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias for shares (K,)."""
        weight = sum(share * each.weight for share, each in zip(shares, self.all, strict=True))
        biases = [each.bias for each in self.all]
        bias = None if biases[0] is None else sum(s * b for s, b in zip(shares, biases, strict=True) if b is not None)
        return cast("tuple[Tensor, Tensor | None]", (weight, bias))


class MixedResidualBlock(ResidualBlock):
    """A residual block whose two convolutions are mixed."""

    def __init__(self, dim: int, num_degradations: int, num_added: int = 0) -> None:
        super().__init__(dim)
        self.first, self.second = (  # type: ignore[assignment]
            MixedConv2d(dim, dim, 3, True, num_degradations, num_added) for _ in range(2)
        )

    def forward(self, x: Tensor, ingredients: Tensor) -> Tensor:  # type: ignore[override]
        return x + self.second(F.relu(self.first(x, ingredients)), ingredients)


class MixedSequential(nn.Sequential):
    """Layers in turn, of which those that are mixed get the ingredients (B, K)."""

    def forward(self, x: Tensor, ingredients: Tensor) -> Tensor:  # type: ignore[override]
        for layer in self:
            is_mixed = isinstance(layer, MixedConv2d | MixedResidualBlock)
            x = layer(x, ingredients) if is_mixed else layer(x)
        return x
