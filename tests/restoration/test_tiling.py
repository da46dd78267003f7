from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idrestore.restoration.tiling import COLUMNS, blend, crop, fitted, fitted_tiles, pad_to_multiple, tiles

sides = st.tuples(st.integers(1, 97), st.integers(1, 61))


@st.composite
def grids(draw):
    """Height, width, tile, overlap, multiple: anything `tiles` accepts."""
    multiple = draw(st.integers(1, 8))
    tile = multiple * draw(st.integers(1, 6))
    return (*draw(sides), tile, draw(st.integers(0, tile - multiple)), multiple)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@given(grids())
def test_tiles_have_the_promised_geometry(grid):
    height, width, tile, overlap, multiple = grid
    for axis, length in (("rows", height), ("columns", width)):
        spans = sorted({(getattr(t, axis).start, getattr(t, axis).stop) for t in tiles(*grid)})
        assert spans[0][0] == 0
        assert spans[-1][1] == length
        assert all(start % multiple == 0 for start, _ in spans)
        assert all(stop - start == min(tile, length) for start, stop in spans[:-1])
        assert min(length, tile - multiple + 1) <= spans[-1][1] - spans[-1][0] <= tile
        for (_, stop), (start, _) in pairwise(spans):
            assert stop - start >= overlap


@given(grids())
def test_there_are_no_more_tiles_than_needed(grid):
    height, width, tile, overlap, multiple = grid
    step = (tile - overlap) // multiple * multiple
    rows, columns = (len(range(0, max(length - tile, 0), step)) + 1 for length in (height, width))
    assert len(tiles(*grid)) == rows * columns


@given(grids())
def test_a_fitted_side_is_the_smallest_that_needs_no_more_tiles(grid):
    height, _, tile, overlap, multiple = grid

    def number(side):
        return len(tiles(height, 1, (side, tile), overlap, multiple))

    side = fitted(height, tile, overlap, multiple)
    assert side <= tile
    assert number(side) == number(tile)
    assert number(tile) == 1 or overlap > side - 2 * multiple or number(side - multiple) > number(tile)


@given(grids())
def test_fitted_tiles_are_as_many_and_as_wide_as_convolutions_like(grid):
    height, width, tile, overlap, multiple = grid
    fitting = fitted_tiles(*grid)
    assert len(fitting) == len(tiles(*grid))
    assert max(each.shape[0] for each in fitting) == min(height, fitted(height, tile, overlap, multiple))
    wide = max(each.shape[1] for each in fitting)
    assert wide in (tile, width) or wide % COLUMNS == 0


def test_tiles_may_be_higher_than_wide():
    grid = tiles(40, 40, (32, 16), overlap=8, multiple=8)
    assert {tile.shape for tile in grid} == {(32, 16)}
    assert len(grid) == 2 * 4


@given(grids())
def test_weights_are_positive_and_sum_to_one(grid):
    total = np.zeros(grid[:2])
    for tile in tiles(*grid):
        assert tile.weights.shape == tile.shape
        assert tile.weights.min() > 0
        total[tile.rows, tile.columns] += tile.weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


@given(grids())
def test_blend_of_identity_is_the_picture(grid):
    image = picture(*grid[:2])
    bands = list(blend(tiles(*grid), lambda tile: image[tile.rows, tile.columns]))
    blended = np.concatenate(bands)
    assert blended.dtype == np.float32
    np.testing.assert_array_equal(blended.round(), image)
    np.testing.assert_allclose(blended, image, rtol=1e-5)


@settings(max_examples=30)
@given(grids())
def test_blend_is_the_sum_of_weighted_tiles(grid):
    patches = [picture(*tile.shape, seed=i) for i, tile in enumerate(tiles(*grid))]
    expected = np.zeros((*grid[:2], 3))
    for tile, patch in zip(tiles(*grid), patches, strict=True):
        expected[tile.rows, tile.columns] += patch * tile.weights[..., None]
    calls = iter(patches)
    blended = np.concatenate(list(blend(tiles(*grid), lambda tile: next(calls))))
    np.testing.assert_allclose(blended, expected, rtol=1e-4, atol=1e-3)
    assert next(calls, None) is None


