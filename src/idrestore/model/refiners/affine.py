"""Refinement of hazy and dark photos, from the whole photo: how bright a part should be, the others tell."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from idrestore import guided_filter
from idrestore.degradations import Operation
from idrestore.model.layers import ResidualBlock, keep_signal, strips, zero
from idrestore.model.thumbnail import ThumbnailEncoder

TERMS = 5
"""Terms of the curve of a colour: red, green, blue, the square of the grey, and 1."""
CELL = 4
"""Side of the cells of which means are known where something is fitted, px."""
WINDOW, NEARBY = 17, 3
"""Sides, in cells, of a place's surroundings, and of the window in which what is there counts as no detail."""
WIDE = 25
"""Side, in cells of a thumbnail, of the part of a photo that is as hazy as what is darkest in it allows."""
STEEPEST = 20.0
"""Slope that is never exceeded, however hazy a photo may be."""
FLAT = 1e-5
"""Variance of a colour up to which a place is flat: nothing is learned of it but its mean."""
STEEP = 4.0
"""Slope at which what a map keeps and what it amplifies, noise and rounding, are as bad."""
RIDGE = 1e-5
"""What a coefficient of the map of a whole photo costs: a grey photo says nothing of colours."""
EVENED = 0.75
"""How much of what that map does not explain is taken out of a dark photo."""


class Colours(NamedTuple):
    """What is to be done to the colours of photos, as their thumbnails say."""

    grid: Tensor
    """(B, 3 · TERMS, h/8, w/8): what the affine refiner says, place by place"""
    airlight: Tensor
    """(B, 3): the colour of the haze that explains best what that makes of the photo (`fit_airlight`)"""
    steepest: Tensor
    """(B, 1, h/4, w/4): the steepest slopes about that colour that leave nothing darker than black (`fit_steepest`)"""
    exposure: Tensor
    """(B, 7, 3): the map of all of the photo's colours that does so (`fit_exposure`)"""


class AffineRefiner(ThumbnailEncoder):
    """Predict from a thumbnail what is still to be done to a photo's brightness and colours, place by place.

    A small U-shape of residual blocks whose bottom knows means and deviations over the whole. Starts as zero.
    """

    kind: Operation = "affine"

    def __init__(self, near: int, middle: int, far: int) -> None:
        super().__init__(7, near, middle, far)
        self.whole = nn.Sequential(nn.Linear(2 * far, far), nn.ReLU(), nn.Linear(far, far))
        self.farthest = ResidualBlock(far)
        self.up = nn.Sequential(nn.Conv2d(far, 4 * middle, 1), nn.PixelShuffle(2))
        self.last = ResidualBlock(middle)
        self.output = zero(nn.Conv2d(middle, 3 * TERMS, 3, padding=1))
        keep_signal(self)

    def forward(self, degraded: Tensor, restored: Tensor, share: Tensor) -> Tensor:
        """Return a colour grid (B, 3 · TERMS, h/8, w/8) for thumbnails (B, 3, h, w) in [0, 1].

        Sides are multiples of `thumbnail.MULTIPLE`. `restored` is what the rest of the network makes of `degraded`, and
        `share` (B,) how much of it calls for this.
        """
        known = share[:, None, None, None].expand(-1, 1, *degraded.shape[-2:])
        middle, far = self.encode(torch.cat([degraded, restored, known], 1))
        pooled = torch.cat([far.mean(dim=(2, 3)), far.std(dim=(2, 3), correction=0)], 1)
        far = self.farthest(far + self.whole(pooled)[:, :, None, None])
        return self.output(self.last(middle + self.up(far)))

    def colours(self, photos: Tensor, restored: Tensor, share: Tensor, certainty: Tensor) -> Colours:
        """Return what is to be done to the colours of whole photos (B, 3, h, w), as far as it counts: (B,) in [0, 1].

        The rest is as in `forward`, but for `restored`, which need not lie in [0, 1].
        """
        grid = (share * certainty)[:, None, None, None] * self(photos, restored.clamp(0, 1), share)
        with torch.autocast(photos.device.type, enabled=False):
            return fit(photos, restored, grid)


