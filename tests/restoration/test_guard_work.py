"""The search for redactions ends: its work grows with the photo, however many bars and blocks there are in it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idrestore.restoration.guard import bars, blurs, find_redactions, mosaics, regions
from idrestore.restoration.guard.regions import Region, without_inner


@pytest.fixture
def calls(monkeypatch):
    """Count how often two regions are compared."""
    count = [0]
    for name in ("holds", "meets"):
        real = getattr(Region, name)

        def counting(*arguments, real=real):
            count[0] += 1
            return real(*arguments)

        monkeypatch.setattr(Region, name, counting)
    return count


def rows_of_bars(side):
    """Return a picture (side, side) of bars of 12x28 px, about one for 960 pixels."""
    y, x = np.mgrid[:side, :side]
    return np.where((y % 24 < 12) & (x % 40 < 28), 20, 200).astype(np.uint8)


def test_many_bars_take_work_in_proportion(calls):
    work = {}
    for side in (240, 480):
        calls[0] = 0
        assert len(find_redactions(rows_of_bars(side))) > side**2 / 1200
        work[side] = calls[0]
    assert work[480] < 6 * work[240]  # four times the bars; sixteen times the pairs


def test_many_mosaics_take_work_in_proportion(calls):
    work = {}
    for side in (20, 40):
        apart = [Region("mosaic", 50 * y, 50 * x, 50 * y + 48, 50 * x + 48) for y in range(side) for x in range(side)]
        calls[0] = 0
        assert sorted(mosaics._merged(apart)) == sorted(apart)
        work[side] = calls[0]
    assert work[40] < 6 * work[20]


@pytest.mark.parametrize("detector", [bars, mosaics, blurs])
def test_only_so_many_areas_are_looked_at_the_largest(monkeypatch, detector):
    monkeypatch.setattr(regions, "MOST", 3)
    candidates = [regions.Area(0, 0, 1, size, size, size) for size in (4, 9, 1, 7)]
    assert [area.size for area in detector.largest(candidates)] == [9, 7, 4]
    assert 0 < len(list(bars.find_bars(rows_of_bars(240)))) <= 3


def test_rings_in_one_another_are_not_searched_again_and_again(monkeypatch):
    """Ten squares in one another, their lines one cell wide: together their boxes are three times the picture."""
    side = 122
    ring = np.minimum.outer(*2 * [np.minimum(np.arange(side), np.arange(side)[::-1])])
    rings = (ring % 6 == 0).repeat(16, axis=0).repeat(16, axis=1)
    blocks = (
        np.random.default_rng(0).integers(0, 256, (side * 4, side * 4), np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    )
    searched = []
    monkeypatch.setattr(mosaics, "_grid", lambda plane, cells, *rest: searched.append(cells.size) and None)
    list(mosaics.find_mosaics(np.where(rings, blocks, 128).astype(np.uint8)))
    assert sum(searched) < 2 * side**2


boxes = st.builds(
    lambda top, left, height, width: Region("mosaic", top, left, top + height, left + width),
    *(st.integers(0, 400), st.integers(0, 400), st.integers(1, 150), st.integers(1, 150)),
)


@given(st.lists(boxes, max_size=12))
def test_regions_are_joined_and_left_out_as_by_looking_at_every_pair(found):
    whole = []
    for region in dict.fromkeys(found):
        while met := next((other for other in whole if other.meets(region)), None):
            whole.remove(met)
            first, last = map(min, region[1:3], met[1:3]), map(max, region[3:], met[3:])
            region = Region("mosaic", *first, *last)
        whole.append(region)
    assert sorted(mosaics._merged(found)) == sorted(whole)
    outer = {region for region in found if not any(other.holds(region) for other in found)}
    assert set(without_inner(found)) == outer
