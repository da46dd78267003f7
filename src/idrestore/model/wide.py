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
        keep_signal(self)

    def add_picture(self) -> None:
        """Let it look at a third picture, which changes nothing yet."""
        weight, bias = self.stem.parameters()
        self.stem = nn.Conv2d(weight.shape[1] + 3 * STRIDE**2, len(weight), 3, padding=1)
        wider = torch.cat([weight, torch.zeros(len(weight), 3 * STRIDE**2, 3, 3)], dim=1)
        self.stem.weight, self.stem.bias = nn.Parameter(wider), nn.Parameter(bias)

    def forward(self, *pictures: Tensor) -> Tensor:
        """Return the change (B, 3, H, W) of what the rest of the network made of degraded photos.

        The pictures, (B, 3, H, W) in [0, 1], are these photos, what was made of them, and, if there is a kernel view,
        the photos with their blur undone by that.
        """
        near = self.encoder(self.stem(F.pixel_unshuffle(torch.cat(pictures, 1), STRIDE)))
        far = self.up(self.deep(self.down(near)))
        return F.pixel_shuffle(self.output(self.decoder(near + far)), STRIDE)
