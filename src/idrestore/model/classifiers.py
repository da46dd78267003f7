"""What tells whether a photo is hazy, or rainy, where the routers see too little, or too much else, to tell."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from idrestore.model.layers import keep_signal
from idrestore.model.thumbnail import MULTIPLE, ThumbnailEncoder

SIDE = 112
"""Side of a square of as many pixels as the thumbnails have by which haze is told, as those had for it to learn."""
DARK = 5
"""Side, px, of what is around a pixel, of which the darkest value is seen."""
BANDS = 3
"""Parts, from top to bottom, of which the means are known."""


class HazeClassifier(ThumbnailEncoder):
    """Tell from thumbnails (B, 3, h, w) in [0, 1] whether photos are hazy: (B,) logits.

    In a thumbnail noise and rain hardly show. Haze leaves nothing dark (the dark channel of He, Sun and Tang 2009), and
    is thickest where a scene is far, which mostly is further up: it sees the darkest value around each pixel, and its
    row. Sides are multiples of `thumbnail.MULTIPLE`.
    """

    degradation = "haze"
    errors = 32.0, 24.0
    """PSNR, dB, of degraded photos from which they count as hazy in part, and in full."""

    def __init__(self, near: int, middle: int, far: int) -> None:
        super().__init__(5, near, middle, far)
        self.head = nn.Sequential(nn.Linear((BANDS + 1) * far, far), nn.ReLU(), nn.Linear(far, 1))
        keep_signal(self)

    def forward(self, thumbnails: Tensor) -> Tensor:
        height = thumbnails.shape[-2]
        row = torch.linspace(-1, 1, height).to(thumbnails)[:, None].expand_as(thumbnails[:, :1])
        darkest = -F.max_pool2d(-thumbnails.amin(dim=1, keepdim=True), DARK, 1, DARK // 2)
        x = self.encode(torch.cat([thumbnails, darkest, row], 1))[1].float()
        bands = F.adaptive_avg_pool2d(x, (BANDS, 1)).flatten(1)
        known = torch.cat([bands, x.std(dim=(2, 3), correction=0)], 1)
        return cast("Tensor", self.head(known)[:, 0])


class RainClassifier(ThumbnailEncoder):
    """Tell from crops (B, 3, h, w) in [0, 1] of photos, at full resolution, whether it rains in them: (B,) logits.

    Shrinking would erase the streaks. What is beyond a multiple of `thumbnail.MULTIPLE` is not looked at.
    """

    degradation = "rain"
    errors = 44.0, 36.0
    """As those of `HazeClassifier`."""

    def __init__(self, near: int, middle: int, far: int) -> None:
        super().__init__(3, near, middle, far)
        self.head = nn.Sequential(nn.Linear(2 * far, far), nn.ReLU(), nn.Linear(far, 1))
        keep_signal(self)

    def forward(self, crops: Tensor) -> Tensor:
        height, width = (side - side % MULTIPLE for side in crops.shape[-2:])
        x = self.encode(crops[..., :height, :width])[1].float()
        known = torch.cat([x.mean(dim=(2, 3)), x.std(dim=(2, 3), correction=0)], 1)
        return cast("Tensor", self.head(known)[:, 0])


def presence(degraded: Tensor, clean: Tensor, share: Tensor, errors: tuple[float, float]) -> Tensor:
    """Return how far samples (B, 3, h, w) count as having a degradation, (B,) in [0, 1], by its true shares (B,).

    Those that are hardly changed count less: 0 from the first of the `errors` on, a PSNR in dB, 1 up to the second.
    """
    least, full = errors
    error = (degraded - clean).float().square().mean(dim=(1, 2, 3)).clamp_min(1e-6)
    return (share > 0) * ((least + 10 * error.log10()) / (least - full)).clamp(0, 1)
