"""The restorer: arrays of every kind in, the same kind out; one decision a photo; tiles that do not show."""

import copy
import dataclasses
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from small import BOTH, needs_bf16, network

from idrestore.degradations import NAMES, operation_of
from idrestore.model.checkpoint import Model
from idrestore.model.config import PRESETS
from idrestore.model.network import RestorationNetwork
from idrestore.model.outputs import NetworkOutput, Routed
from idrestore.restoration import evidence, memory, pixels, plan
from idrestore.restoration import restorer as restore
from idrestore.restoration.engine import NotFiniteError
from idrestore.restoration.request import Request
from idrestore.restoration.restorer import Restorer
from idrestore.restoration.rules import Rules

TINY = dataclasses.replace(PRESETS["tiny"], affine_refiner=())
RULES = {"now": Rules()}
"""Those in force"""


@pytest.fixture(autouse=True)
def _one_colour_is_restored(monkeypatch):
    """Let pictures of one colour be restored, whose results are known numbers."""
    monkeypatch.setattr(evidence, "is_one_colour", lambda _: False)


def restorer(seed=0, change=None, tile=256, rules=None, **config):
    """Return a restorer with an untrained network; `change` scales what it changes (0: nothing)."""
    torch.manual_seed(seed)
    network = RestorationNetwork(dataclasses.replace(TINY, **config)).eval()
    if change is not None:
        with torch.no_grad():
            for weight in network.output.parameters():
                weight.mul_(change)
    return Restorer(Model(network, {}, Path("tiny"), ""), "cpu", "fp32", tile, rules=rules or RULES["now"])


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (45, 37, 3), dtype=np.uint8)


@pytest.fixture
def once(monkeypatch):
    """Take the routers at their word: an untrained network hints at everything, and random pixels are all grain."""
    monkeypatch.setitem(RULES, "now", dataclasses.replace(Rules(), min_second_share=2, grain=(1e8, 1e9)))


@pytest.fixture(scope="module")
def unchanging():
    """Return a restorer that leaves to its network, which changes nothing, what is done by rules alone otherwise.

    These roll highlights off, and lift the shadows of a photo that has lights or is found to be dark.
    """
    rules = dataclasses.replace(Rules(), highlights=(1.0, 2.0), min_lights=2.0, lift_brightness=(0.0, -1.0))
    return restorer(change=0, rules=rules)


def few_lights():
    """Return a black picture with a few lights, (37, 36), 8 bit: noise to an untrained network, dark to the rules."""
    image = np.zeros((37, 36), np.uint8)
    image.flat[::23] = 200
    return image


@settings(max_examples=40, deadline=None)
@example(image=np.array([[[110, 0, 0]]], np.uint8))  # dark
@example(image=few_lights())
@given(
    image=arrays.arrays(
        st.sampled_from([np.uint8, np.uint16]),
        st.one_of(
            st.tuples(st.integers(1, 40), st.integers(1, 40)),
            st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 4])),
        ),
    )
)
def test_a_network_that_changes_nothing_returns_the_photo(unchanging, image):
    result = unchanging.restore(image)
    assert result.image.dtype == image.dtype
    np.testing.assert_array_equal(result.image, image)


@pytest.mark.parametrize(
    ("before", "after", "in_turn"),
    [
        ({"noise": 0.8, "haze": 0.1, "clean": 0.1}, {"haze": 0.8, "clean": 0.15}, True),
        ({"noise": 0.7, "haze": 0.2, "clean": 0.1}, {"haze": 0.75, "clean": 0.2}, False),  # doubtful
        ({"noise": 0.8, "haze": 0.07, "clean": 0.1}, {"haze": 0.8, "clean": 0.1}, False),  # hardly a trace of it before
        ({"noise": 0.8, "haze": 0.1, "blur": 0.02}, {"blur": 0.9}, False),  # soft because its noise is gone
        ({"rain": 0.8, "blur": 0.1}, {"blur": 0.9}, False),
        ({"rain": 0.8, "haze": 0.2}, {"rain": 0.9}, False),  # what was just undone
        ({"noise": 0.98, "haze": 0.02}, {"haze": 0.9}, False),  # not looked at again at all
    ],
)
def test_what_hid_behind_another_degradation_is_restored_in_a_second_pass(before, after, in_turn):
    rules = Rules()
    bright = pixels.Photo.of(np.full((64, 64, 3), 0.5))
    undone, unknown = next(iter(before)), SimpleNamespace(haze=None)
    believed = rules.needs_second_pass([before], undone, after, unknown)
    assert (rules.may_hide_something(before, bright) and believed) == in_turn


@pytest.mark.parametrize(
    ("undone", "after", "believed"),
    [
        ("rain", {"haze": 0.6, "clean": 0.3}, True),  # there was no trace of it
        ("noise", {"haze": 0.6, "clean": 0.3}, True),
        ("rain", {"haze": 0.4, "clean": 0.3}, False),
        ("haze", {"haze": 0.9, "clean": 0.1}, False),  # just undone
        ("rain", {"low_light": 0.9, "clean": 0.1}, False),  # nobody asks the whole photo for it
    ],
)
def test_haze_needs_no_trace_where_the_whole_photo_was_asked(undone, after, believed):
    """Of photos in haze and rain two thirds stayed hazy once the rain was gone."""
    before = [{undone: 0.97, "clean": 0.02, "haze": 0.01}]
    assert Rules().needs_second_pass(before, undone, after, SimpleNamespace(haze=0.8)) == believed


def test_what_was_hidden_twice_is_believed_more_easily():
    rules, after = Rules(), {"haze": 0.75, "clean": 0.22}
    noisy, rainy = {"noise": 0.5, "rain": 0.25, "haze": 0.2}, {"rain": 0.85, "haze": 0.08}
    unknown = SimpleNamespace(haze=None)
    assert rules.needs_second_pass([noisy, rainy], "rain", after, unknown)
    assert not rules.needs_second_pass([rainy], "rain", after, unknown)
    assert not rules.needs_second_pass([{"noise": 0.5, "haze": 0.08}, rainy], "rain", after, unknown)


def test_a_dark_noisy_photo_is_brightened_once_its_noise_is_gone():
    """Such photos were named noisy, and stayed as dark as they were."""
    rng = np.random.default_rng(0)
    scene = np.kron(rng.uniform(0.02, 0.2, (8, 8, 3)), np.ones((24, 24, 1)))
    photo = np.clip(scene + rng.normal(0, 0.06, scene.shape), 0, 1).astype(np.float32)
    restorer = restore.load("fast", "cpu", "fp32")
    result = restorer.restore(photo)
    assert next(iter(result.ingredients)) == "noise"
    assert result.again is not None and next(iter(result.again)) == "low_light"
    assert result.image.mean() > 2.5 * photo.mean()
    assert np.corrcoef(result.image.ravel(), scene.ravel())[0, 1] > 0.95
    left = restorer.restore(photo, strength={"low_light": 0.0})
    assert left.image.mean() == pytest.approx(photo.mean(), abs=0.02)


