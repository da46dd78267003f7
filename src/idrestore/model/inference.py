"""A network made ready to restore: what photos and tiles share is computed once, what counts for nothing left out."""

import copy
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from idrestore.device import Arithmetic, Precision, find_device, is_half
from idrestore.model.hub import FoldedHub, IngredientHub
from idrestore.model.layers import ResidualBlock, can_fuse
from idrestore.model.network import RestorationNetwork
from idrestore.model.per_operation import PerOperationConv2d, PerOperationResidualBlock
from idrestore.model.prior_block import MetaPriorBlock

Decided = TypeVar("Decided", bound=Callable[..., Any])


def prepare(network: RestorationNetwork, half: bool = False) -> RestorationNetwork:
    """Return a copy of a network for inference alone, in channels_last memory.

    Operations and refiners of a share of 0 are not computed, and routers not asked where ingredients are given. `half`
    stores convolutions' weights in bf16, for use under `torch.autocast`, which would convert them at every call; those
    of the blur-kernel estimator and of the classifiers, which work in fp32, and those that are mixed, more exactly so,
    stay in fp32. What is decided by ingredients alone is kept: the tiles of a photo have the same.
    """
    prepared = copy.deepcopy(network).eval().requires_grad_(False)
    if isinstance(prepared.hub, IngredientHub):
        prepared.hub = FoldedHub(prepared.hub.ingredients())
    prepared.skip_unused = True
    for block in prepared.prior_blocks.values():
        assert isinstance(block, MetaPriorBlock)
        block.skip_unused = True
        block.keys_and_values = _remember(block.keys_and_values)  # type: ignore[method-assign]
    mixed = [module for module in prepared.modules() if isinstance(module, PerOperationConv2d)]
    in_fp32 = (*mixed, prepared.blur_kernel_estimator, prepared.haze_classifier, prepared.rain_classifier)
    exact = {each for module in in_fp32 if module is not None for each in module.modules()}
    fuse = _fuses(half)
    for module in prepared.modules():
        if half and isinstance(module, nn.Conv2d) and module not in exact:
            module.to(torch.bfloat16)
        if isinstance(module, ResidualBlock | PerOperationResidualBlock):
            module.fuse = fuse
    for convolution in mixed:
        convolution.mixed = _remember(convolution.mixed)  # type: ignore[method-assign]
    return prepared.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def arithmetic(device: str = "auto", precision: Precision = "auto") -> Arithmetic:
    """Return how this machine computes what is `prepare`d; raise `ValueError` for what it cannot."""
    found = find_device(device)
    half = is_half(precision, found)
    return Arithmetic(str(found), "bf16" if half else "fp32", found.type == "cpu" and _fuses(half))


def _fuses(half: bool) -> bool:
    """Tell whether residual blocks can be fused: with `half`, some of them still work in fp32."""
    return can_fuse(torch.float32) and (not half or can_fuse(torch.bfloat16))


def _remember(compute: Decided) -> Decided:
    """Keep the last answer of a function of ingredients, its last argument; threads at worst compute it anew."""
    last: tuple[Tensor, Any] | None = None

    def answer(*arguments: Any) -> Any:
        nonlocal last
        known = last
        if known is None or not torch.equal(known[0], arguments[-1]):
            last = known = arguments[-1], compute(*arguments)
        return known[1]

    return cast("Decided", answer)
