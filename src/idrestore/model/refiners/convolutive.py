"""A wide view of the photo: what blur needs, since it spreads a point over tens of pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from idrestore.model.layers import ResidualBlock, keep_signal, zero

STRIDE = 4
"""The photo is pixel-unshuffled by this much first; half of the blocks work at twice that."""
BLOCKS = 2
"""Residual blocks on the way down, and as many on the way up; twice as many at the bottom."""


class WideView(nn.Module):
    """Predict what is still to be changed of restored photos; H and W must be multiples of 8.

    A small U-shape of residual blocks: it sees 90 pixels far, for a tenth of what the rest of `fast` costs. Starts
    as zero.
    """

    def __init__(self, channels: int, deep_channels: int) -> None:
        super().__init__()
        photo_channels = 3 * STRIDE**2
        self.stem = nn.Conv2d(2 * photo_channels, channels, 3, padding=1)
        self.encoder = nn.Sequential(*(ResidualBlock(channels) for _ in range(BLOCKS)))
        self.down = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * channels, deep_channels, 1))
        self.deep = nn.Sequential(*(ResidualBlock(deep_channels) for _ in range(2 * BLOCKS)))
        self.up = nn.Sequential(nn.Conv2d(deep_channels, 4 * channels, 1), nn.PixelShuffle(2))
        self.decoder = nn.Sequential(*(ResidualBlock(channels) for _ in range(BLOCKS)))
        self.output = zero(nn.Conv2d(channels, photo_channels, 3, padding=1))
        self.look: nn.Module | None = None
        self.take: nn.Module | None = None
        keep_signal(self)

    def see_unblurred(self) -> None:
        """Let it see photos with their blur undone as well, and say how much of those to take; it takes none yet."""
        channels = self.stem.out_channels
        self.look = zero(nn.Conv2d(3 * STRIDE**2, channels, 3, padding=1))
        self.take = zero(nn.Conv2d(channels, STRIDE**2, 3, padding=1))

    def forward(
        self, degraded: Tensor, restored: Tensor, unblurred: Tensor | None = None, seen: Tensor | None = None
    ) -> Tensor:
        """Return the change (B, 3, H, W) of what the rest of the network made of degraded photos; all in [0, 1].

        `unblurred` are the photos as the kernel view would have them. They take the place of what was made, as far as
        this view trusts them in each pixel, and its own change fills the rest. `seen` (B,) is 0 for those of a batch
        that are not to be looked at, else 1; None: all are.
        """
        near = self.stem(F.pixel_unshuffle(torch.cat([degraded, restored], 1), STRIDE))
        if self.look is not None and unblurred is not None:
            look = self.look(F.pixel_unshuffle(unblurred, STRIDE))
            near = near + (look if seen is None else seen[:, None, None, None] * look)
        near = self.encoder(near)
        features = self.decoder(near + self.up(self.deep(self.down(near))))
        change = F.pixel_shuffle(self.output(features), STRIDE)
        if self.take is None or unblurred is None:
            return change
        taken = F.pixel_shuffle(self.take(features), STRIDE)
        taken = taken if seen is None else seen[:, None, None, None] * taken
        return change + taken * (unblurred - restored - change)