@pytest.mark.parametrize(("change", "is_hidden"), [(5.9, False), (6.1, True)])
def test_weak_noise_hides_no_blur(change, is_hidden):
    assert Rules().may_hide_blur("noise", {"blur": 0.9}, change / 255) == is_hidden


@pytest.mark.parametrize("shape", [(30, 40, 3), (1100, 1300, 3)])
def test_the_difference_of_photos_is_that_of_their_pixels(shape):
    rng = np.random.default_rng(0)
    before = rng.integers(0, 200, shape, np.uint8)
    after = (before + rng.normal(20, 10, shape)).round().astype(np.uint8)
    expected = np.sqrt(((after.astype(float) - before) ** 2).mean()) / 255
    assert pixels.difference(before, after, 255) == pytest.approx(expected, rel=0.01)
    assert pixels.difference(before, before, 255) == 0


def test_floats_come_back_as_floats():
    image = np.random.default_rng(0).random((20, 20, 3)).astype(np.float32)
    result = restorer(change=0).restore(image)
    assert result.image.dtype == np.float32
    np.testing.assert_allclose(result.image, image, atol=1e-6)


def test_the_input_is_left_alone(photo):
    before = photo.copy()
    changed = restorer().restore(photo).image
    np.testing.assert_array_equal(photo, before)
    assert (changed != photo).any()


@pytest.mark.usefixtures("once")
def test_the_result_is_the_networks(photo):
    """Against the network called by hand on the padded photo."""
    subject = restorer()
    padded = np.pad(photo, ((0, 3), (0, 11), (0, 0)), mode="reflect")
    with torch.no_grad():
        output = subject.engine.network(torch.from_numpy(padded).permute(2, 0, 1)[None] / 255)
    expected = (output.restored[0].permute(1, 2, 0).clamp(0, 1) * 255).round().numpy()[:45, :37]
    result = subject.restore(photo)
    assert np.abs(result.image - expected).max() <= 1
    shares = output.logits.softmax(2).mean((0, 1))
    for name, share in zip(TINY.degradations, shares.tolist(), strict=True):
        assert result.ingredients[name] == pytest.approx(share, abs=1e-5)


def test_ingredients_are_sorted_and_sum_to_one(photo):
    shares = list(restorer().restore(photo).ingredients.values())
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)


def test_alpha_passes_through_and_does_not_matter(photo):
    alpha = np.arange(45 * 37, dtype=np.uint8).reshape(45, 37, 1)
    result = restorer().restore(np.concatenate([photo, alpha], axis=2))
    np.testing.assert_array_equal(result.image[..., 3:], alpha)
    np.testing.assert_array_equal(result.image[..., :3], restorer().restore(photo).image)


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
def test_strength_scales_the_change(strength):
    photo = np.full((32, 32, 3), 32768, np.uint16)  # far from where results are clipped
    full = restorer(change=0.1).restore(photo).image.astype(float)
    part = restorer(change=0.1).restore(photo, strength=strength).image.astype(float)
    assert np.abs(part - (photo + strength * (full - photo))).max() <= 1


@pytest.mark.usefixtures("once")
def test_only_gives_the_rest_to_clean(photo):
    subject = restorer()
    seen = []
    subject.engine.network.register_forward_hook(lambda _, given, __: seen.append(given[1]))
    subject.restore(photo, only={"rain", "haze"})
    routed = restorer().engine.network
    padded = np.pad(photo, ((0, 3), (0, 11), (0, 0)), mode="reflect")
    with torch.no_grad():
        rows = routed(torch.from_numpy(padded).permute(2, 0, 1)[None] / 255).logits.softmax(2)
    expected = torch.zeros_like(rows)
    expected[..., 1:3] = rows[..., 1:3]
    expected[..., 5] = 1 - expected.sum(dim=2)
    torch.testing.assert_close(seen[-1], expected)


@pytest.mark.usefixtures("once")
@pytest.mark.parametrize("shape", [(40, 700, 3), (300, 300, 3), (300, 600, 3)])
@pytest.mark.parametrize("num_crops", [1, 16])
def test_a_photo_in_several_tiles_is_decided_once(shape, num_crops):
    """Half of it dark: one decision, from crops of a large one and all of a small one, the same in all tiles."""
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image[:, shape[1] // 2 :] //= 8
    subject, rows, routed = restorer(), [], []
    subject.routing_crops = num_crops
    route = subject.engine.route
    subject.engine.route = lambda photos, **how: routed.append(photos) or route(photos, **how)
    subject.engine.network.register_forward_hook(lambda _, given, __: rows.append(given[1]))
    subject.restore(image)
    assert len(routed) == 1
    assert routed[0].shape == ((1, 256, 256, 3) if num_crops == 1 and min(shape[:2]) == 300 else routed[0].shape)
    assert len(rows) > 1
    assert all(given is rows[0] for given in rows)


@pytest.mark.usefixtures("once")
def test_tiles_do_not_show():
    """Tiled equals untiled as far as the overlap covers the receptive field, with the same ingredients."""
    image = np.random.default_rng(1).integers(0, 256, (384, 512, 3), dtype=np.uint8)
    only = set(TINY.degradations) - {"clean"}
    whole = restorer(tile=1024, change=0.1).restore(image, only=only).image.astype(int)
    tiled = restorer(tile=256, change=0.1).restore(image, only=only).image.astype(int)
    assert np.abs(whole - image).mean() > 10
    assert np.mean(np.abs(whole - tiled) <= 1) >= 0.9999


def test_what_the_whole_photo_shows_is_the_same_in_all_tiles(monkeypatch):
    """The affine refiner sees one thumbnail, and its colour grid lies over the photo, not over the tiles."""
    monkeypatch.setattr(plan, "THUMBNAIL", 64)
    image = np.random.default_rng(0).integers(0, 256, (300, 420, 3), dtype=np.uint8)
    seen = []

    def restored(tile):
        subject = restorer(tile=tile, change=0, affine_refiner=(6, 8, 10))
        subject.engine.network.affine_refiner.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        torch.nn.init.normal_(subject.engine.network.affine_refiner.output.bias, 0, 0.3)
        return subject.restore(image, ingredients={"haze": 0.8}).image.astype(int)

    whole, tiled = restored(1024), restored(256)
    assert len(seen) == 2
    assert seen[0].shape == (1, 3, 48, 80)
    assert torch.equal(*seen)
    assert np.abs(whole - image).mean() > 2
    assert np.abs(whole - tiled).max() <= 1


@pytest.mark.parametrize(
    ("tile", "num_crops", "size"),
    [(1024, 1, (1, 3, 300, 420)), (256, 16, (1, 3, 300, 420)), (256, 1, (1, 3, 256, 256))],
)
def test_blur_is_read_once_a_photo(monkeypatch, tile, num_crops, size):
    """From all of a small one, or from the crops that a large one is routed by."""
    image = np.random.default_rng(0).integers(0, 256, (300, 420, 3), dtype=np.uint8)
    subject, seen, undone = restorer(tile=tile), [], []
    subject.routing_crops = num_crops
    read = subject.engine.network.read_blur
    monkeypatch.setattr(subject.engine.network, "read_blur", lambda crops: seen.append(crops) or read(crops))
    subject.engine.network.deblurring_refiner.register_forward_pre_hook(
        lambda _, given: undone.append((given[0] - given[2]).abs().max())
    )
    subject.restore(image, ingredients={"noise": 1})
    assert not seen
    subject.restore(image, ingredients={"blur": 0.8})
    assert [crops.shape for crops in seen] == [size]
    if size[2:] == image.shape[:2]:
        np.testing.assert_allclose(seen[0][0].permute(1, 2, 0), image / 255, atol=1e-6)
    assert undone
    assert min(undone) > 0.01


def test_photos_that_are_too_small_for_it_have_no_kernel():
    image = np.random.default_rng(0).integers(0, 256, (48, 200, 3), dtype=np.uint8)
    subject = restorer()
    request = subject.request(ingredients={"blur": 0.8})
    photos = [pixels.Photo.of(each) for each in (image, np.repeat(image, 2, axis=0))]
    small, large = (subject._planner.first(photo, request, subject._grid(photo)) for photo in photos)
    assert small.deconvolution is None
    assert large.deconvolution.shape == (1, 97, 97)
    assert subject.restore(image, ingredients={"blur": 0.8}).image.shape == image.shape


def test_progress_counts_tiles(once):
    image, told = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8), []
    restorer().restore(image, progress=lambda *at: told.append(at))
    assert told == [(done, told[-1][1]) for done in range(1, told[-1][1] + 1)]
    assert told[-1][1] > 1


