"""Degradations synthesised on the fly: pure functions of (image, strength, seed).

Images are float32 RGB tensors (3, H, W) in [0, 1], sRGB-encoded, on any device; strengths lie in
[0, 1], from barely visible to the strongest. The ranges below make the PSNR of the untouched input
resemble that of the usual test sets (Rain100L, SOTS, GoPro, LOL, CC15).
"""

import difflib
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from idrestore.data.jpeg import jpeg
from idrestore.data.kernels import convolve, disc, rasterise, trajectory
from idrestore.degradations import NAMES, UNSEEN

Range = tuple[float, float]
"""What strength 0 and strength 1 stand for, or the two ends of a uniform draw."""
Stage = Callable[[Tensor, float, np.random.Generator], Tensor]
"""(image, strength, random numbers) to image, not clipped; all chance comes from the generator."""

KINDS: tuple[str, ...] = (*(name for name in NAMES if name != "clean"), *UNSEEN)

REFERENCE_SIDE = 480  # short side, px, beyond which streaks and kernels grow with the photo

NOISE_SIGMA: Range = (3.0, 55.0)  # 8-bit units, log scale; the benchmark's 15, 25 and 50 are inside
NOISE_CAMERA_SIGMA: Range = (2.0, 35.0)  # at mid-grey, log scale; CC15 about 5
NOISE_IID = 0.45  # share of plain Gaussian draws, the benchmark's own noise
NOISE_SMOOTHED = 0.75  # of the rest: share with the correlation that demosaicking leaves
NOISE_SHOT: Range = (0.85, 1.0)  # share of the variance at mid-grey that grows with the signal
MID_GREY, MID_GREY_SLOPE = 0.2, 1.13  # linear light, and the slope of the sRGB curve there
LUMA_SMOOTHING: Range = (0.3, 0.8)  # standard deviation of the low-pass kernel, px
CHROMA_SMOOTHING: Range = (0.7, 3.0)  # px; cameras smooth colour more: blotches (CC15: 1.5 to 3)
CHROMA_SHARE: Range = (0.3, 1.0)  # amplitude of the colour noise beside that of the grey noise
NOISE_CONTRAST: Range = (0.0, 1.0)  # cameras' tone curves flatten shadows and lights, and noise with them

RAIN_COVERAGE: Range = (0.05, 0.8)  # sum of the streaks' areas over the photo's, log scale
RAIN_BRIGHTNESS: Range = (0.15, 0.8)  # at the middle of the brightest streaks
RAIN_LENGTH: Range = (12.0, 60.0)  # px at the reference size, as in Rain100L
RAIN_WIDTH: Range = (0.45, 0.85)  # standard deviation across, px: streaks 1 to 2 px wide
RAIN_FAINT = 0.8  # brightness falls by up to this much from the nearest drops to the farthest
RAIN_SLANT, RAIN_MAX_SLANT = 16.0, 45.0  # standard deviation and limit from the vertical, degrees
RAIN_SPREAD: Range = (1.0, 7.0)  # between the layers of one photo, degrees; heavy rain crosses
RAIN_VEIL = 0.12  # mean opacity of the mist in the strongest rain, in a third of the draws
RAIN_MIN_PLANE = 64  # px; streaks wrap around their plane, which must not be shorter than they are

HAZE_BETA: Range = (0.15, 1.7)  # per unit of depth, log scale: 25 to 10 dB
HAZE_AIRLIGHT: Range = (0.7, 1.0)  # as in RESIDE
HAZE_TINT = 0.02  # standard deviation of the airlight's colour
HAZE_COARSE_SIDE = 160  # px; depth is made small and enlarged along the photo's edges
HAZE_GUIDE_WINDOW, HAZE_GUIDE_EPSILON = 17, 1e-3  # px; variance below which an area is flat

