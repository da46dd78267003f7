"""A network made ready to restore: what photos and tiles share is computed once, what counts for nothing left out."""

import copy

import torch
from torch import Tensor, nn

from idrestore.model.attention import KeysAndValues
from idrestore.model.hub import FoldedHub, Hub, IngredientHub
from idrestore.model.network import RestorationNetwork
from idrestore.model.prior_block import MetaPriorBlock


def prepare(network: RestorationNetwork, half: bool = False, negligible: float = 0.0) -> RestorationNetwork:
    """Return a copy of a network for inference alone, in channels_last memory.

    Operations of a share of at most `negligible` are not computed, nor overlay blocks and wide view; with 0 the
    function stays the same. `half` keeps the convolutions' weights in bf16, for use under `torch.autocast`, which would
    convert them at every call; but for the kernel view's, which works in fp32. A meta-prior block keeps what it last
    recalled of the hub: the tiles of a photo ask for the same.
    """
    prepared = copy.deepcopy(network).eval().requires_grad_(False)
    if isinstance(prepared.hub, IngredientHub):
        prepared.hub = FoldedHub(prepared.hub.ingredients())
    prepared.negligible = negligible
    for block in prepared.prior_blocks.values():
        assert isinstance(block, MetaPriorBlock)
        block.negligible = negligible
        block.recall = _Remembered(block)  # type: ignore[method-assign]
    for name, module in prepared.named_modules():
        if half and isinstance(module, nn.Conv2d) and not name.startswith("kernel."):
            module.to(torch.bfloat16)
    return prepared.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class _Remembered:
    """`MetaPriorBlock.recall`, with its last answer kept; threads at worst compute it anew."""

    def __init__(self, block: MetaPriorBlock) -> None:
        self.compute = block.recall
        self.last: tuple[Tensor, KeysAndValues] | None = None

    def __call__(self, hub: Hub, ingredients: Tensor) -> KeysAndValues:
        last = self.last
        if last is None or not torch.equal(last[0], ingredients):
            self.last = last = (ingredients, self.compute(hub, ingredients))
        return last[1]