def test_half_the_tile_needs_a_quarter_of_the_memory_and_not_in_tiles_alone():
    """Routing, too: no pass of the network sees more pixels than a tile has."""
    image = np.random.default_rng(0).integers(0, 256, (600, 700, 3), dtype=np.uint8)
    subject, tiles, sizes = restorer(tile=1024), [], []
    subject.engine.network.register_forward_pre_hook(lambda _, given: sizes.append(given[0][:, 0].numel()))
    while subject:
        tiles.append(subject.tile)
        sizes.clear()
        assert subject.restore(image).image.shape == image.shape
        assert max(sizes) <= subject.tile**2
        subject = subject.smaller()
    assert tiles == [1024, 512, 256]


def tiles_of(subject, image):
    """Return the sides (rows, columns) of what reaches the network, the routing left out."""
    assert subject._bytes_per_pixel  # measured now, by passes of its own
    sizes = []
    hook = subject.engine.network.register_forward_pre_hook(
        lambda _, given: sizes.append(tuple(given[0].shape[2:])) if given[1] is not None else None
    )
    subject.restore(image)
    hook.remove()
    return set(sizes)


def test_tiles_are_no_larger_than_their_number_needs():
    image = np.random.default_rng(0).integers(
        0, 256, (300, 500, 3), dtype=np.uint8
    )  # two rows of tiles, and three columns
    assert tiles_of(restorer(tile=256), image) == {(208, 256)}