def fit(photos: Tensor, restored: Tensor, grid: Tensor) -> Colours:
    """Return what is to be done to the colours of whole photos (B, 3, H, W), given what else was made of them."""
    made = apply_grid(restored, grid, (photos.shape[-2], photos.shape[-1]))
    airlight = fit_airlight(photos, made)
    return Colours(grid, airlight, fit_steepest(photos, airlight), fit_exposure(photos, made))


def refine(
    photos: Tensor,
    restored: Tensor,
    colours: Colours,
    hazy: Tensor,
    dark: Tensor,
    size: tuple[int, int],
    corner: tuple[int, int] = (0, 0),
) -> Tensor:
    """Change the colours of what was made of photos (B, 3, H, W), and keep the photos' own detail.

    `hazy` and `dark` (B,), in [0, 1], say how far a photo is what haze or darkness made of its scene, and nothing else;
    `size` and `corner` are those of `apply_grid`.
    """
    made = apply_grid(restored, colours.grid, size, corner)
    if hazy.any():
        steepest = guided_filter.placed(colours.steepest, photos, size, corner)
        made = undo_scattering(photos, made, colours.airlight, steepest, hazy)
    if dark.any():
        made = undo_darkness(photos, made, colours.exposure, dark)
    return made


def apply_grid(photos: Tensor, grid: Tensor, size: tuple[int, int], corner: tuple[int, int] = (0, 0)) -> Tensor:
    """Change photos (B, 3, H, W) by a colour grid (B, 3 · TERMS, h, w), in fp32: an affine operation on photos.

    The grid lies evenly over a picture of `size`, of which the photos are the part whose upper left pixel is `corner`;
    between its cells, it is interpolated linearly. Colours are taken to lie in [0, 1].
    """
    grid = grid.float().unflatten(1, (3, TERMS))
    down, right = guided_filter.places(grid, photos, size, corner)
    across = grid @ right.T  # (B, 3, TERMS, h, W)
    parts = []
    for rows in strips(photos):
        colours = photos[:, :, rows].float()
        known = colours.clamp(0, 1)
        grey = known.mean(dim=1, keepdim=True)
        terms = torch.cat([known, grey.square(), torch.ones_like(grey)], dim=1)
        parts.append(colours + ((down[rows] @ across) * terms[:, None]).sum(dim=2))
    return torch.cat(parts, dim=2)


def undo_scattering(photos: Tensor, restored: Tensor, airlight: Tensor, steepest: Tensor, share: Tensor) -> Tensor:
    """Take out of what was made of hazy photos (B, 3, H, W) what no haze explains, as far as their shares (B,) say.

    At each place, haze takes as much from all colours, and adds of its own (B, 3), which is the same all over a photo
    (Koschmieder 1924). So the scene is made of the photo by one slope for all colours about that of the haze. It is
    fitted to what the network made of a place's surroundings, as in a guided filter (He, Sun and Tang 2013; at a
    quarter of the size, He and Sun 2015), and takes the place of the network's own, painted detail, and of colours that
    no haze explains: the less, the steeper it is, for noise becomes steeper with it. It is at most `steepest` (B, 1, H,
    W). In fp32.
    """
    seen, made, fixed = photos.float(), restored.float(), airlight[:, :, None, None]
    slope = guided_filter.window_mean(_slope(_cells(seen), _cells(made.clamp(0, 1)), fixed), WINDOW)
    slope = F.interpolate(slope, (seen.shape[-2], seen.shape[-1]), mode="bilinear").minimum(steepest)
    kept = share[:, None, None, None] / (1 + (slope / STEEP).square())
    return made + kept * (slope * (seen - fixed) + fixed - made)


def fit_airlight(photos: Tensor, restored: Tensor) -> Tensor:
    """Return the colour of haze (B, 3) that explains best what was made of whole photos (B, 3, H, W), in fp32.

    The slope at each place is read from the contrast there; the colour follows by least squares. It is no darker than
    the photo.
    """
    seen, made = _cells(photos.float()), _cells(restored.float().clamp(0, 1))
    slopes, _ = guided_filter.fit(seen, made, WINDOW, FLAT, (seen.shape[-2], seen.shape[-1]))
    slope = slopes.mean(dim=1, keepdim=True).clamp(min=1)
    mean, wanted = (guided_filter.window_mean(x, WINDOW) for x in (seen, made))
    added = ((1 - slope) * (wanted - slope * mean)).sum(dim=(2, 3))
    airlight = added / ((1 - slope).square().sum(dim=(2, 3)) + FLAT)
    return airlight.clamp(max=1).maximum(seen.mean(dim=(2, 3)))


