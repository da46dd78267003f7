"""Convolutions with weights of their own for each degradation, mixed by a photo's ingredients.

As in CondConv (Yang et al., NeurIPS 2019, arXiv 1904.04971), but what mixes are the ingredients, which the routers find
anyway. All tiles of a photo share them, so that restoring costs what one convolution costs.
"""

import copy
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from idrestore.model.layers import Convolution, ResidualBlock, residual


def photo_by_photo(layer: Callable[[Tensor, Tensor], Tensor], x: Tensor, ingredients: Tensor) -> Tensor:
    """Apply a layer of (B, C, H, W) and shares (K,) to photos and their ingredients (B, K), at once if those agree."""
    if len(x) == 1 or torch.equal(ingredients, ingredients[:1].expand_as(ingredients)):
        return layer(x, ingredients[0])
    # `split`, since the gradient of each x[k : k + 1] would be as large as x.
    return torch.cat([layer(photo, shares) for photo, shares in zip(x.split(1), ingredients, strict=True)])


class PerDegradationConv2d(nn.Module):
    """A convolution of stride 1 that keeps height and width, with the weight Σ_k w_k W_k and the bias Σ_k w_k b_k.

    All K weights start as those of `start`; `num_added` more belong to degradations that were learned later.
    """

    def __init__(self, start: nn.Conv2d, num_degradations: int, num_added: int = 0) -> None:
        super().__init__()
        self.of = nn.ModuleList(copy.deepcopy(start) for _ in range(num_degradations))
        self.added = nn.ModuleList(copy.deepcopy(start) for _ in range(num_added))

    @property
    def all(self) -> list[nn.Conv2d]:
        """The convolutions of all degradations, in label order."""
        return cast("list[nn.Conv2d]", [*self.of, *self.added])

    def forward(self, x: Tensor, ingredients: Tensor) -> Tensor:
        """Convolve (B, C, H, W) by each photo's own mixture, for ingredients (B, K)."""
        padding = self.all[0].padding
        return photo_by_photo(lambda part, shares: F.conv2d(part, *self.mixed(shares), padding=padding), x, ingredients)

    def mixed(self, shares: Tensor) -> Convolution:
        """Return weight and bias for shares (K,)."""
        weight = sum(share * each.weight for share, each in zip(shares, self.all, strict=True))
        biases = [each.bias for each in self.all]
        bias = None if biases[0] is None else sum(s * b for s, b in zip(shares, biases, strict=True) if b is not None)
        return cast("Convolution", (weight, bias))


class PerDegradationResidualBlock(nn.Module):
    """A residual block whose two convolutions are mixed, and start as those of `start`."""

    fuse = False
    """As that of `ResidualBlock`."""

    def __init__(self, start: ResidualBlock, num_degradations: int, num_added: int = 0) -> None:
        super().__init__()
        self.first = PerDegradationConv2d(start.first, num_degradations, num_added)
        self.second = PerDegradationConv2d(start.second, num_degradations, num_added)

    def forward(self, x: Tensor, ingredients: Tensor) -> Tensor:
        return photo_by_photo(
            lambda part, shares: residual(part, self.first.mixed(shares), self.second.mixed(shares), self.fuse),
            x,
            ingredients,
        )


class PerDegradationSequential(nn.Sequential):
    """Layers in turn, of which those that are mixed get the ingredients (B, K)."""

    def forward(self, x: Tensor, ingredients: Tensor) -> Tensor:  # type: ignore[override]
        for layer in self:
            x = through(layer, x, ingredients)
        return x


def per_degradation(layer: nn.Module, num_degradations: int, num_added: int = 0) -> nn.Module:
    """Return a layer, or layers in turn, with weights for each degradation; at first it does what `layer` does."""
    number = num_degradations, num_added
    if isinstance(layer, nn.Conv2d):
        return PerDegradationConv2d(layer, *number)
    if isinstance(layer, ResidualBlock):
        return PerDegradationResidualBlock(layer, *number)
    if isinstance(layer, nn.Sequential):
        return PerDegradationSequential(*(per_degradation(each, *number) for each in layer))
    return layer  # has no weights


def through(layer: nn.Module, x: Tensor, ingredients: Tensor) -> Tensor:
    """Apply a layer that may be mixed by ingredients (B, K)."""
    is_mixed = isinstance(layer, PerDegradationConv2d | PerDegradationResidualBlock | PerDegradationSequential)
    return cast("Tensor", layer(x, ingredients) if is_mixed else layer(x))