def test_the_tile_shrinks_to_the_memory_that_is_left(monkeypatch):
    image = np.zeros((1100, 1100, 3), np.uint8)
    subject = Restorer(restorer().model, "cpu", "fp32")
    for side in (1088, 544, 272):
        network = restore.WORK * subject._bytes_per_pixel * side**2
        enough = int(network + restore.BAND * side * 1100 + image.nbytes) + 1
        monkeypatch.setattr(memory, "available", lambda enough=enough: enough)
        assert subject.fitting(image).tile == side
        monkeypatch.setattr(memory, "available", lambda enough=enough: enough - 2)
        assert subject.fitting(image).tile == max(side // 2, 272)
    given = Restorer(subject.model, "cpu", "fp32", tile=512)
    assert given.fitting(image).tile == 512


def test_a_budget_counts_what_is_taken_already(monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    monkeypatch.setattr(memory, "resident", lambda: 10**9)
    model = restorer().model
    assert tiles_of(Restorer(model, "cpu", "fp32", budget=2 * 10**9), image) == {(608, 608)}
    assert tiles_of(Restorer(model, "cpu", "fp32", budget=10**9 + 10**7), image) == {(272, 272)}
    with pytest.raises(ValueError, match=r"memory: got 0.90G, expected more than the 1.00G taken already"):
        Restorer(model, budget=9 * 10**8)


def test_memory_beside_the_result_does_not_grow_with_the_photo():
    def peak(height):
        image = np.zeros((height, 260, 3), np.uint8)
        subject = restorer()
        tracemalloc.start()
        subject.restore(image, ingredients={"rain": 1.0})
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most - image.nbytes

    assert peak(1600) < 1.1 * peak(800)


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((4, 4, 2), np.uint8), {}, r"image: got shape \(4, 4, 2\)"),
        (np.zeros(4, np.uint8), {}, r"image: got shape \(4,\)"),
        (np.zeros((0, 4, 3), np.uint8), {}, r"image: got shape \(0, 4, 3\)"),
        (np.zeros((4, 4, 3), np.int64), {}, "image: got int64, expected uint8, uint16, or floats"),
        (
            np.full((4, 4, 3), 255.0),
            {},
            r"got floats from 255 to 255, .* \[0, 1\]: divide by 255, or pass uint8",
        ),
        (np.full((4, 4, 3), 4e3), {}, "divide by 65535, or pass uint16"),
        (np.full((4, 4, 3), -0.5), {}, "got floats from -0.5 to -0.5, .*: clip them"),
        (np.full((4, 4, 3), np.nan), {}, "image: got NaN or infinite values among float64, expected"),
        (np.zeros((4, 4, 3), np.uint8), {"strength": 1.5}, "strength: got 1.5, expected 0 to 1"),
        (np.zeros((4, 4, 3), np.uint8), {"only": {"snow"}}, "only: got snow, expected some of noise"),
    ],
)
def test_impossible_input_is_refused_in_one_line(image, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        restorer().restore(image, **options)
    assert "\n" not in str(caught.value)


def test_degradations_may_be_named_in_the_words_of_people():
    wishes = {"rain", "low_light"}, "rain, Night", ["rainy", "dark"]
    assert len({tuple(Request.of(NAMES, only=only).factors.tolist()) for only in wishes}) == 1
    assert Request.of(NAMES, strength={"fog": 0.5}).factors[NAMES.index("haze")] == 0.5
    assert Request.of(NAMES, ingredients={"foggy": 1.0}).ingredients[0, 0, NAMES.index("haze")] == 1
    assert Request.of(NAMES, ingredients={"fog": 0.4, "haze": 0.4}).ingredients[0, 0, NAMES.index("haze")] == 0.4
    with pytest.raises(ValueError, match=r"^ingredients: got 0.4 and 0.2 for haze, expected one number$"):
        Request.of(NAMES, ingredients={"fog": 0.4, "haze": 0.2})


def test_a_models_own_name_goes_before_the_words_of_people():
    assert Request.of(("noise", "grain"), ingredients={"grain": 1.0}).ingredients.tolist() == [[[0, 1]]]


def test_only_needs_a_clean_prior(photo):
    with pytest.raises(ValueError, match="only: this model was trained without clean photos"):
        restorer(degradations=("noise", "rain")).restore(photo, only={"rain"})


def test_what_is_told_in_full_needs_no_clean_prior(photo):
    small = restorer(degradations=("noise", "rain"))
    assert small.restore(photo, ingredients={"noise": 0.25, "rain": 0.75}).ingredients == {"rain": 0.75, "noise": 0.25}
    with pytest.raises(ValueError, match="ingredients: this model was trained without clean photos"):
        small.restore(photo, ingredients={"rain": 0.75})


def test_impossible_settings_are_refused():
    model = restorer().model
    with pytest.raises(ValueError, match="tile: got 100, expected a multiple of 16"):
        Restorer(model, tile=100)
    with pytest.raises(ValueError, match="device: got 'abacus'"):
        Restorer(model, device="abacus")


@needs_bf16
def test_bf16_stays_close_to_fp32(photo):
    full = restorer(change=0.1)
    half = Restorer(full.model, "cpu", "bf16")
    difference = full.restore(photo).image.astype(float) - half.restore(photo).image
    assert np.abs(difference).mean() < 1


def rows_seen(subject, photo, **steering):
    """Return the ingredients (M, K) that reached the network last."""
    seen = []
    subject.engine.network.register_forward_hook(lambda _, given, __: seen.append(given[1]))
    subject.restore(photo, **steering)
    return seen[-1][0]


def test_given_ingredients_take_the_routers_place_and_the_rest_is_clean(photo):
    rows = rows_seen(restorer(), photo, ingredients={"rain": 0.5, "noise": 0.2})
    torch.testing.assert_close(rows, torch.tensor([[0.2, 0.5, 0, 0, 0, 0.3]] * 3))


def test_strengths_of_single_degradations_scale_their_shares(photo):
    given = {"rain": 0.5, "noise": 0.2, "haze": 0.3}
    rows = rows_seen(restorer(), photo, ingredients=given, strength={"rain": 0.5, "haze": 0})
    torch.testing.assert_close(rows, torch.tensor([[0.2, 0.25, 0, 0, 0, 0.55]] * 3))


@pytest.mark.usefixtures("once")
def test_only_is_a_strength_of_zero_for_the_others(photo):
    only = restorer().restore(photo, only={"rain"})
    zero = restorer().restore(photo, strength=dict.fromkeys(set(TINY.degradations) - {"rain"}, 0.0))
    np.testing.assert_array_equal(only.image, zero.image)


@pytest.mark.parametrize("shape", [(45, 37, 3), (300, 300, 4)])
def test_an_explanation_restores_as_usual(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    subject = restorer()
    explained, restored = subject.explain(image), subject.restore(image)
    np.testing.assert_array_equal(explained.result.image, restored.image)
    assert explained.result.ingredients == restored.ingredients
    assert list(explained.routers) == ["encoder2", "encoder3", "decoder2"]
    means = {name: np.mean([row[name] for row in explained.routers.values()]) for name in TINY.degradations}
    assert means == pytest.approx(restored.ingredients, abs=1e-6)
    assert all(heat.shape == shape[:2] and (heat >= 0).all() for heat in explained.heat.values())


def test_an_explanation_of_a_clean_photo_leaves_it_too(photo, monkeypatch):
    monkeypatch.setitem(RULES, "now", dataclasses.replace(Rules(), clean_shares=(-2.0, -1.0), sure_share=0.0))
    explained, restored = restorer().explain(photo), restorer().restore(photo)
    np.testing.assert_array_equal(explained.result.image, photo)
    assert explained.result.again is restored.again is None
    assert not explained.result.changed
    assert explained.latents


def test_an_explanation_leaves_what_is_protected():
    image = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    mask = np.zeros((64, 80), np.bool_)
    mask[8:40, 20:60] = True
    explained = restorer().explain(image, protect=mask)
    assert (explained.result.image == image)[mask].all()
    np.testing.assert_array_equal(explained.result.image, restorer().restore(image, protect=mask).image)


@pytest.mark.usefixtures("once")
def test_the_latent_pictures_are_the_networks(photo):
    subject = restorer()
    explained = subject.explain(photo)
    padded = np.pad(photo, ((0, 3), (0, 11), (0, 0)), mode="reflect")
    with torch.no_grad():
        output = subject.engine.network(torch.from_numpy(padded).permute(2, 0, 1)[None] / 255)
    for maps, block in zip(explained.latents.values(), output.latents, strict=True):
        for ours, theirs in zip(maps, block, strict=True):
            np.testing.assert_allclose(ours, theirs[0], atol=1e-4)
    assert explained.region == (slice(0, 45), slice(0, 37))


@pytest.mark.usefixtures("once")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [0, 3, 4])
def test_what_is_protected_comes_back_exactly_and_only_that(dtype, channels):
    rng = np.random.default_rng(0)
    shape = (300, 280) + ((channels,) if channels else ())  # two tiles each way
    image = (
        rng.random(shape).astype(dtype)
        if np.dtype(dtype).kind == "f"
        else rng.integers(0, np.iinfo(dtype).max, shape, dtype)
    )
    mask = np.zeros((300, 280), np.bool_)
    mask[100:240, 200:260] = True
    free, kept = (restorer().restore(image, protect=protect).image for protect in (None, mask))
    np.testing.assert_array_equal(kept[mask], image[mask])
    assert (free[mask] != image[mask]).any()
    far = np.ones_like(mask)
    far[100 - 4 : 240 + 4, 200 - 4 : 260 + 4] = False
    np.testing.assert_array_equal(kept[far], free[far])
    assert kept.dtype == image.dtype


@pytest.mark.parametrize("mask", [np.zeros((37, 45), bool), np.zeros((45, 37), np.uint8), np.zeros((45, 37, 3), bool)])
def test_a_mask_of_another_shape_or_type_is_refused(photo, mask):
    with pytest.raises(ValueError, match=r"protect: got .* expected bool \(45, 37\)"):
        restorer().restore(photo, protect=mask)


class Layers(torch.nn.Module):
    """A network for a photo in which one degradation hides another: first it takes 0.2 of the light, then 0.1."""

    config = TINY

    def __init__(self, hint=0.1, sure=0.8):
        super().__init__()
        self.shares = ({"noise": 0.85 - hint, "haze": hint}, {"haze": sure, "blur": 0.1})

    def forward(self, degraded, rows, deconvolution=None, routed=None):
        logits, name = self.judge(degraded)
        amount = rows[:, 0, TINY.degradations.index(name)].view(-1, 1, 1, 1)
        return NetworkOutput(degraded - (0.1 if name == "haze" else 0.2) * amount.round(), logits, [], [])

    def judge(self, degraded):
        behind = bool(degraded.mean() < 0.7)
        shares = torch.tensor([self.shares[behind].get(name, 0.01) for name in TINY.degradations])
        shares[-1] += 1 - shares.sum()  # clean
        logits = shares.log().expand(len(degraded), 3, -1)
        return logits, "haze" if behind else "noise"

    def route(self, crops, ingredients=None):
        return Routed(list(self.judge(crops)[0][:1].unbind(1)), [], crops, crops)

    def share(self, operation, ingredients):
        known = [operation_of(name) == operation and name != "clean" for name in TINY.degradations]
        return ingredients[..., known].sum(dim=-1)

    def colours(self, thumbnails, ingredients, certainty):
        return None

    def classify_haze(self, thumbnails):
        return None

    def classify_rain(self, crops):
        return None

    def read_blur(self, crops):
        return None


class ThreeLayers(Layers):
    """Noise over rain over haze; each hides what is below."""

    config = dataclasses.replace(TINY, additive_refiner=(2, 3, 4))
    found = (
        (0.7, {"noise": 0.45, "rain": 0.3, "haze": 0.2}),
        (0.5, {"rain": 0.8, "haze": 0.15}),
        (0.0, {"haze": 0.9}),
    )
    """What is found in a photo that is brighter than so much."""

    def forward(self, degraded, rows, *_):
        amount = rows[:, 0, :-1].amax(dim=1).view(-1, 1, 1, 1)
        return NetworkOutput(degraded - 0.2 * amount.round(), self.judge(degraded)[0], [], [])

    def judge(self, degraded):
        found = next(found for least, found in self.found if degraded.mean() > least)
        shares = torch.tensor([found.get(name, 0.01) for name in TINY.degradations])
        return (shares / shares.sum()).log().expand(len(degraded), 3, -1), next(iter(found))


def layered(**shares):
    subject = restorer()
    subject.engine.network = Layers(**shares)
    return subject


BRIGHT = np.full((40, 600, 3), 0.8, np.float32)


def test_noise_rain_and_haze_are_taken_off_one_after_another():
    """Rain and haze used to be undone at once behind noise, as far as the haze that rain hid was known."""
    subject, done = restorer(), []
    subject.engine.network = ThreeLayers()
    result = subject.restore(BRIGHT, progress=lambda at, of: done.append(at))
    np.testing.assert_allclose(result.image, 0.2, atol=1e-6)
    assert next(iter(result.ingredients)) == "noise" and next(iter(result.again)) == "rain"
    assert done == sorted(done)
    np.testing.assert_allclose(subject.restore(BRIGHT, only={"noise", "rain"}).image, 0.4, atol=1e-6)


def test_rain_is_undone_behind_weaker_noise():
    """Where rain had a larger share than noise, both were undone at once: rain and noise lost 0.9 dB."""
    subject = restorer()
    subject.engine.network = ThreeLayers()
    subject.engine.network.found = ((0.7, {"rain": 0.6, "noise": 0.35}), (0.0, {"rain": 0.95}))
    result = subject.restore(BRIGHT)
    np.testing.assert_allclose(result.image, 0.4, atol=1e-6)
    assert next(iter(result.ingredients)) == next(iter(result.again)) == "rain"


@pytest.mark.parametrize(
    ("told", "steering", "seen"),
    [
        ({"noise": 0.5, "rain": 0.5}, {}, [{"noise": 1.0}, {"rain": 1.0}]),
        ({"noise": 0.2, "rain": 0.6, "blur": 0.2}, {}, [{"noise": 1.0}, {"rain": 1.0}, {"blur": 1.0}]),
        ({"noise": 0.4, "rain": 0.4}, {}, [{"noise": 0.8, "clean": 0.2}, {"rain": 0.8, "clean": 0.2}]),
        ({"noise": 1.0}, {}, [{"noise": 1.0}]),
        ({"rain": 0.5, "blur": 0.5}, {}, [{"rain": 1.0}, {"blur": 1.0}]),
        ({"low_light": 0.5, "haze": 0.5}, {}, [{"low_light": 0.5, "haze": 0.5}]),
        ({"haze": 0.5, "rain": 0.5}, {}, [{"rain": 1.0}, {"haze": 1.0}]),
        ({"noise": 0.4, "haze": 0.3, "rain": 0.3}, {}, [{"noise": 1.0}, {"rain": 1.0}, {"haze": 1.0}]),
        ({"noise": 0.5, "rain": 0.5}, {"only": "rain"}, [{"rain": 0.5, "clean": 0.5}]),
        (
            {"noise": 0.5, "rain": 0.5},
            {"strength": {"noise": 0.5}},
            [{"noise": 0.5, "clean": 0.5}, {"rain": 1.0}],
        ),
    ],
)
def test_noise_that_is_told_is_taken_off_before_what_else_is(photo, told, steering, seen):
    """At once, rain and noise came back at 26.2 dB, in turn at 28.1; haze and noise at 20.4 and 23.1."""
    subject, rows = restorer(additive_refiner=(2, 3, 4)), []
    subject.engine.network.register_forward_hook(lambda _, given, __: rows.append(given[1][0, 0]))
    result = subject.restore(photo, ingredients=told, **steering)
    assert [{name: share for name, share in zip(NAMES, row.tolist(), strict=True) if share} for row in rows] == [
        pytest.approx(each, abs=1e-6) for each in seen
    ]
    assert result.again is None
    assert {name: result.ingredients[name] for name in told} == pytest.approx(told)


def test_what_a_lift_shows_is_removed_as_far_as_that_is_sure(monkeypatch):
    """The doubt of a pass after a lift in the second pass was forgotten."""
    subject, found = restorer(), torch.full((1, 3, 6), 1 / 6)
    first, second, third = (
        SimpleNamespace(tone=tone, strength=strength, found=found)
        for tone, strength in ((None, 1.0), (SimpleNamespace(gain=1.0), 1.0), (None, 0.25))
    )
    left = [second, third]
    monkeypatch.setattr(subject, "_next", lambda *_: left.pop(0) if left else None)
    made = {1.0: 0.6, 0.25: 0.2}
    monkeypatch.setattr(
        subject, "run", lambda photo, plan, *_: SimpleNamespace(image=np.full_like(BRIGHT, made[plan.strength]))
    )
    result = subject._finish(pixels.Photo.of(BRIGHT), BRIGHT.copy(), first, Request(), lambda *_: None)
    np.testing.assert_allclose(result.image, 0.5, atol=1e-6)  # a quarter of the way from 0.6 to 0.2


def test_what_was_hidden_is_found_and_restored_in_turn():
    result = layered().restore(BRIGHT)
    np.testing.assert_allclose(result.image, 0.5, atol=1e-6)
    assert next(iter(result.ingredients)) == "noise" and next(iter(result.again)) == "haze"


@pytest.mark.parametrize(
    ("first", "behind", "cells", "again"),
    [
        ("noise", {"haze": 0.4, "blur": 0.3}, 4, "blur"),
        ("noise", {"haze": 0.4, "blur": 0.3}, 3, None),  # the kernel hardly blurs
        ("noise", {"blur": 0.9}, 4, "blur"),
        ("noise", {"blur": 0.9}, 3, None),
        ("noise", {"blur": 0.4}, 4, None),  # more likely clean
        ("noise", {"haze": 0.4, "blur": 0.25}, 4, None),
        ("noise", {"haze": 0.9, "blur": 0.05}, 4, "haze"),
        ("rain", {"blur": 0.9}, 4, None),
    ],
)
def test_blur_behind_noise_is_told_by_its_kernel(first, behind, cells, again):
    """It blurs if the sum of its squares, one over its number of even cells, is less than 0.3."""
    subject = layered()
    subject.engine.network.shares = ({first: 0.7, "blur": 0.1, "haze": 0.15}, behind)
    kernel = torch.zeros(1, 25, 25)
    kernel.view(-1)[:cells] = 1 / cells
    subject.engine.network.read_blur = lambda crops: (kernel, torch.full((1,), 0.01))
    photo = np.full((60, 300, 3), 0.8, np.float32)
    if first == "rain":  # so that as much is taken
        subject.engine.network.forward = lambda degraded, rows, *_: NetworkOutput(
            degraded - 0.2 * (degraded.mean() > 0.7), subject.engine.network.judge(degraded)[0], [], []
        )
    result = subject.restore(photo)
    assert result.image.mean() < 0.65
    assert (result.again and next(iter(result.again))) == again
    if again == "blur":
        assert result.again["blur"] == pytest.approx(1 - result.again["clean"])


@pytest.mark.parametrize("shares", [{"hint": 0.02}, {"sure": 0.45}, {"sure": 0.6}])
def test_without_a_hint_or_in_doubt_a_photo_is_restored_once(shares):
    """At a share of 0.6 for haze, 0.27 is left for `clean`."""
    result = layered(**shares).restore(BRIGHT)
    np.testing.assert_allclose(result.image, 0.6, atol=1e-6)
    assert result.again is None


@pytest.mark.parametrize(
    "wish", [{"ingredients": {"noise": 1.0}}, {"only": {"noise"}}, {"strength": {"haze": 0.0}}], ids=str
)
def test_a_second_pass_obeys_the_users_wish(wish):
    result = layered().restore(BRIGHT, **wish)
    np.testing.assert_allclose(result.image, 0.6, atol=1e-6)
    assert result.again is None


@pytest.mark.parametrize("strength", [{"haze": 0.9}, {"blur": 0.0}])
def test_a_wish_for_less_of_something_does_not_call_the_second_pass_off(strength):
    result = layered().restore(BRIGHT, strength)
    np.testing.assert_allclose(result.image, 0.5, atol=1e-6)
    assert next(iter(result.again)) == "haze"


def test_strength_scales_the_change_of_both_passes():
    np.testing.assert_allclose(layered().restore(BRIGHT, strength=0.5).image, 0.65, atol=1e-6)


def test_what_is_protected_stays_through_both_passes():
    protect = np.zeros(BRIGHT.shape[:2], np.bool_)
    protect[:20, :200] = True
    result = layered().restore(BRIGHT, protect=protect)
    assert (result.image[protect] == BRIGHT[protect]).all() and result.image[-1, -1, 0] == pytest.approx(0.5)


@pytest.mark.parametrize(("noise", "change"), [(0.8, 0.2), (0.71, 0.2), (0.585, 0.1), (0.46, 0.0), (0.2, 0.0)])
def test_the_surer_a_photo_is_clean_the_less_it_is_changed(noise, change):
    subject = layered()
    rest = dict.fromkeys(TINY.degradations[1:-1], 0.01)
    subject.engine.network.shares = ({"noise": noise} | rest,) * 2
    subject.engine.network.forward = lambda degraded, rows, *_: NetworkOutput(
        degraded - 0.2, subject.engine.network.judge(degraded)[0], [], []
    )
    np.testing.assert_allclose(subject.restore(BRIGHT).image, 0.8 - change, atol=1e-6)


@needs_bf16
@pytest.mark.parametrize("config", BOTH.values(), ids=BOTH)
def test_memory_is_counted_in_either_precision(config):
    model = Model(network(config), {}, Path("small"), "")
    exact, restorer = (Restorer(model, "cpu", precision) for precision in ("fp32", "bf16"))
    assert 0 < restorer._bytes_per_pixel < exact._bytes_per_pixel
    assert restorer.in_fp32()._bytes_per_pixel == exact._bytes_per_pixel


@pytest.mark.parametrize(
    ("sigma", "size", "blur"),
    [(0, (60, 200), 0.8), (0.6, (60, 200), 0.8), (1.2, (60, 200), 0.4), (4, (60, 200), 0.0), (4, (1100, 1100), 0.0)],
)
def test_grain_speaks_against_blur(sigma, size, blur):
    """In one tile, and in more; a grey grain of 0.4 (0.7 in each colour) may be rounding and compression."""
    subject = layered()
    subject.engine.network.shares = ({"blur": 0.8, "noise": 0.15},) * 2
    photo = np.random.default_rng(0).normal(220, sigma, (*size, 3)).round().astype(np.uint8)
    result = subject.restore(photo)
    assert result.ingredients["blur"] == pytest.approx(blur, abs=0.07)
    assert result.ingredients["noise"] == pytest.approx(0.95 - blur, abs=0.07)
    taken = 0.2 * round(result.ingredients["noise"])
    np.testing.assert_allclose(result.image, photo - 255 * taken, atol=1)


def test_grain_does_not_matter_to_what_is_told_or_not_blurred():
    photo = np.random.default_rng(0).normal(220, 9, (60, 200, 3)).round().astype(np.uint8)
    assert layered().restore(photo, ingredients={"blur": 1}).ingredients["blur"] == 1
    subject, calls = layered(), []
    subject.engine.network.shares = ({"blur": 0.08, "noise": 0.8},) * 2
    subject.engine.network.register_forward_hook(lambda *_: calls.append(1))
    assert subject.restore(photo).ingredients["blur"] == pytest.approx(0.08)
    assert len(calls) <= 2  # restored, and looked at again


@pytest.mark.parametrize(("sigma", "part"), [(0.5, 1.0), (6.0, 1.0), (6.0, 0.5)])
def test_grain_is_that_of_the_calmest_cells(sigma, part):
    """Of white noise it is the deviation, a little less, wherever a tenth of the photo has no more than that."""
    photos = np.random.default_rng(0).normal(128, sigma, (2, 120, 160, 1)).repeat(3, axis=3)
    photos[:, :, : int((1 - part) * 160)] += np.random.default_rng(1).normal(0, 30, (2, 120, int((1 - part) * 160), 1))
    assert 0.75 * sigma < pixels.grain(photos / 255) < sigma
    ramp = np.broadcast_to(np.linspace(0, 1, 160)[:, None], (1, 120, 160, 3))
    assert pixels.grain(ramp) < 1e-6
    assert pixels.grain(photos[:, :9]) == 0


def test_grain_of_smaller_sizes_tells_white_noise_from_smoothed():
    """Half the size is the mean of four pixels: white noise halves each time, and smoothed noise grows first."""
    white = np.random.default_rng(0).normal(128, 12, (1, 512, 512, 1)).repeat(3, axis=3)
    full, half, quarter, spread = pixels.grains(white / 255)
    assert spread < 1.5
    assert (full / half, half / quarter) == pytest.approx((2, 2), rel=0.1)
    smooth = white
    for axis in (1, 2):
        smooth = (np.roll(smooth, 1, axis) + 2 * smooth + np.roll(smooth, -1, axis)) / 4
    full, half, quarter, _ = pixels.grains(smooth / 255)
    assert half > 1.6 * full
    assert quarter < 1.2 * half
    assert pixels.grains(white[:, :159] / 255) == (pixels.grain(white[:, :159] / 255), 0, 0, 1)


def test_noise_is_everywhere_and_texture_is_not():
    """How much grain there is elsewhere than where it is least; where noise is clipped does not count."""
    rng = np.random.default_rng(0)
    noisy = rng.normal(128, 4, (1, 160, 240, 1)).repeat(3, axis=3)
    assert pixels.spread(noisy / 255) < 1.5
    noisy[:, :, :80] = 0
    noisy[:, :80, 80:160] = 255
    assert pixels.spread(noisy / 255) < 1.5
    textured = 128 + np.linspace(0, 10, 240)[:, None] * rng.normal(0, 1, (1, 160, 240, 1)).repeat(3, axis=3)
    assert pixels.spread(textured / 255) > 3
    assert pixels.spread(noisy[:, :80, :80] / 255) == 0  # nothing but black


def grainy(*grain):
    """Return what a photo says that has such a grain."""
    return SimpleNamespace(grain=pixels.Grain(*grain))


@pytest.mark.parametrize(
    ("grain", "found", "expected"),
    [
        ((0.2, 0.2, 0.2), (0.1, 0.1, 0.5, 0.3), (0.1, 0.1, 0.5, 0.3)),  # blur
        ((0.9, 0.4, 0.2), (0.1, 0.1, 0.5, 0.3), (0.6, 0.1, 0.0, 0.3)),  # white noise
        ((0.9, 0.4, 0.2), (0.4, 0.1, 0.09, 0.41), (0.4, 0.1, 0.09, 0.41)),  # hardly called blurred
        ((0.4, 0.9, 1.0), (0.1, 0.2, 0.4, 0.3), (1.0, 0.0, 0.0, 0.0)),  # smoothed noise, called anything else
        ((0.4, 0.9, 1.0), (0.1, 0.4, 0.2, 0.3), (0.6, 0.4, 0.0, 0.0)),  # and more than a trace of haze
        ((0.2, 0.4, 0.4), (0.1, 0.1, 0.5, 0.3), (1.0, 0.0, 0.0, 0.0)),  # weak smoothed noise
        ((0.1, 0.2, 0.2), (0.1, 0.1, 0.5, 0.3), (0.1, 0.1, 0.0, 0.8)),  # smoothed noise too weak to be worth it
        ((0.4, 0.9, 2.0), (0.1, 0.1, 0.5, 0.3), (0.1, 0.1, 0.5, 0.3)),  # a scene that is fine all over
        ((0.2, 2.5, 2.5), (0.1, 0.1, 0.5, 0.3), (0.1, 0.1, 0.0, 0.8)),  # finer texture than smoothed noise has
        ((0.4, 0.9, 1.0, 2.4), (0.1, 0.2, 0.4, 0.3), (1.0, 0.0, 0.0, 0.0)),
        ((0.4, 0.9, 1.0, 3.0), (0.1, 0.2, 0.4, 0.3), (0.1, 0.2, 0.0, 0.7)),  # texture that is not everywhere
    ],
)
def test_what_grain_at_three_sizes_says_of_noise_and_blur(grain, found, expected):
    corrected = Rules().noise_for_grain(("noise", "haze", "blur", "clean"), torch.tensor([[found]]), grainy(*grain))
    assert corrected[0, 0].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((0.05, 0.3, 0.35, 0.3), (1 / 7, 6 / 7, 0.0, 0.0)),
        ((0.3, 0.3, 0.2, 0.2), (0.5, 0.5, 0.0, 0.0)),
        ((0.05, 0.2, 0.45, 0.3), (0.8, 0.2, 0.0, 0.0)),  # hardly called rainy
    ],
)
def test_grain_of_streaks_is_that_of_rain(found, expected):
    """Real rain looks to the routers like blur with some rain in it, and has the grain of smoothed noise."""
    grain = grainy(0.4, 0.9, 1.0)
    corrected = Rules().noise_for_grain(("noise", "rain", "blur", "clean"), torch.tensor([[found]]), grain)
    assert corrected[0, 0].tolist() == pytest.approx(expected, abs=1e-6)


