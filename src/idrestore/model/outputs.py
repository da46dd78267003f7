"""What comes out of the network, and what passes through it."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from idrestore.model.prior_block import Latents, PriorOutput


class NetworkOutput(NamedTuple):
    """What a forward pass returns; lists run over the M meta-prior blocks in the order in which they are met."""

    restored: Tensor
    """(B, 3, H, W), not clamped"""
    logits: Tensor
    """(B, M, K): the routers' own opinion even where ingredients were given, unless what is unused is left out"""
    side_images: list[Tensor]
    """(B, 3, h, w) each; empty without degradation attention"""
    latents: list[Latents]
    """F, h_p and x' of each block"""
    blur: "ReadBlur | None" = None
    """What was read of the photos that are called blurred; None if none was"""
    classified: Tensor | None = None
    """(B,): logits of the classifier that learns alone; None if none does"""

    @classmethod
    def of(cls, restored: Tensor, logits: Tensor, outputs: Sequence[PriorOutput]) -> Self:
        """Return restored photos (B, 3, H, W) with what routers (B, M, K) and meta-prior blocks said and gave."""
        sides = [output.side_image for output in outputs if output.side_image is not None]
        return cls(restored, logits, sides, [output.latents for output in outputs])


class ReadBlur(NamedTuple):
    """The blur of some photos of a batch, each read from the photo itself."""

    photos: Tensor
    """(N,), their numbers in the batch"""
    kernels: Tensor
    """(N, 2 RADIUS + 1, 2 RADIUS + 1)"""
    noise: Tensor
    """(N,)"""


class Routed(NamedTuple):
    """Photos on their way through the network, all routers having spoken; for `RestorationNetwork.forward`."""

    of_routers: list[Tensor]
    """Their logits, (B, K) each, or (1, K) for crops of one photo"""
    outputs: list[PriorOutput]
    """Those of the meta-prior blocks up to decoder level 2"""
    encoder1: Tensor
    decoder2: Tensor

    @property
    def logits(self) -> Tensor:
        """Those of all routers, (B, M, K) or (1, M, K)"""
        return torch.stack(self.of_routers, dim=1)