def fit_steepest(photos: Tensor, airlight: Tensor) -> Tensor:
    """Return the steepest slopes about the colour of haze (B, 3) that whole photos (B, 3, H, W) can bear, in cells.

    Nothing is darker than black: where a hazy photo has something dark, there is little haze, and little about it, for
    haze is smooth.
    """
    light = (_cells(photos.float()) / airlight[:, :, None, None].clamp(min=FLAT)).amin(dim=1, keepdim=True)
    least = guided_filter.window_mean(-F.max_pool2d(-light, WIDE, 1, WIDE // 2), WIDE)
    return 1 / (1 - least.clamp(0, 1 - 1 / STEEPEST))


def _slope(seen: Tensor, made: Tensor, fixed: Tensor) -> Tensor:
    """Fit made - fixed ≈ slope · (seen - fixed) about each place, with one slope (B, 1, H, W) for all colours.

    It is at least 1: haze takes contrast, and gives none.
    """
    parts = ((seen - fixed) * other for other in (made - fixed, seen - fixed))
    both, own = (guided_filter.window_mean(part.mean(dim=1, keepdim=True), WINDOW) for part in parts)
    return (both / (own + FLAT)).clamp(min=1)


def undo_darkness(photos: Tensor, restored: Tensor, exposure: Tensor, share: Tensor) -> Tensor:
    """Take out of what was made of dark photos (B, 3, H, W) what no exposure explains, as far as their shares (B,) say.

    A photo has one exposure, and so one map of colours (B, 7, 3) undoes it all over. What is lighter than that in one
    place and darker in another, the network made up: most of it is taken back. The network's own, painted detail makes
    room for the photo's, by the slope of each colour that a guided filter finds: the less, the steeper it is, for noise
    becomes steeper with it. In fp32.
    """
    seen, made = photos.float(), restored.float()
    mapped = seen + torch.einsum("bkhw,bkc->bchw", _known(seen), exposure)
    slope, _ = guided_filter.fit(_cells(seen), _cells(made.clamp(0, 1)), WINDOW, FLAT, (seen.shape[-2], seen.shape[-1]))
    painted = made - slope * seen
    painted = (painted - _around(painted)) / (1 + (slope / STEEP).square())
    return made - share[:, None, None, None] * (EVENED * _around(made - mapped) + painted)


def fit_exposure(photos: Tensor, restored: Tensor) -> Tensor:
    """Return the map of colours (B, 7, 3), one for a whole photo, that explains best what was made of photos.

    It says how a colour of photos (B, 3, H, W) changes, is linear in the colours, their square roots and 1, and fitted
    by least squares, in fp32.
    """
    known = _known(_cells(photos.float())).flatten(2)
    change = _cells(restored.float().clamp(0, 1) - photos.float()).flatten(2)
    ridge = RIDGE * known.shape[2] * torch.eye(known.shape[1], device=known.device)
    return torch.linalg.solve(known @ known.mT + ridge, known @ change.mT)


def _known(photos: Tensor) -> Tensor:
    """Return what a map of colours goes by, (B, 7, H, W)."""
    colours = photos.clamp(0, 1)
    return torch.cat([colours, colours.sqrt(), torch.ones_like(colours[:, :1])], 1)


def _cells(planes: Tensor) -> Tensor:
    """Return the means of planes (B, C, H, W) in cells."""
    return F.avg_pool2d(planes, CELL, ceil_mode=True, count_include_pad=False)


def _around(planes: Tensor) -> Tensor:
    """Return what planes (B, C, H, W) are about each pixel, detail left out."""
    around = guided_filter.window_mean(_cells(planes), NEARBY)
    return F.interpolate(around, (planes.shape[-2], planes.shape[-1]), mode="bilinear")