def test_the_grain_of_a_dark_photo_is_not_looked_at_in_small_sizes():
    names, rows = ("noise", "low_light", "blur", "clean"), torch.tensor([[[0.1, 0.2, 0.3, 0.4]]])
    assert Rules().noise_for_grain(names, rows, grainy(0.2, 0.9, 1.0)) is rows


def test_without_grain_rows_stay_themselves_and_clean_need_not_be_known():
    names, rows = ("noise", "blur"), torch.tensor([[[0.4, 0.6]]])
    assert Rules().noise_for_grain(names, rows, grainy(0.2, 0.2, 0.2)) is rows
    assert Rules().noise_for_grain(names, rows, grainy(0.9, 0.4, 0.2)).tolist() == [[[1.0, 0.0]]]


def test_grain_does_not_matter_where_noise_is_not_known():
    rows = torch.tensor([[[0.6, 0.4]]])
    assert Rules().noise_for_grain(("blur", "clean"), rows, grainy(0.9, 0.4, 0.2)) is rows
    assert Rules().noise_for_grain(("blur", "noise"), rows, grainy(0.9, 0.4, 0.2)) is not rows


def test_a_lamp_in_a_dark_photo_stays_light():
    """What is synthesised dark is dark throughout; a network that knows no lamp makes this one dark and blue."""
    photo = np.full((192, 192, 3), 0.06, np.float32)
    photo[88:104, 40:56] = 1
    restored = restore.load("fast", "cpu", "fp32").restore(photo, ingredients={"low_light": 1}).image
    assert restored[90:102, 42:54].mean(axis=(0, 1)).min() > 0.7  # in every colour
    assert restored[:64].mean() > 0.07  # and what is around it is lighter than it was


