"""Convolutions with weights of their own for each operation, mixed by the shares that a photo's ingredients give these.

There is an operation for each physics, or for each degradation (`ModelConfig.operations_by`). As in CondConv (Yang et
al., NeurIPS 2019, arXiv 1904.04971), but what mixes are the ingredients, which the routers find anyway. All tiles of a
photo have the same, so that restoring costs what one convolution costs.
"""

import copy
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from idrestore.model.layers import Convolution, ResidualBlock, residual


def photo_by_photo(layer: Callable[[Tensor, Tensor], Tensor], x: Tensor, shares: Tensor) -> Tensor:
    """Apply a layer of (B, C, H, W) and shares (O,) to photos and their shares (B, O), at once if those agree."""
    if len(x) == 1 or torch.equal(shares, shares[:1].expand_as(shares)):
        return layer(x, shares[0])
    # `split`, since the gradient of each x[k : k + 1] would be as large as x.
    return torch.cat([layer(*photo) for photo in zip(x.split(1), shares, strict=True)])


class PerOperationConv2d(nn.Module):
    """A convolution of stride 1 that keeps height and width, with the weight Σ_o w_o W_o and the bias Σ_o w_o b_o.

    All O weights start as those of `start`; `num_added` more belong to degradations that were learned later.
    """

    def __init__(self, start: nn.Conv2d, num_operations: int, num_added: int = 0) -> None:
        super().__init__()
        self.of = nn.ModuleList(copy.deepcopy(start) for _ in range(num_operations))
        self.added = nn.ModuleList(copy.deepcopy(start) for _ in range(num_added))

    @property
    def all(self) -> list[nn.Conv2d]:
        """Those of all operations, in their order."""
        return cast("list[nn.Conv2d]", [*self.of, *self.added])

    def forward(self, x: Tensor, shares: Tensor) -> Tensor:
        """Convolve (B, C, H, W) by each photo's own mixture, for shares (B, O)."""
        padding = self.all[0].padding
        return photo_by_photo(lambda part, own: F.conv2d(part, *self.mixed(own), padding=padding), x, shares)

    def mixed(self, shares: Tensor) -> Convolution:
        """Return weight and bias for shares (O,)."""
        weight = sum(share * each.weight for share, each in zip(shares, self.all, strict=True))
        biases = [each.bias for each in self.all]
        bias = None if biases[0] is None else sum(s * b for s, b in zip(shares, biases, strict=True) if b is not None)
        return cast("Convolution", (weight, bias))


class PerOperationResidualBlock(nn.Module):
    """A residual block whose two convolutions are mixed, and start as those of `start`."""

    fuse = False
    """As that of `ResidualBlock`."""

    def __init__(self, start: ResidualBlock, num_operations: int, num_added: int = 0) -> None:
        super().__init__()
        self.first = PerOperationConv2d(start.first, num_operations, num_added)
        self.second = PerOperationConv2d(start.second, num_operations, num_added)

    def forward(self, x: Tensor, shares: Tensor) -> Tensor:
        return photo_by_photo(
            lambda part, own: residual(part, self.first.mixed(own), self.second.mixed(own), self.fuse), x, shares
        )


class PerOperationSequential(nn.Sequential):
    """Layers in turn, of which those that are mixed get the shares (B, O)."""

    def forward(self, x: Tensor, shares: Tensor) -> Tensor:  # type: ignore[override]
        for layer in self:
            x = through(layer, x, shares)
        return x


def per_operation(layer: nn.Module, num_operations: int, num_added: int = 0) -> nn.Module:
    """Return a layer, or layers in turn, with weights for each operation; at first it does what `layer` does."""
    number = num_operations, num_added
    if isinstance(layer, nn.Conv2d):
        return PerOperationConv2d(layer, *number)
    if isinstance(layer, ResidualBlock):
        return PerOperationResidualBlock(layer, *number)
    if isinstance(layer, nn.Sequential):
        return PerOperationSequential(*(per_operation(each, *number) for each in layer))
    return layer  # has no weights


def through(layer: nn.Module, x: Tensor, shares: Tensor) -> Tensor:
    """Apply a layer that may be mixed by shares (B, O)."""
    is_mixed = isinstance(layer, PerOperationConv2d | PerOperationResidualBlock | PerOperationSequential)
    return cast("Tensor", layer(x, shares) if is_mixed else layer(x))