BLUR_LENGTH: Range = (2.0, 40.0)  # px at the reference size, log scale; GoPro about 5 to 30
BLUR_SHAKE, BLUR_OBJECT = 0.45, 0.35  # shares of the draws; defocus has the rest
BLUR_ENCODED = 0.5  # share averaged without undoing the sRGB curve, as GoPro is: its mean value stays the same
BLUR_DISC = 0.45  # diameter of the defocus disc over the length of a trajectory of equal damage

LIGHT_LEVEL: Range = (0.85, 0.06)  # encoded brightness over the clean one, log scale; LOL 0.06-0.3
LIGHT_MIN_MEAN = 0.02  # darker than LOL's darkest (0.036), 8 bits would hold nothing
LIGHT_GAMMA: Range = (0.9, 1.2)  # on linear light
LIGHT_CAST = 0.08  # standard deviation of the log gain per channel
SENSOR_SHOT: Range = (1e-5, 2e-4)  # variance over linear light, log-uniform; LOL σ about 2 to 4
SENSOR_READ: Range = (1e-4, 6e-4)  # standard deviation, linear light, log-uniform

PANEL_PITCH: Range = (0.5, 9.0)  # px between diffraction orders at the reference size
PANEL_OPEN: Range = (0.3, 0.6)  # transparent share of a stripe period
PANEL_ORDERS = 4
PANEL_TRANSMISSION: Range = (0.9, 0.06)  # log scale; Zhou et al.: T-OLED 20 %, P-OLED 2.9 %
PANEL_TINT = (1.0, 0.97, 0.75)  # the substrate absorbs blue
WAVELENGTHS = (1.13, 1.0, 0.85)  # of red, green and blue over green's 540 nm

JPEG_QUALITY, JPEG_SHARE = (60, 98), 0.5  # what phones, cameras and messengers write
STRENGTHS: dict[str, Range] = {
    "noise": (1.6, 1.0),
    "rain": (1.9, 2.1),
    "haze": (1.8, 1.6),
    "blur": (2.2, 1.2),
    "low_light": (2.3, 1.3),
    "under_display": (1.0, 1.0),
}
"""Beta distribution of each kind's strength in training; input PSNR is spread about that of the test sets."""
MIXTURE_RELIEF = 0.8  # factor on every strength for each further degradation: something must stay


class Sample(NamedTuple):
    """One training pair and its labels."""

    degraded: Tensor
    """(3, H, W) in [0, 1], on the 8-bit grid."""
    clean: Tensor
    """(3, H, W): what the network should return."""
    kinds: tuple[str, ...]


def degrade(image: Tensor, kind: str, strength: float, seed: int) -> Tensor:
    """Apply one degradation; (3, H, W) in [0, 1] to the same. `clean` returns the image."""
    return mix(image, {kind: strength}, seed)


def mix(image: Tensor, strengths: dict[str, float], seed: int) -> Tensor:
    """Apply several degradations in the order of the physics, whatever the order of `strengths`.

    Each stage has its own random numbers, so that adding a kind does not change the others.
    Raise `ValueError` for an unknown kind or a strength outside [0, 1].
    """
    for kind, strength in strengths.items():
        _check(kind, strength)
    for number, (kind, stage) in enumerate(STAGES):
        if kind in strengths:
            image = stage(image, strengths[kind], np.random.default_rng((seed, number))).clamp(0, 1)
    return image


def sample(clean: Tensor, kinds: tuple[str, ...], seed: int) -> Sample:
    """Draw strengths, degrade, quantise and, in half of the samples, compress as JPEG.

    For `("clean",)` the target is the quantised photo itself: a clean one must come back unchanged.
    """
    if not kinds or ("clean" in kinds and len(kinds) > 1):
        raise ValueError(f"kinds is {kinds!r}; expected ('clean',) or one or more of {KINDS}")
    rng = np.random.default_rng((seed, len(STAGES)))
    relief = MIXTURE_RELIEF ** (len(kinds) - 1)
    strengths = {k: relief * rng.beta(*STRENGTHS.get(k, (1, 1))) for k in kinds}
    degraded = to_8_bit(mix(clean, strengths, seed))
    if rng.random() < JPEG_SHARE:
        quality = int(rng.integers(JPEG_QUALITY[0], JPEG_QUALITY[1], endpoint=True))
        degraded = jpeg(degraded, quality, chroma_subsampling=bool(rng.random() < 0.5))
    return Sample(degraded, degraded if kinds == ("clean",) else clean, kinds)