def test_a_dark_photo_is_restored_by_the_network_and_one_that_has_lights_by_its_own_tones():
    photo = np.random.default_rng(0).uniform(0.02, 0.1, (192, 192, 3)).astype(np.float32)
    photo = np.repeat(np.repeat(photo[::24, ::24], 24, axis=0), 24, axis=1)
    restorer = restore.load("fast", "cpu", "fp32")
    assert restorer.restore(photo).notes == ()
    photo[:48] += 0.8
    result = restorer.restore(photo)
    assert next(iter(result.ingredients)) == "low_light"
    assert [note.startswith("dark: its shadows were made up to ") for note in result.notes] == [True]
    assert (result.image[60:] > 1.2 * photo[60:]).all()
    np.testing.assert_allclose(result.image[:40], photo[:40], atol=0.1)


@pytest.mark.parametrize(
    ("wish", "light"),
    [({"low_light": 1.0}, True), ({"low_light": 0.4, "noise": 0.6}, True), ({"low_light": 0.3, "noise": 0.7}, False)],
)
def test_highlights_are_rolled_off_in_what_is_dark(wish, light):
    """In one tile, and in more."""
    subject = layered()
    seen = []
    subject.engine.network.register_forward_pre_hook(lambda _, arguments: seen.append(float(arguments[0].max())))
    for width in (60, 600):
        subject.restore(np.full((40, width, 3), 0.3, np.float32), ingredients=wish)
    assert len(seen) > 2 and all((largest < 0.29) is light for largest in seen)


