"""Refinement of blurred photos, from far around: blur spreads a point over tens of pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from idrestore.degradations import Operation
from idrestore.model.layers import ResidualBlock, keep_signal, zero

STRIDE = 4
"""The photo is pixel-unshuffled by this much first; half of the blocks work at twice that."""
BLOCKS = 2
"""Residual blocks on the way down, and as many on the way up; twice as many at the bottom."""


class DeblurringRefiner(nn.Module):
    """Predict what is still to be changed of restored photos; H and W must be multiples of 8.

    A small U-shape of residual blocks: it sees 90 pixels far, for a tenth of what the rest of `fast` costs. Starts
    as zero.
    """

    kind: Operation = "convolutive"

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
        self.unblurred_stem: nn.Module | None = None
        self.blend_mask: nn.Module | None = None
        keep_signal(self)

    def see_unblurred(self) -> None:
        """Let it see photos with their blur undone as well, and say how much of those to take; it takes none yet."""
        channels = self.stem.out_channels
        self.unblurred_stem = zero(nn.Conv2d(3 * STRIDE**2, channels, 3, padding=1))
        self.blend_mask = zero(nn.Conv2d(channels, STRIDE**2, 3, padding=1))

    def forward(
        self, degraded: Tensor, restored: Tensor, unblurred: Tensor | None = None, seen: Tensor | None = None
    ) -> Tensor:
        """Return the change (B, 3, H, W) of what the rest of the network made of degraded photos; all in [0, 1].

        `unblurred` are the photos with their blur undone by a filter. They take the place of what was made, as far as
        this refiner trusts them in each pixel, and its own change fills the rest. `seen` (B,) is 0 for those of a batch
        that are not to be looked at, else 1; None: all are.
        """
        near = self.stem(F.pixel_unshuffle(torch.cat([degraded, restored], 1), STRIDE))
        if self.unblurred_stem is not None and unblurred is not None:
            more = self.unblurred_stem(F.pixel_unshuffle(unblurred, STRIDE))
            near = near + (more if seen is None else seen[:, None, None, None] * more)
        near = self.encoder(near)
        features = self.decoder(near + self.up(self.deep(self.down(near))))
        change = F.pixel_shuffle(self.output(features), STRIDE)
        if self.blend_mask is None or unblurred is None:
            return change
        mask = F.pixel_shuffle(self.blend_mask(features), STRIDE)
        mask = mask if seen is None else seen[:, None, None, None] * mask
        return change + mask * (unblurred - restored - change)
