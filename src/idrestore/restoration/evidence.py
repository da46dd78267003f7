"""What can be read from a photo itself, without a network, for or against what the routers find."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from idrestore.model.refiners.blur_kernel import Blur
from idrestore.restoration.pixels import Grain, Photo, grain, grains, scaled

Floats = NDArray[np.float32]
Limits = tuple[float, float]

ONE_COLOUR = 2
"""Levels of 255 by which the pixels of a picture of one colour may differ: JPEG and rounding."""
SMALLEST_JUDGED = 32
"""Shorter side of a photo that shows enough to be judged, px."""
SAMPLED = 512
"""Rows and columns at least, where there are so many, from which a photo's brightness is read."""
MOST, LIGHTS = 200 / 3, 99.5
"""Percentiles of brightness: of most of a photo, and that lights have."""
THIN, STRONGEST = 5, 60
"""A thin line is less than so many pixels wide; lines stronger than so many levels of 255 count no more."""
NEAR = range(6, 13)
"""Pixels along a line that tell its direction: most streaks of rain are longer."""
FAR = 0.25, 0.4
"""Parts of a photo's shorter side along a line that tell a long one: hardly any streak reaches so far."""
SMALLEST = 160
"""Shorter side of a photo from which rain can be told, and lines from it, and a scene in haze from a part of it, px."""


class Brightness(NamedTuple):
    """How bright a photo is, white being 1."""

    most: float
    """Two thirds of the photo are darker"""
    lights: float
    """Of its brightest parts"""


