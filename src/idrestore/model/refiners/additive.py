"""Refinement of what noise and rain, which lie over a photo, leave in the features before the top."""

from torch import nn

from idrestore.degradations import Operation
from idrestore.model.layers import ResidualBlock


class AdditiveRefiner(nn.Sequential):
    """Residual blocks that change features (B, C, H, W). Starts as the identity."""

    kind: Operation = "additive"

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__(*(ResidualBlock(channels, start_as_identity=True) for _ in range(blocks)))