def gaussian_noise(image: Tensor, sigma: float, seed: int) -> Tensor:
    """Add white noise of standard deviation `sigma` in 8-bit units, then clip to [0, 1]."""
    plane = _normal(image.shape, image, np.random.default_rng(seed))
    return (image + sigma / 255 * plane).clamp(0, 1)


def to_8_bit(image: Tensor) -> Tensor:
    """Clip to [0, 1] and truncate to k/255, as the test protocols do.

    The margin of 1e-4 keeps values already on the grid where they are in spite of rounding.
    """
    return (image.clamp(0, 1) * 255 + 1e-4).floor() / 255


def _noise(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Add white Gaussian noise, or a camera's: signal-dependent, and smoothed in some draws."""
    if rng.random() < NOISE_IID:
        sigma = _log_between(NOISE_SIGMA, strength) / 255
        return image + sigma * _normal(image.shape, image, rng)
    sigma = _log_between(NOISE_CAMERA_SIGMA, strength) / 255
    smoothed = rng.random() < NOISE_SMOOTHED
    plane = _camera_plane(image, rng) if smoothed else _normal(image.shape, image, rng)
    shot, variance = rng.uniform(*NOISE_SHOT), (sigma / MID_GREY_SLOPE) ** 2
    noisy = _signal_dependent(image, shot * variance / MID_GREY, (1 - shot) * variance, plane)
    contrast = rng.uniform(*NOISE_CONTRAST)
    slope = 1 + contrast * (6 * image * (1 - image) - 1)  # of the curve (1 - c)·v + c·(3v² - 2v³)
    return image + slope * (noisy - image)


def _signal_dependent(image: Tensor, gain: float, floor: float, plane: Tensor) -> Tensor:
    """Add `plane` times √(gain·light + floor) to the linear light (Foi et al. 2008, Sec. II)."""
    light = linear_light(image)
    return _encoded(light + (gain * light + floor).sqrt() * plane)


def _camera_plane(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Draw noise of unit variance as cameras leave it: smoothed, its colour more than its grey."""
    margin = 8
    height, width = (side + 2 * margin for side in image.shape[-2:])
    luma, chroma = rng.uniform(*LUMA_SMOOTHING), rng.uniform(*CHROMA_SMOOTHING)
    offsets = np.arange(-margin, margin + 1)
    taps = np.exp(-0.5 * (offsets / np.array([[luma], [chroma], [chroma]])) ** 2)
    taps /= np.linalg.norm(taps, axis=1, keepdims=True)  # unit energy keeps the variance
    kernel = image.new_tensor(taps)
    rows = F.conv2d(_normal((1, 3, height, width), image, rng), kernel[:, None, None], groups=3)
    opponents = F.conv2d(rows, kernel[:, None, :, None], groups=3)[0]
    share = rng.uniform(*CHROMA_SHARE)
    axes = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]) / np.sqrt([[3], [2], [6]])  # orthonormal
    axes = axes * [[1], [share], [share]] / math.sqrt((1 + 2 * share**2) / 3)
    return torch.einsum("ij,ihw->jhw", image.new_tensor(axes), opponents)


def _rain(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Add streaks, by sum or by screen, and in a third of the draws a veil of mist."""
    streaks = _streaks(image, strength, rng)
    brightness = _between(RAIN_BRIGHTNESS, strength) * rng.uniform(0.8, 1.2)
    colour = image.new_tensor(brightness * (1 + rng.normal(0, 0.02, (3, 1, 1))))
    screen = float(rng.choice((0.0, 0.5, 1.0)))
    opacity = RAIN_VEIL * strength * rng.uniform(0, 2) * (rng.random() < 1 / 3)
    veiled = image + opacity * (rng.uniform(0.6, 0.85) - image)
    return veiled + colour * streaks * (1 - screen * veiled)


def _streaks(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Draw layers of drops and smear each along its line; (1, H, W) in [0, 1]."""
    layers = int(rng.integers(1, 4))
    size = _unit(image) * np.exp(rng.uniform(-0.6, 0.3, layers))
    length, width = rng.uniform(*RAIN_LENGTH) * size, rng.uniform(*RAIN_WIDTH) * np.sqrt(size)
    slant = np.clip(rng.normal(0, RAIN_SLANT), -RAIN_MAX_SLANT, RAIN_MAX_SLANT)
    angle = np.radians(slant + rng.normal(0, 1, layers) * _between(RAIN_SPREAD, strength))
    coverage = _log_between(RAIN_COVERAGE, strength) * rng.dirichlet(np.full(layers, 2.0))
    density = image.new_tensor(coverage / (2.5 * length * width)).view(-1, 1, 1)
    height, breadth = image.shape[-2:]
    sides = (max(height, RAIN_MIN_PLANE), max(breadth, RAIN_MIN_PLANE))
    chance = torch.rand((layers, *sides), generator=_generator(image, rng), device=image.device)
    drops = torch.where(chance < density, 1 - RAIN_FAINT * (chance / density).sqrt(), 0)
    spectrum = torch.fft.rfft2(drops) * _line_spectrum(length, width, angle, sides, image)
    plane: Tensor = torch.fft.irfft2(spectrum.sum(0, keepdim=True), s=sides)
    return plane[:, :height, :breadth].clamp(0, 1)


def _line_spectrum(
    length: np.ndarray, width: np.ndarray, angle: np.ndarray, sides: tuple[int, int], like: Tensor
) -> Tensor:
    """Return the spectra of soft lines whose middle is 1; (L,) each to (L, H, W // 2 + 1)."""
    values = np.stack((length, width, np.cos(angle), np.sin(angle)))
    long, wide, cosine, sine = like.new_tensor(values)[..., None, None].unbind()
    down = torch.fft.fftfreq(sides[0], device=like.device)[:, None]
    right = torch.fft.rfftfreq(sides[1], device=like.device)
    along, across = (down * cosine + right * sine) * long, (right * cosine - down * sine) * wide
    # The ends fade over a seventh of the length, as brightness does along a falling drop.
    soft = torch.exp(-2 * math.pi**2 * (across**2 + (0.15 * along) ** 2))
    return math.sqrt(2 * math.pi) * long * wide * torch.sinc(along) * soft


def _haze(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Hide the scene behind air by a depth that follows the photo's edges."""
    depth = _depth(image.mean(dim=0, keepdim=True), rng)
    airlight = (rng.uniform(*HAZE_AIRLIGHT) + rng.normal(0, HAZE_TINT, 3)).clip(0, 1)
    return _scatter(image, depth, _log_between(HAZE_BETA, strength), image.new_tensor(airlight))


def _scatter(image: Tensor, depth: Tensor, beta: float, airlight: Tensor) -> Tensor:
    """Return J·t + A·(1 − t), t = exp(−β·d) (He et al. 2009), on encoded values as in RESIDE."""
    transmission = torch.exp(-beta * depth)
    return image * transmission + airlight[:, None, None] * (1 - transmission)


def _depth(luminance: Tensor, rng: np.random.Generator) -> Tensor:
    """Invent a depth of mean about 1; (1, H, W) to the same, by a fast guided filter.

    The lines values ≈ slope·guide + offset are fitted on a small picture (He & Sun 2015).
    """
    height, width = luminance.shape[-2:]
    scale = min(0.5, HAZE_COARSE_SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    guide = F.interpolate(luminance[None], size=size, mode="area")[0]
    values = _scene(guide, rng)
    x, y, xy, xx = _box(torch.cat((guide, values, guide * values, guide * guide)))
    slope = (xy - x * y) / (xx - x * x + HAZE_GUIDE_EPSILON)
    lines = _box(torch.stack((slope, y - slope * x)))
    slope, offset = F.interpolate(lines[None], size=(height, width), mode="bilinear")[0].unbind()
    return (slope * luminance + offset).clamp(min=0.05)


def _scene(guide: Tensor, rng: np.random.Generator) -> Tensor:
    """Return a rough depth: ground that rises, hills, bright parts farther, things in front."""
    up = torch.linspace(1, -1, guide.shape[-2], device=guide.device)[:, None]
    right = torch.linspace(-1, 1, guide.shape[-1], device=guide.device)
    depth = 1 + rng.uniform(0, 0.8) * (up + rng.normal(0, 0.3) * right)
    depth = depth + rng.uniform(0, 0.2) * _field(guide, int(rng.integers(2, 5)), rng)
    depth = depth + rng.uniform(-0.2, 0.8) * (guide - guide.mean())
    for _ in range(int(rng.integers(0, 3))):  # they stand on the lower border
        top, centre, half = rng.uniform(-0.8, 0.5), rng.uniform(-1, 1), rng.uniform(0.1, 0.5)
        inside = (up < top) & ((right - centre).abs() < half)
        depth = torch.where(inside, rng.uniform(0.5, 1) * depth, depth)
    return depth.clamp(min=0)


def _box(planes: Tensor) -> Tensor:
    """Return means over the guided filter's windows, cut at the borders; (C, h, w) to the same."""
    for window in ((HAZE_GUIDE_WINDOW, 1), (1, HAZE_GUIDE_WINDOW)):
        half = (window[0] // 2, window[1] // 2)
        planes = F.avg_pool2d(planes, window, stride=1, padding=half, count_include_pad=False)
    return planes


def _blur(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Average over camera shake, the motion of some regions, or a defocus disc: linear light, or values as they are."""
    length = _log_between(BLUR_LENGTH, strength) * _unit(image)
    choice = rng.random()
    if choice < BLUR_SHAKE:
        kernels = rasterise(length * trajectory(rng)[None])
    elif choice < BLUR_SHAKE + BLUR_OBJECT:
        other = rng.uniform(0, 1) * rng.integers(0, 2)  # half of the backgrounds stand still
        kernels = rasterise(length * np.stack((trajectory(rng), other * trajectory(rng))))
    else:
        kernels = disc(length * BLUR_DISC / 2)
    mask = torch.sigmoid(4 * _field(image, int(rng.integers(2, 5)), rng))
    is_encoded = rng.random() < BLUR_ENCODED
    light = image if is_encoded else linear_light(image)
    blurred = convolve(light, image.new_tensor(kernels)[:, None])  # (1 or 2, 3, H, W)
    mixed = torch.lerp(blurred[0], blurred[-1], mask)
    return mixed if is_encoded else _encoded(mixed)


def _darken(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Expose less, with a steeper or flatter curve and a colour cast, all on linear light."""
    mean = image.mean().clamp(min=1e-3)
    target = (_log_between(LIGHT_LEVEL, strength) * mean).clamp(min=LIGHT_MIN_MEAN).minimum(mean)
    cast = image.new_tensor(np.exp(rng.normal(0, LIGHT_CAST, (3, 1, 1))))
    gains = cast * linear_light(target) / linear_light(mean)
    return _encoded(linear_light(image) ** rng.uniform(*LIGHT_GAMMA) * gains)


def _sensor(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Add the noise that a sensor makes of little light; its level is chance, not `strength`."""
    gain, read = _log_between(SENSOR_SHOT, rng.random()), _log_between(SENSOR_READ, rng.random())
    return _signal_dependent(image, gain, read**2, _camera_plane(image, rng))


def _panel(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Look through the stripes of a display: diffraction orders, less light, little blue.

    A grating of open share a sends sinc²(m·a) of the light into order m, at a distance in
    proportion to the wavelength (Fraunhofer; measured on displays by Zhou et al. 2021).
    """
    pitch, share = _between(PANEL_PITCH, strength) * _unit(image), rng.uniform(*PANEL_OPEN)
    orders = np.arange(-PANEL_ORDERS, PANEL_ORDERS + 1)[:, None]
    reach = math.ceil(PANEL_ORDERS * pitch * max(WAVELENGTHS)) + 2
    offset = np.arange(-reach, reach + 1)
    centre = pitch * np.array(WAVELENGTHS)[:, None, None] * orders  # (3, orders, 1)
    spots = np.sinc(orders * share) ** 2 * np.exp(-2 * (offset - centre) ** 2)
    kernel = spots.sum(axis=1) / spots.sum(axis=(1, 2))[:, None]  # (3, k)
    gains = _log_between(PANEL_TRANSMISSION, strength) * image.new_tensor(PANEL_TINT)[:, None, None]
    return _encoded(convolve(linear_light(image), image.new_tensor(kernel)[None, :, None])[0] * gains)


STAGES: tuple[tuple[str, Stage], ...] = (
    ("rain", _rain),
    ("haze", _haze),
    ("low_light", _darken),
    ("blur", _blur),
    ("under_display", _panel),
    ("low_light", _sensor),
    ("under_display", _sensor),
    ("noise", _noise),
)
"""From the scene to the file: air, light, lens, sensor."""


def _check(kind: str, strength: float) -> None:
    """Raise `ValueError` for a kind that is not known or a strength outside [0, 1]."""
    valid = (*NAMES, *UNSEEN)
    if kind not in valid:
        nearest = difflib.get_close_matches(kind, valid, n=1, cutoff=0)[0]
        raise ValueError(f"unknown kind {kind!r}, nearest is {nearest!r}; one of {valid}")
    if not 0 <= strength <= 1:
        raise ValueError(f"strength of {kind} is {strength}; expected 0 to 1")


def _unit(image: Tensor) -> float:
    """Return by how much streaks and kernels grow on this photo, at least 1."""
    return max(1.0, min(image.shape[-2:]) / REFERENCE_SIDE)


def _between(ends: Range, strength: float) -> float:
    """Return the value at `strength` on a straight line between the two ends."""
    return ends[0] + (ends[1] - ends[0]) * strength


def _log_between(ends: Range, strength: float) -> float:
    """Return the value at `strength` on a logarithmic scale between the two ends."""
    return float(ends[0] * (ends[1] / ends[0]) ** strength)


def _generator(image: Tensor, rng: np.random.Generator) -> torch.Generator:
    """Return a generator on the image's device, seeded from `rng`."""
    return torch.Generator(image.device).manual_seed(int(rng.integers(2**62)))


def _normal(shape: tuple[int, ...], like: Tensor, rng: np.random.Generator) -> Tensor:
    """Draw standard normal values on the device of `like`."""
    return torch.randn(shape, generator=_generator(like, rng), device=like.device, dtype=like.dtype)


def _field(like: Tensor, cells: int, rng: np.random.Generator) -> Tensor:
    """Draw a smooth random plane of about unit variance, `cells` hills wide; (1, H, W)."""
    coarse = 1.5 * _normal((1, 1, cells, cells), like, rng)
    size = (like.shape[-2], like.shape[-1])
    return F.interpolate(coarse, size=size, mode="bicubic", align_corners=True)[0]


def linear_light(encoded: Tensor) -> Tensor:
    """Undo the sRGB curve (IEC 61966-2-1); [0, 1] to [0, 1]."""
    return torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def _encoded(light: Tensor) -> Tensor:
    """Apply the sRGB curve (IEC 61966-2-1) after clipping; any value to [0, 1]."""
    light = light.clamp(0, 1)
    curve = 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, light * 12.92, curve)
