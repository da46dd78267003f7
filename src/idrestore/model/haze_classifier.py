"""What tells whether a photo is hazy, by a thumbnail of the whole: the routers see too little of a scene for that."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from idrestore.model.layers import keep_signal
from idrestore.model.thumbnail import ThumbnailEncoder

SIDE = 112
"""Side of a square of as many pixels as thumbnails have, as those had from which it learned."""
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


def haze_label(degraded: Tensor, clean: Tensor, share: Tensor) -> Tensor:
    """Return how hazy samples count as, (B,) in [0, 1], by their true shares (B,) of haze.

    Those that haze hardly changed count less: 0 from 32 dB on, 1 up to 24 dB.
    """
    error = (degraded - clean).float().square().mean(dim=(1, 2, 3)).clamp_min(1e-6)
    return (share > 0) * ((32 + 10 * error.log10()) / 8).clamp(0, 1)
