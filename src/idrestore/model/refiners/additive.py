"""What takes off a photo what lies over it: drops, or the noise that a sensor adds to whatever air and lens made."""

import torch.nn.functional as F
from torch import Tensor, nn

from idrestore.degradations import Operation
from idrestore.model.layers import ResidualBlock, keep_signal, zero

STRIDE = 2
"""The photo is pixel-unshuffled by this much first; the U-shape's bottom works at four times that."""
COUNTS_FROM = 0.5, 0.9
"""Parts that noise and rain have of all that is wrong with a photo, from which refiners count, and count alone."""


class AdditiveRefiner(nn.Module):
    """Predict what is to be added to photos (B, 3, H, W) to take off one degradation; H and W are multiples of 8.

    A U-shape of residual blocks on the photo itself: an additive operation. It is not told how much of the degradation
    there is, and leaves all else that is wrong as it is. Starts as zero.
    """

    kind: Operation = "additive"

    def __init__(self, near: int, middle: int, far: int) -> None:
        super().__init__()
        photo_channels = 3 * STRIDE**2
        self.stem = nn.Conv2d(photo_channels, near, 3, padding=1)
        self.near = ResidualBlock(near)
        self.down = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * near, middle, 1))
        self.middle = ResidualBlock(middle)
        self.down_again = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * middle, far, 1))
        self.far = nn.Sequential(ResidualBlock(far), ResidualBlock(far))
        self.up = nn.Sequential(nn.Conv2d(far, 4 * middle, 1), nn.PixelShuffle(2))
        self.middle_again = ResidualBlock(middle)
        self.up_again = nn.Sequential(nn.Conv2d(middle, 4 * near, 1), nn.PixelShuffle(2))
        self.near_again = nn.Sequential(ResidualBlock(near), ResidualBlock(near))
        self.output = zero(nn.Conv2d(near, photo_channels, 3, padding=1))
        keep_signal(self)

    def forward(self, photos: Tensor) -> Tensor:
        near = self.near(self.stem(F.pixel_unshuffle(photos, STRIDE)))
        middle = self.middle(self.down(near))
        far = self.far(self.down_again(middle))
        middle = self.middle_again(middle + self.up(far))
        near = self.near_again(near + self.up_again(middle))
        return F.pixel_shuffle(self.output(near), STRIDE)


def additive_part(share: Tensor, clean: Tensor) -> Tensor:
    """Return how far noise and rain are all that is wrong, (B,) in [0, 1], by their share (B,) and that of `clean`."""
    start, end = COUNTS_FROM
    return ((share / (1 - clean).clamp_min(1e-6) - start) / (end - start)).clamp(0, 1)