@given(arrays.arrays(np.float32, (1, 4, 5, 3), elements=st.floats(0, 1, width=32)), st.floats(0, 1))
def test_rolled_off_highlights_keep_their_order_and_hue(photos, share):
    start, limit = Rules().highlights
    seen, taken = pixels.roll_off(photos, share, (start, limit))
    assert ((taken >= 0) & (taken < 1)).all()
    np.testing.assert_allclose(seen, photos * (1 - taken), atol=1e-6)
    before, after = photos.max(axis=3).ravel(), seen.max(axis=3).ravel()
    assert (np.diff(after[np.argsort(before)]) >= -1e-6).all()
    dark = before <= start
    np.testing.assert_array_equal(after[dark], before[dark])
    if share == 1:
        assert (after <= limit + 1e-6).all()
    if share == 0 or dark.all():
        assert seen is photos


def broken(value, where="output"):
    """Return a restorer whose network gives such a number: in what it restores, or in its routers."""
    subject = restorer()
    model = subject.model.network
    part = model.output if where == "output" else model.prior_blocks["encoder2"].router
    for parameter in part.parameters():
        torch.nn.init.constant_(parameter, value)
    return Restorer(subject.model, "cpu", "fp32")


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e38])
@pytest.mark.parametrize("where", ["output", "router"])
def test_a_model_that_gives_no_numbers_is_an_error(photo, value, where):
    with pytest.raises(RuntimeError, match=r"^the model's numbers are NaN or infinite: [^\n]+$"):
        broken(value, where).restore(photo)


