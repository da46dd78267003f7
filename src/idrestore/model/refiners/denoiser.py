"""What takes noise off a photo. A sensor adds it last, to whatever haze, rain and blur have made of the scene."""

import torch.nn.functional as F
from torch import Tensor, nn

from idrestore.model.layers import ResidualBlock, keep_signal, zero

STRIDE = 2
"""The photo is pixel-unshuffled by this much first; the U-shape's bottom works at four times that."""
NOISE_FROM = 0.5, 0.9
"""Parts that noise has of all that is wrong with a photo, from which the denoiser counts, and counts alone."""


class Denoiser(nn.Module):
    """Predict what is to be added to noisy photos (B, 3, H, W); H and W must be multiples of 8.

    A U-shape of residual blocks on the photo itself: an additive operation. It is not told how strong the noise is,
    and leaves all else that is wrong as it is. Starts as zero.
    """

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


def noise_part(noise: Tensor, clean: Tensor) -> Tensor:
    """Return how far noise is all that is wrong, (B,) in [0, 1], with photos of such shares (B,) of it and `clean`."""
    start, end = NOISE_FROM
    return ((noise / (1 - clean).clamp_min(1e-6) - start) / (end - start)).clamp(0, 1)
