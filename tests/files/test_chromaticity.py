"""Profiles made of numbers, judged by lcms, and codes against what is published of them."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from idrestore.files import chromaticity

STEPS = np.arange(0, 256, 5, dtype=np.uint8)
COLOURS = np.stack(np.meshgrid(STEPS[::5], STEPS[::5], STEPS[::5]), axis=-1).reshape(1, -1, 3)
SRGB = ImageCms.createProfile("sRGB")


def shown(colours: chromaticity.Colours, pixels: np.ndarray = COLOURS) -> np.ndarray:
    """Return what sRGB makes of pixels in such colours, by lcms."""
    profile = io.BytesIO(chromaticity.profile(colours))
    return np.asarray(ImageCms.profileToProfile(Image.fromarray(pixels), profile, SRGB)).astype(int)


def test_srgb_written_as_a_profile_changes_nothing():
    white, primaries = (0.3127, 0.3290), (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
    curve = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    assert np.abs(shown(chromaticity.Colours("sRGB", white, primaries, curve)) - COLOURS).max() <= 1


@pytest.mark.parametrize("primaries", [4, 5, 6, 7, 8, 9, 11, 12, 22])
@pytest.mark.parametrize("transfer", [1, 4, 5, 6, 7, 8, 13, 14, 15])
def test_greys_stay_grey_in_all_colours_whatever_their_white(primaries, transfer):
    greys = np.repeat(STEPS[None, :, None], 3, axis=2)
    found = shown(chromaticity.coded(primaries, transfer), greys)
    assert np.ptp(found, axis=2).max() <= 2
    assert (np.diff(found[0, :, 0]) >= 0).all()
    assert found[0, -1].min() >= 254


def test_codes_that_mean_srgb_or_nothing_need_no_profile():
    assert all(chromaticity.coded(1, transfer) is None for transfer in (1, 2, 6, 13, 14, 15))
    assert chromaticity.coded(2, 2) is None
    assert not chromaticity.coded(12, 9).curve  # logarithmic
    assert not chromaticity.coded(3, 13).curve  # reserved
    assert (chromaticity.coded(9, 16).hdr, chromaticity.coded(1, 18).hdr) == ("PQ", "HLG")


def test_a_power_is_what_it_says():
    found = shown(chromaticity.measured(1 / 1.8, ()))
    light = (COLOURS / 255) ** 1.8
    expected = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    assert np.abs(found - expected).max() < 2


numbers = st.integers(0, 2**32 - 1).map(lambda each: each / 100_000)


@given(st.none() | numbers, st.just(()) | st.tuples(*[numbers] * 8))
def test_any_numbers_are_no_error(gamma, chromaticities):
    found = chromaticity.measured(gamma, chromaticities)
    if found is not None:
        for grey in (False, True):
            profile = chromaticity.profile(found, grey)
            assert int.from_bytes(profile[:4]) == len(profile)


@given(st.binary(max_size=300))
def test_any_profile_is_asked_for_hdr(profile):
    assert chromaticity.hdr(profile) in ("", "PQ", "HLG")