class Evidence:
    """What a photo says for or against what the routers find in it; each is read when it is first asked for.

    `look` returns `crops` (N, H, W, 3) in [0, 1], what the routers see of the photo, `read_blur` by what it was
    blurred, `read_haze` how likely it is hazy and `read_rain` rainy, if they can. `undone` is what each pass so far
    undid most of all; nothing in a photo as it came. Restoring smooths noise: then grain is read at full size alone.
    """

    def __init__(
        self,
        photo: Photo,
        look: Callable[[], Floats],
        undone: Sequence[str] = (),
        read_blur: Callable[[], Blur | None] = lambda: None,
        read_haze: Callable[[], float | None] = lambda: None,
        read_rain: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.photo = photo
        self._look = look
        self.undone = undone
        self._read_blur = read_blur
        self._read_haze = read_haze
        self._read_rain = read_rain

    @cached_property
    def crops(self) -> Floats:
        """What the routers see."""
        return self._look()

    @cached_property
    def grain(self) -> Grain:
        """Its grain, at half and at a quarter of the size too."""
        return Grain(grain(self.crops), 0.0, 0.0) if self.undone else grains(self.crops)

    @cached_property
    def blur(self) -> Blur | None:
        """By what it was blurred; None if that cannot be read."""
        return self._read_blur()

    @property
    def sharpness(self) -> float:
        """The sum of the squares of its blur kernel, whose sum is 1: 1 for a point, and 0 if it cannot be read."""
        return 0.0 if self.blur is None else float(self.blur[0].square().sum())

    @cached_property
    def lines(self) -> float:
        """As `lines_unlike_rain`."""
        return lines_unlike_rain(self.crops)

    @cached_property
    def haze(self) -> float | None:
        """How likely the whole photo is hazy, in [0, 1]; None if that is not known."""
        return self._read_haze()

    @cached_property
    def rain(self) -> float | None:
        """How likely it rains in the photo, in [0, 1]; None if that is not known."""
        return self._read_rain()

    @cached_property
    def brightness(self) -> Brightness:
        """As `brightness`."""
        return brightness(self.photo)


def why_unjudged(photo: Photo) -> str:
    """Return why nothing can be known of a photo, which is then left as it is; empty if something can."""
    if min(photo.colour.shape[:2]) < SMALLEST_JUDGED:
        return f"too small to be judged: photos under {SMALLEST_JUDGED} pixels a side are left as they are"
    return "all of one colour: nothing can be judged by it, and it is left as it is" if is_one_colour(photo) else ""


def is_one_colour(photo: Photo) -> bool:
    """Tell whether all of a photo has one colour."""
    colour = photo.colour  # over rows, then columns: over all pixels at once, 24 megapixels take 0.7 s instead of 0.01
    spread = colour.max(axis=0).max(axis=0).astype(np.float64) - colour.min(axis=0).min(axis=0)
    return bool((spread <= ONE_COLOUR * photo.white / 255).all())


def brightness(photo: Photo) -> Brightness:
    """Return how bright a photo is in most of its parts, and where its lights are, if it has any."""
    grey = _grey(photo)
    most, lights = np.percentile(grey, (MOST, LIGHTS))
    return Brightness(float(most), float(lights))


def _grey(photo: Photo) -> Floats:
    """Return a photo's brightness, (h, w) in [0, 1], in every so many rows and columns."""
    down, right = (max(1, length // SAMPLED) for length in photo.colour.shape[:2])
    grey: Floats = scaled(photo.colour[::down, ::right], photo.white).mean(axis=2)
    return grey


def lines_unlike_rain(crops: Floats) -> float:
    """Return how much of the thin bright lines in crops (N, H, W, 3) of a photo cannot be rain, as a correlation.

    Rain falls: its streaks lie within 45 degrees of the vertical, and end. Lines across, as a grid has them, and lines
    that go on for a good part of the photo are something else. How alike a crop's lines are at two places, `NEAR` to
    each other and `FAR`, is averaged over all pixels, for each direction, and less the median of all directions, which
    texture without a direction has as well. Of crops under `SMALLEST` it is 0.
    """
    side = min(crops.shape[1:3])
    if side < SMALLEST:
        return 0.0
    grey = 255 * torch.from_numpy(crops).mean(dim=3)[:, None]
    opened = F.max_pool2d(-F.max_pool2d(-grey, THIN, 1, THIN // 2), THIN, 1, THIN // 2)
    correlation = _correlation((grey - opened)[:, 0].clamp(max=STRONGEST))
    degrees = np.arange(180)
    falls = np.abs(degrees - 90) < 45
    near = _along(correlation, degrees, np.array(NEAR))
    far = _along(correlation, degrees, np.linspace(FAR[0] * side, FAR[1] * side, 9))
    excess = near - np.median(near)
    return float(max(excess[~falls].max(), min(excess[falls].max(), far[falls].max())))


def _correlation(planes: Tensor) -> Tensor:
    """Return how planes (N, H, W) of one photo correlate with themselves, shifted by (2H, 2W), negative ones last."""
    planes = planes - planes.mean()
    height, width = planes.shape[1:]
    sizes = 2 * height, 2 * width
    sums = torch.fft.irfft2(torch.fft.rfft2(planes, s=sizes).abs().square().mean(dim=0), s=sizes)
    pairs = [
        length - torch.arange(2 * length).minimum(2 * length - torch.arange(2 * length)) for length in (height, width)
    ]
    correlation: Tensor = sums / torch.outer(*(number.clamp(min=1).float() for number in pairs))
    return correlation / correlation[0, 0].clamp(min=1e-6)


def _along(correlation: Tensor, degrees: NDArray[np.int_], distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean correlation at such distances in each direction."""
    radians = np.radians(degrees)[:, None]
    down, right = (np.round(distances * part(radians)).astype(int) for part in (np.sin, np.cos))
    values = correlation[down % correlation.shape[0], right % correlation.shape[1]]
    return np.asarray(values.numpy().mean(axis=1), np.float64)


def ramps(values: Tensor, limits: Limits) -> Tensor:
    """Return 0 at the first of the limits, 1 at the second, and linearly between them."""
    start, end = limits
    return ((values - start) / (end - start)).clamp(0, 1)