def test_what_fails_in_bf16_alone_is_done_again_in_fp32_and_said(photo):
    subject = restorer()
    expected, exact_shares = subject.restore(photo), subject.find(photo)
    exact, engine = subject.engine, copy.copy(subject.engine)
    engine.half, engine.restore = True, lambda *arguments: (_ for _ in ()).throw(NotFiniteError())
    engine.exact, engine.route = exact, exact.route
    subject.engine = engine
    found = subject.restore(photo)
    np.testing.assert_array_equal(found.image, expected.image)
    assert found.notes == ("16-bit arithmetic (bf16) gave no numbers: restored in 32-bit",) and not expected.notes
    explained = subject.explain(photo)
    np.testing.assert_array_equal(explained.result.image, expected.image)
    assert explained.result.notes == found.notes
    engine.route = engine.restore
    assert subject.find(photo) == exact_shares


def test_a_result_says_whether_anything_changed(photo):
    assert restorer().restore(photo).changed
    assert not restorer(change=0).restore(photo).changed
    untouched = restorer().restore(photo, strength=0.0)
    assert not untouched.changed and untouched.image is not photo
    assert sum(untouched.ingredients.values()) == pytest.approx(1)


def test_a_library_leaves_the_allocator_to_its_user(monkeypatch):
    asked = []
    monkeypatch.setattr(memory, "_glibc", lambda function, *_: asked.append(function))
    Restorer(restorer().model, "cpu", "fp32")
    assert "mallopt" not in asked
    memory.keep_freed()
    assert "mallopt" in asked
