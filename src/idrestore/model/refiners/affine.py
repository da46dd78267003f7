"""Refinement of hazy and dark photos, from the whole photo: how bright a part should be, the others tell."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from idrestore import guided_filter
from idrestore.degradations import Operation
from idrestore.model.layers import ResidualBlock, keep_signal, strips, zero

STRIDE = 4
"""The thumbnail is pixel-unshuffled by this much first; the colour grid is predicted at twice that."""
MULTIPLE = 4 * STRIDE
"""Heights and widths of thumbnails must be multiples of this."""
TERMS = 5
"""Terms of the curve of a colour: red, green, blue, the square of the grey, and 1."""
CELL, REACH = 4, 8
"""Side of the cells of which a place's affine map knows the mean, px, and how many of them it reaches each way."""
FLAT = 1e-5
"""Variance of a colour up to which a place is flat: nothing is learned of it but its mean."""
STEEP = 3.0
"""Slope of a place's map at which what the map keeps and what it amplifies, noise and rounding, are as bad."""


class AffineRefiner(nn.Module):
    """Predict from a thumbnail what is still to be done to a photo's brightness and colours, place by place.

    A small U-shape of residual blocks whose bottom knows means and deviations over the whole. Starts as zero.
    """

    kind: Operation = "affine"

    def __init__(self, near: int, middle: int, far: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(7 * STRIDE**2, near, 3, padding=1)
        self.near = ResidualBlock(near)
        self.down = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * near, middle, 1))
        self.middle = nn.Sequential(ResidualBlock(middle), ResidualBlock(middle))
        self.down_again = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * middle, far, 1))
        self.far = nn.Sequential(ResidualBlock(far), ResidualBlock(far))
        self.whole = nn.Sequential(nn.Linear(2 * far, far), nn.ReLU(), nn.Linear(far, far))
        self.farthest = ResidualBlock(far)
        self.up = nn.Sequential(nn.Conv2d(far, 4 * middle, 1), nn.PixelShuffle(2))
        self.last = ResidualBlock(middle)
        self.output = zero(nn.Conv2d(middle, 3 * TERMS, 3, padding=1))
        keep_signal(self)

    def forward(self, degraded: Tensor, restored: Tensor, share: Tensor) -> Tensor:
        """Return a colour grid (B, 3 · TERMS, h/8, w/8) for thumbnails (B, 3, h, w) in [0, 1].

        Sides are multiples of `MULTIPLE`. `restored` is what the rest of the network makes of `degraded`, and `share`
        (B,) how much of it calls for this.
        """
        known = share[:, None, None, None].expand(-1, 1, *degraded.shape[-2:])
        middle = self.near(self.stem(F.pixel_unshuffle(torch.cat([degraded, restored, known], 1), STRIDE)))
        middle = self.middle(self.down(middle))
        far = self.far(self.down_again(middle))
        pooled = torch.cat([far.mean(dim=(2, 3)), far.std(dim=(2, 3), correction=0)], 1)
        far = self.farthest(far + self.whole(pooled)[:, :, None, None])
        return self.output(self.last(middle + self.up(far)))


def refine(
    photos: Tensor,
    restored: Tensor,
    grid: Tensor,
    share: Tensor,
    size: tuple[int, int],
    corner: tuple[int, int] = (0, 0),
) -> Tensor:
    """Change what was made of photos (B, 3, H, W) by a colour grid, and keep their detail as their shares (B,) say.

    `size` and `corner` are those of `apply_grid`.
    """
    return keep_detail(photos, apply_grid(restored, grid, size, corner), share)


def apply_grid(photos: Tensor, grid: Tensor, size: tuple[int, int], corner: tuple[int, int] = (0, 0)) -> Tensor:
    """Change photos (B, 3, H, W) by a colour grid (B, 3 · TERMS, h, w), in fp32: an affine operation on photos.

    The grid lies evenly over a picture of `size`, of which the photos are the part whose upper left pixel is `corner`;
    between its cells, it is interpolated linearly. Colours are taken to lie in [0, 1].
    """
    grid = grid.float().unflatten(1, (3, TERMS))
    down, right = (
        _hats(start, length, whole, cells).to(grid)
        for start, length, whole, cells in zip(corner, photos.shape[-2:], size, grid.shape[-2:], strict=True)
    )
    across = grid @ right.T  # (B, 3, TERMS, h, W)
    parts = []
    for rows in strips(photos):
        colours = photos[:, :, rows].float()
        known = colours.clamp(0, 1)
        grey = known.mean(dim=1, keepdim=True)
        terms = torch.cat([known, grey.square(), torch.ones_like(grey)], dim=1)
        parts.append(colours + ((down[rows] @ across) * terms[:, None]).sum(dim=2))
    return torch.cat(parts, dim=2)


def keep_detail(photos: Tensor, restored: Tensor, share: Tensor) -> Tensor:
    """Bring the detail of photos (B, 3, H, W) back into what was made of them, as far as their shares (B,) say.

    Haze and darkness leave detail in place: a photo is an affine map of the scene, another at each place, and so is the
    scene of the photo. The map of each place and colour is fitted to what the network made of its surroundings, as a
    guided filter does (He, Sun and Tang 2013; at a quarter of the size, He and Sun 2015), and takes the place of the
    network's own, painted detail: the less, the steeper it is, for noise becomes steeper with it. In fp32.
    """
    seen, made = photos.float(), restored.float()
    small, wanted = (F.avg_pool2d(x, CELL, ceil_mode=True, count_include_pad=False) for x in (seen, made.clamp(0, 1)))
    slope, offset = guided_filter.fit(small, wanted, 2 * REACH + 1, FLAT, (seen.shape[-2], seen.shape[-1]))
    kept = share[:, None, None, None] / (1 + (slope / STEEP).square())
    return made + kept * (slope * seen + offset - made)


def _hats(start: int, length: int, whole: int, cells: int) -> Tensor:
    """Return how much each of `cells`, spread over `whole` pixels, counts at pixels from `start`; (length, cells)."""
    at = ((torch.arange(start, start + length) + 0.5) * cells / whole - 0.5).clamp(0, cells - 1)
    return (1 - (at[:, None] - torch.arange(cells)).abs()).clamp(min=0)
