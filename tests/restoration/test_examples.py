"""What `make demo` shows: every picture of `examples/` visibly restored, and nothing added to it."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import uniform_filter1d

from idrestore.data.pairs import read_8_bit
from idrestore.metrics import psnr
from idrestore.restoration.restorer import load

EXAMPLES = Path(__file__).parents[2] / "examples"
GAINS = {
    "noise_aitzgorri": 10.0,
    "rain_life": 7.0,
    "haze_picosdeeuropa": 8.0,
    "blur_friends": 3.5,
    "low_light_brushes": 13.0,
    "haze_noise_seeding": 8.0,
}
"""PSNR that each must gain, dB."""
PERIODS = 2, 4, 8
"""Of the grids that layers of half, quarter and eighth size could leave, px."""


@cache
def _pictures(name):
    """Return a degraded picture, what the shipped model makes of it, and the clean one."""
    degraded, clean = (read_8_bit(EXAMPLES / folder / f"{name}.jpg") for folder in ("degraded", "clean"))
    return degraded, load("fast").restore(degraded).image, clean


def test_each_picture_has_its_gain():
    assert {path.stem for path in (EXAMPLES / "degraded").iterdir()} == set(GAINS)


@pytest.mark.parametrize("name", GAINS)
def test_each_picture_is_restored(name):
    degraded, restored, clean = _pictures(name)
    assert psnr(restored, clean) - psnr(degraded, clean) > GAINS[name]


def _grid(picture, period):
    """Return how strong a grid of that period is, in levels: what all rows, or columns, of the same phase share."""
    lines = picture.mean(axis=2, dtype=float)
    fine = [np.moveaxis(lines, axis, 0) - uniform_filter1d(np.moveaxis(lines, axis, 0), 8, axis=0) for axis in (0, 1)]
    return max(np.std([each[phase::period].mean() for phase in range(period)]) for each in fine)


@pytest.mark.parametrize("name", ["haze_picosdeeuropa", "low_light_brushes"])
def test_haze_and_darkness_leave_no_grid_and_no_band(name):
    _, restored, clean = _pictures(name)
    for period in PERIODS:
        assert _grid(restored, period) < 0.3
    striped = restored.astype(float)
    striped[::4] += 2
    assert _grid(striped, 4) > 0.6  # it would be seen
    change = restored.mean(axis=(1, 2)) - clean.mean(axis=(1, 2))
    assert abs(change[:4].mean() - change[8:32].mean()) < 6
