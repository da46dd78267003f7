"""Redactions are found wherever they are, and photos that have none are left to the network."""

import numpy as np
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from idrestore.restoration import guard
from idrestore.restoration.guard import FEATHER, Region, find_redactions, keep, mask_of
from idrestore.restoration.guard.regions import STRIP, areas, pooled


def scene(height=240, width=320, seed=0):
    """Return a photo of bumps of all sizes with some noise, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    total = np.full((height, width, 3), 120.0)
    for sigma, contrast in ((1, 60), (4, 150), (12, 400)):
        layer = pyvips.Image.new_from_array(rng.normal(0, 1, (height, width, 3)).astype(np.float32)).gaussblur(sigma)
        total += contrast * layer.numpy()
    return (total + rng.normal(0, 3, total.shape)).clip(0, 255).astype(np.uint8)


def covered(picture, top=70, bottom=150, left=100, right=200):
    changed = picture.copy()
    changed[top:bottom, left:right] = (20, 40, 90)
    return changed


def pixelated(picture, block, top=70, bottom=150, left=100, right=200):
    changed = picture.copy()
    for y in range(top, bottom, block):
        for x in range(left, right, block):
            part = changed[y : min(y + block, bottom), x : min(x + block, right)]
            part[:] = part.mean(axis=(0, 1)).round()
    return changed


def blurred(picture, ellipse=False, top=70, bottom=150, left=100, right=200):
    soft = pyvips.Image.new_from_array(picture).gaussblur(8).numpy()
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    inside = (y >= top) & (y < bottom) & (x >= left) & (x < right)
    if ellipse:
        inside &= ((y - 110) / 40) ** 2 + ((x - 150) / 50) ** 2 <= 1
    return np.where(inside[..., None], soft, picture)


REDACTIONS = {
    "bar": covered,
    "mosaic 5": lambda picture: pixelated(picture, 5),
    "mosaic 8": lambda picture: pixelated(picture, 8),
    "mosaic 20": lambda picture: pixelated(picture, 20),
    "blur": blurred,
    "round blur": lambda picture: blurred(picture, ellipse=True),
}


def jpeg(picture, quality):
    data = pyvips.Image.new_from_array(picture, interpretation="srgb").jpegsave_buffer(Q=quality)
    return pyvips.Image.new_from_buffer(data, "").numpy()


@pytest.mark.parametrize("save", [lambda picture: picture, lambda picture: jpeg(picture, 90)], ids=["exact", "jpeg"])
@pytest.mark.parametrize("name", REDACTIONS)
def test_a_redaction_is_found_whole_and_little_else(name, save):
    original = scene()
    changed = REDACTIONS[name](original)
    redacted = (changed != original).any(axis=2)
    regions = find_redactions(save(changed))
    mask = mask_of(regions, *redacted.shape)
    assert {region.kind for region in regions} == {name.split()[-1] if "blur" in name else name.split()[0]}
    assert mask[redacted].mean() >= 0.99
    assert mask[~redacted].mean() < 0.2


def sky(height=240, width=320):
    """A clean gradient above texture."""
    picture = scene(height, width)
    picture[:120] = np.linspace(150, 230, 120)[:, None, None]
    return picture


ORDINARY = {
    "scene": scene,
    "another": lambda: scene(seed=5),
    "sky": sky,
    "night": lambda: scene() // 12,
    "overexposed": lambda: np.minimum(scene().astype(np.uint16) * 2, 255).astype(np.uint8),
    "out of focus": lambda: pyvips.Image.new_from_array(scene()).gaussblur(6).numpy(),
    "letterbox": lambda: np.pad(scene(), ((40, 40), (0, 0), (0, 0))),
    "scan": lambda: np.pad(scene(), ((20, 20), (20, 20), (0, 0)), constant_values=255),
    "strong noise": lambda: (scene() + np.random.default_rng(1).normal(0, 40, (240, 320, 3))).clip(0, 255),
    "coarse JPEG": lambda: jpeg(scene(), 10),
    "JPEG": lambda: jpeg(sky(), 50),
    "flat": lambda: np.full((240, 320, 3), 77, np.uint8),
    "wholly pixelated": lambda: pixelated(scene(), 8, 0, 240, 0, 320),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_photos_raise_no_alarm(name):
    assert find_redactions(ORDINARY[name]().astype(np.uint8)) == []


@pytest.mark.parametrize("name", ["bar", "mosaic 8", "blur"])
def test_every_kind_of_array_gives_the_same_regions(name):
    grey = REDACTIONS[name](scene()[..., :1].repeat(3, axis=2))
    expected = find_redactions(grey)
    assert expected
    alpha = np.random.default_rng(0).integers(0, 256, (*grey.shape[:2], 1), np.uint8)
    for array in (
        grey[..., 0],
        grey[..., :1],
        np.concatenate([grey, alpha], axis=2),
        grey.astype(np.uint16) * 257,
        (grey / 255).astype(np.float32),
    ):
        assert find_redactions(array) == expected


def test_regions_across_strips_are_found_whole():
    tall = scene(STRIP + 200, 200)
    for change in (covered, lambda *box: pixelated(box[0], 8, *box[1:]), lambda *box: blurred(box[0], False, *box[1:])):
        box = (STRIP - 40, STRIP + 40, 60, 140)
        regions = find_redactions(change(tall, *box))
        assert mask_of(regions, *tall.shape[:2])[box[0] : box[1], box[2] : box[3]].mean() >= 0.99


@settings(max_examples=60)
@given(
    arrays.arrays(
        np.uint8,
        st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 4])),
        elements=st.sampled_from([0, 9, 255]),
    )
)
def test_any_size_is_looked_at_and_no_region_leaves_the_photo(picture):
    for region in find_redactions(picture):
        assert 0 <= region.top < region.bottom <= picture.shape[0]
        assert 0 <= region.left < region.right <= picture.shape[1]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 2), np.uint8),
        np.zeros(4),
        np.zeros((4, 4), bool),
        np.zeros((0, 4)),
        np.zeros((4, 4), np.uint32),
        np.full((4, 4), 200.0),
    ],
)
def test_what_is_no_photo_is_refused(array):
    with pytest.raises(ValueError, match=r"expected (uint8, uint16, or floats|\(H, W\), )"):
        find_redactions(array)


def test_a_mask_is_the_union_of_its_regions():
    mask = mask_of([Region("bar", 1, 2, 3, 4), Region("blur", 2, 3, 5, 9)], 6, 8)
    assert mask.sum() == 4 + 3 * 5 - 1
    assert mask[2, 3]
    assert not mask[0].any()


def test_what_is_kept_falls_off_outside_alone_and_alike_in_any_bands():
    mask = np.zeros((40, 30), np.bool_)
    mask[10:20, 5:25] = True
    whole = keep(mask, 0, 40)[..., 0]
    assert (whole[mask] == 1).all()
    np.testing.assert_allclose(whole[19:25, 15], [1, 0.8, 0.6, 0.4, 0.2, 0], atol=1e-6)
    assert whole[20 + FEATHER :].max() == 0
    bands = [keep(mask, top, top + 8)[..., 0] for top in range(0, 40, 8)]
    np.testing.assert_array_equal(np.concatenate(bands), whole)


@settings(max_examples=50)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 2)))
def test_areas_are_those_of_a_flood_fill(values):
    found = set()
    seen = np.zeros(values.shape, np.bool_)
    for start in zip(*np.nonzero(values), strict=True):
        area, queue = [], [start]
        while queue:
            y, x = queue.pop()
            inside = 0 <= y < values.shape[0] and 0 <= x < values.shape[1]
            if inside and not seen[y, x] and values[y, x] == values[start]:
                seen[y, x] = True
                area.append((int(y), int(x)))
                queue += [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        if area:
            rows, columns = zip(*area, strict=True)
            found.add((min(rows), min(columns), max(rows) + 1, max(columns) + 1, len(area)))
    labels, listed = areas(values)
    assert {area[:5] for area in listed} == found
    for area in listed:
        assert (labels == area.label).sum() == area.size


def test_pooling_sums_what_is_left_at_the_edges_too():
    values = np.arange(35).reshape(5, 7)
    assert pooled(values, 3).tolist() == [
        [values[top : top + 3, left : left + 3].sum() for left in (0, 3, 6)] for top in (0, 3)
    ]


def test_the_guard_names_what_it_offers():
    assert all(hasattr(guard, name) for name in guard.__all__)