def test_blend_takes_pictures_of_one_channel():
    image = picture(20, 30)[..., 0]
    bands = blend(tiles(20, 30, 8, 4), lambda tile: image[tile.rows, tile.columns])
    np.testing.assert_array_equal(np.concatenate(list(bands)).round(), image)


def test_seams_are_ramps_without_a_step():
    """Two tiles that disagree, 0 and 1, meet in a monotonous ramp of small steps."""
    grid = tiles(1, 48, tile=32, overlap=16)
    row = next(blend(grid, lambda tile: np.full(tile.shape, float(tile.columns.start > 0))))[0]
    steps = np.diff(row)
    assert (row[:16] == 0).all()
    assert (row[32:] == 1).all()
    assert (steps >= 0).all()
    assert steps.max() < 7 / 16
    assert row[16:20].max() < 0.001


def test_blend_yields_a_band_before_it_runs_the_next_row_of_tiles():
    seen = []

    def run(tile):
        seen.append(tile)
        return np.ones(tile.shape)

    grid = tiles(40, 20, tile=16, overlap=8, multiple=8)  # rows of tiles start at 0, 8, 16, 24
    heights = []
    for number, band in enumerate(blend(grid, run), start=1):
        assert len(seen) == number * 2
        heights.append(len(band))
    assert heights == [8, 8, 8, 16]


def test_errors_of_a_tile_are_not_hidden():
    def run(tile):
        raise MemoryError("tile")

    with pytest.raises(MemoryError, match="tile"):
        next(blend(tiles(9, 9, 4, 2), run))


def test_a_result_of_another_size_is_an_error():
    with pytest.raises(ValueError, match=r"\(1, 1, 3\) for a tile of \(4, 4\)"):
        next(blend(tiles(9, 9, 4, 2), lambda tile: np.zeros((1, 1, 3))))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 9, 4, 2, 1), "got 0x9"),
        ((9, 0, 4, 2, 1), "got 9x0"),
        ((9, 9, 12, 2, 8), "tile: got 12, expected a multiple of 8"),
        ((9, 9, 0, 0, 8), "tile: got 0"),
        ((9, 9, 16, 9, 8), "overlap: got 9, expected 0 to 8"),
        ((9, 9, 16, -1, 8), "overlap: got -1"),
        ((9, 9, (16, 12), 2, 8), "tile: got 12, expected a multiple of 8"),
    ],
)
def test_impossible_grids_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiles(*arguments)


@given(sides, st.integers(1, 64))
def test_crop_undoes_padding(size, multiple):
    image = picture(*size)
    padded = pad_to_multiple(image, multiple)
    assert [side % multiple for side in padded.shape[:2]] == [0, 0]
    assert all(0 <= big - small < multiple for big, small in zip(padded.shape, size, strict=False))
    np.testing.assert_array_equal(crop(padded, *size), image)


def test_padding_mirrors_without_repeating_the_border():
    row = np.array([[1, 2, 3, 4, 5]])
    np.testing.assert_array_equal(pad_to_multiple(row, 8), [[1, 2, 3, 4, 5, 4, 3, 2]] * 8)
    np.testing.assert_array_equal(pad_to_multiple(row[:, :2], 8)[0], [1, 2, 1, 2, 1, 2, 1, 2])


@given(st.integers(1, 97), st.sampled_from([(16, 4, 4), (24, 8, 8), (32, 5, 2)]))
def test_padded_tiles_all_have_the_same_size(length, grid):
    tile, overlap, multiple = grid
    shapes = {
        pad_to_multiple(np.zeros(t.shape), multiple).shape
        for t in tiles(length + tile, length + tile, tile, overlap, multiple)
    }
    assert shapes == {(tile, tile)}
