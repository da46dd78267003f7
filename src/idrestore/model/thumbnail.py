"""What reads a thumbnail of a whole photo: the first half of a small U-shape of residual blocks."""

import torch.nn.functional as F
from torch import Tensor, nn

from idrestore.model.layers import ResidualBlock

STRIDE = 4
"""The thumbnail is pixel-unshuffled by this much first."""
MULTIPLE = 4 * STRIDE
"""Heights and widths of thumbnails must be multiples of this."""


class ThumbnailEncoder(nn.Module):
    """Features of thumbnails at an eighth and a sixteenth of their size; what builds on it has layers beside these."""

    def __init__(self, planes: int, near: int, middle: int, far: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(planes * STRIDE**2, near, 3, padding=1)
        self.near = ResidualBlock(near)
        self.down = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * near, middle, 1))
        self.middle = nn.Sequential(ResidualBlock(middle), ResidualBlock(middle))
        self.down_again = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * middle, far, 1))
        self.far = nn.Sequential(ResidualBlock(far), ResidualBlock(far))

    def encode(self, thumbnails: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, middle, h/8, w/8) and (B, far, h/16, w/16) of thumbnails (B, planes, h, w)."""
        middle = self.middle(self.down(self.near(self.stem(F.pixel_unshuffle(thumbnails, STRIDE)))))
        return middle, self.far(self.down_again(middle))
