"""The synthesis of cameras: pure in the seed, whatever the batch; targets; statistics of what is drawn."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from idrestore.data.camera import batch, blur, haze, light, lines, look, noise, rain
from idrestore.data.camera.batch import develop, draw
from idrestore.data.camera.planes import stacked
from idrestore.degradations import FIVE

KINDS = [(name,) for name in (*FIVE, "clean")] + [("noise", "haze"), ("rain", "blur", "low_light")]

NO_LOOK = {"softness": 0.0, "scaled": 2.0, "halo": 0.0, "halo_radius": 1.0, "contrast": 1.0, "black": 0.0}
NO_LOOK |= {"exponent": 1.0, "saturation": 1.0, "flat": 0.0, "colour": np.full(3, 0.2), "change": np.zeros((3, 3))}


def photos(number: int, side: int = 48, seed: int = 0) -> Tensor:
    """Return smooth fields with soft discs; (number, 3, side, side) on the 8-bit grid."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    result = np.empty((number, 3, side, side))
    for picture in result:
        a, b, c = rng.uniform(1, 6, (3, 3, 1, 1))
        picture[:] = 0.5 + 0.2 * np.sin(a * x + b * y + c)
        inside = 1 / (1 + np.exp((np.hypot(y - rng.random(), x - rng.random()) - 0.3) * 60))
        picture += inside * rng.uniform(-0.3, 0.3, (3, 1, 1))
    return torch.from_numpy((result.clip(0, 1) * 255).round() / 255).float()


def made(kinds: list[tuple[str, ...]], seeds: list[tuple[int, int]], crops: Tensor) -> tuple[Tensor, Tensor]:
    return develop(crops, draw(kinds, seeds, crops.shape[-1]))


def test_a_sample_does_not_depend_on_its_batch() -> None:
    crops, seeds = photos(len(KINDS)), [(3, index) for index in range(len(KINDS))]
    degraded, clean = made(KINDS, seeds, crops)
    for row in (0, 4, 7):
        alone = made([KINDS[row]], [seeds[row]], crops[row : row + 1])
        torch.testing.assert_close(alone[0][0], degraded[row], atol=1.01 / 255, rtol=0)
        torch.testing.assert_close(alone[1][0], clean[row], atol=1.01 / 255, rtol=0)


@pytest.mark.parametrize("kinds", KINDS)
def test_everything_is_finite_in_range_on_the_grid_and_the_crops_stay(kinds: tuple[str, ...]) -> None:
    crops = photos(12)
    before = crops.clone()
    degraded, clean = made([kinds] * 12, [(5, index) for index in range(12)], crops)
    assert torch.equal(crops, before)
    for pictures in (degraded, clean):
        assert pictures.shape == crops.shape and pictures.isfinite().all()
        assert pictures.min() >= 0 and pictures.max() <= 1
        assert ((pictures * 255) - (pictures * 255).round()).abs().max() < 1e-3
    assert torch.equal(degraded, clean) == (kinds == ("clean",))


def test_a_row_that_shows_nothing_stays_as_it_is() -> None:
    crops = photos(2)
    degraded, clean = made([(), ("noise",)], [(0, 0), (0, 1)], crops)
    assert torch.equal(degraded[0], crops[0]) and torch.equal(clean[0], crops[0])


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (17, 40)])
def test_any_size(size: tuple[int, int]) -> None:
    crops = torch.rand((len(KINDS), 3, *size), generator=torch.Generator().manual_seed(0))
    degraded, _ = made(KINDS, [(1, index) for index in range(len(KINDS))], crops)
    assert degraded.shape == crops.shape and degraded.isfinite().all()


@pytest.mark.parametrize(
    ("share", "red", "red_green", "red_blue"), [(0.0, 1.6, 0.12, 0.48), (1.0, 1.1, 0.7, 0.67)], ids=["phones", "JPEGs"]
)
def test_noise_has_the_colours_that_were_measured(
    monkeypatch: pytest.MonkeyPatch, share: float, red: float, red_green: float, red_blue: float
) -> None:
    """Medians over pairs of phones' photos, and of cameras' JPEGs."""
    monkeypatch.setattr(noise, "JPEGS", share)
    rng = np.random.default_rng(0)
    factors = np.array([noise.draw_sensor(rng)[0].colours for _ in range(400)])
    covariance = factors @ factors.transpose(0, 2, 1)
    deviation = np.sqrt(np.einsum("nii->ni", covariance))
    assert np.allclose(deviation[:, 1], 1)
    assert np.median(deviation[:, 0]) == pytest.approx(red, abs=0.1)
    correlation = np.median(covariance / deviation[:, :, None] / deviation[:, None], axis=0)
    assert correlation[0, 1] == pytest.approx(red_green, abs=0.06)
    assert correlation[0, 2] == pytest.approx(red_blue, abs=0.06)


def test_noise_planes_have_the_asked_covariance_smoothed_or_not() -> None:
    grain = noise.flat(noise.Grain(0, np.array([[1.5, 0, 0], [0.1, 1, 0], [0.6, 0, 1.4]]), 0.0, 0.0, 0.0, 0.0, 0.0))
    smooth = grain + np.array([0.0] * 9 + [0.8, 0.8, 0.5, 0.2, 2.0])
    both = torch.from_numpy(np.stack((grain, smooth))).float()
    planes = noise.planes(both, torch.tensor([1, 2]), torch.zeros(2, 3, 256, 256)).flatten(2)
    expected = torch.from_numpy(grain[:9].reshape(3, 3)).float()
    for row, tolerance in zip(planes, (0.04, 0.1), strict=True):
        torch.testing.assert_close(row.cov(), expected @ expected.T, atol=tolerance, rtol=0.05)


@pytest.mark.parametrize(("left", "beside"), [(0.0, 0.0), (0.3, 0.17)])
def test_what_smoothing_leaves_is_coarse(left: float, beside: float) -> None:
    """Noise that is smoothed alone does not correlate with itself four pixels away; that of CC15 and PolyU does."""
    grain = torch.from_numpy(noise.flat(noise.Grain(0, np.eye(3), 0.7, 0.7, 0.0, left, 2.7))).float()
    plane = noise.planes(grain[None], torch.tensor([1]), torch.zeros(1, 3, 512, 512))[0]
    assert float((plane[..., 4:] * plane[..., :-4]).mean() / plane.square().mean()) == pytest.approx(beside, abs=0.02)


@pytest.mark.parametrize(("share", "ratio"), [(0.0, 1.5), (1.0, 0.7)], ids=["phones", "JPEGs"])
def test_noise_of_shadows_over_that_of_mid_tones(monkeypatch: pytest.MonkeyPatch, share: float, ratio: float) -> None:
    monkeypatch.setattr(noise, "JPEGS", share)
    monkeypatch.setattr(noise, "LEVEL_EXPONENT", (1.0, 1.0))
    drawn = stacked(noise.Noise, [noise.draw_hint(np.random.default_rng(0))] * 2, torch.device("cpu"))
    levels = torch.tensor((30 / 255, 96 / 255)).view(2, 1, 1, 1).expand(2, 3, 128, 128)
    deviations = (noise.add(levels, drawn) - levels).std(dim=(1, 2, 3))
    assert float(deviations[0] / deviations[1]) == pytest.approx(ratio, abs=0.12)


def test_haze_of_no_strength_is_no_haze_and_more_hides_more() -> None:
    crops = photos(8)

    def hidden(strength: float) -> float:
        draws = [haze.draw(strength, np.random.default_rng(index)) for index in range(8)]
        result = haze.scatter(crops, stacked(haze.Haze, draws, crops.device))
        return float((result - crops).abs().mean())

    assert hidden(0.0) < 1e-5
    amounts = [hidden(strength) for strength in (0.1, 0.3, 0.6, 1.0)]
    assert amounts == sorted(amounts)


def test_darkness_keeps_lamps_and_black_skies() -> None:
    """The target has the lamp too, so that restoring does not widen its halo; the black sky is black in both."""
    drawn = light.draw(0.8, np.random.default_rng(0))
    lamp = np.array((0.7, 0.5, 0.05, 0.3, 1.5, 1, 1, 1))
    off = np.array((0.7, 0.5, 0.05, 0.3, 0, 1, 1, 1))
    drawn |= {"lamps": np.stack((lamp, off, off)), "sky": np.array((0.4, 0.0)), "backlit": 0.0}
    drawn |= {
        "field": np.zeros((light.FIELD, light.FIELD)),
        "gamma": 1.0,
        "cast": np.ones(3),
        "glare": 0.0,
        "window": np.zeros(4),
    }
    tuple_ = stacked(light.Light, [drawn], torch.device("cpu"))
    crops = torch.full((1, 3, 64, 64), 0.6)
    clean = light.set_scene(crops, tuple_)
    dark = light.darken(clean, tuple_)
    assert clean[0, :, 45, 32].min() > 0.95 and dark[0, :, 45, 32].min() > 0.95
    assert clean[0, :, :10].max() < 0.35 and dark[0, :, :10].max() < 0.35
    assert float(clean[0, :, 60, 2].mean()) > 0.55 > 0.5 > float(dark[0, :, 60, 2].mean())


def test_what_is_bright_against_the_light_stays_as_it_is() -> None:
    drawn = light.draw(0.8, np.random.default_rng(0)) | {"backlit": 1.0, "window": np.array((0.5, 0.5, 0.2, 0.2))}
    drawn |= {"field": np.zeros((light.FIELD, light.FIELD)), "gamma": 1.0, "cast": np.ones(3), "glare": 1.0}
    drawn |= {"sky": np.zeros(2), "lamps": np.zeros((light.NUM_LAMPS, 8)) + 0.1, "threshold": 0.99}
    drawn["lamps"][:, 4] = 0
    tuple_ = stacked(light.Light, [drawn], torch.device("cpu"))
    clean = light.set_scene(torch.full((1, 3, 64, 64), 0.5), tuple_)
    dark = light.darken(clean, tuple_)
    assert float(clean[0, :, 32, 32].mean()) > 0.65  # overexposed by a stop, as it will stay
    torch.testing.assert_close(dark[..., 25:39, 25:39], clean[..., 25:39, 25:39], atol=0.02, rtol=0)
    assert dark[..., :10].max() < 0.25


def test_lines_are_part_of_the_photo() -> None:
    rng = np.random.default_rng(0)
    crops = photos(10)
    draws = [lines.draw(rng) for _ in range(10)]
    result = lines.draw_on(crops, stacked(lines.Lines, draws, crops.device))
    assert ((result - crops).abs().mean(dim=(1, 2, 3)) > 1e-4).all()


def test_rain_is_to_be_removed_and_lines_are_not() -> None:
    kinds, seeds = [("rain",)] * 80, [(9, index) for index in range(80)]
    rows, _ = draw(kinds, seeds, 48).stages["lines"]
    assert abs(len(rows) - 80 * batch.LINES["rain"]) < 15
    crops = photos(80)
    _, clean = made(kinds, seeds, crops)
    changed = (clean - crops).abs().amax(dim=(1, 2, 3)) > 0.1
    assert changed[rows].float().mean() > 0.8


def shaken(length: float, lens: tuple[float, float, float] = (0.0, 0.0, 5.0), **changed: object) -> blur.Blur:
    """Return a blur that moves photos of 64 px evenly to the right by `length` px."""
    draw_ = blur.draw(0.5, np.random.default_rng(0), 64)
    angles = np.zeros((2, blur.INSTANTS, 3))
    angles[..., 1] = np.linspace(-0.5, 0.5, blur.INSTANTS) * length / 63 / lens[2]
    draw_ |= {"camera": angles, "layers": np.stack([0 * angles] * blur.LAYERS), "lens": np.array(lens)}
    draw_ |= {"radius": 0.0, "is_encoded": True, "sizes": np.full((blur.LAYERS, 2), blur.NO_LAYER)}
    return stacked(blur.Blur, [draw_ | changed], torch.device("cpu"))


def test_frames_are_averaged_along_the_path() -> None:
    image = torch.zeros(1, 3, 64, 64)
    image[..., 32] = 1
    row = blur.expose(image, shaken(15.0))[0, 0, 30]
    assert float(row.sum()) == pytest.approx(1, abs=0.02)
    inside = row[26:38]
    assert torch.allclose(inside, torch.full_like(inside, 1 / 16), atol=0.012)  # 16 instants a px apart
    assert row[:22].max() < 1e-4 and row[43:].max() < 1e-4


def test_what_moves_alone_leaves_the_rest_sharp() -> None:
    image = photos(1, 64)
    moved, still = (shaken(length).camera[0].numpy() for length in (20.0, 0.0))
    sizes = np.array(((0.0, 150.0), (blur.NO_LAYER, 10.0)))
    drawn = shaken(0.0, layers=np.stack((moved, still)), sizes=sizes, are_other=np.zeros(2, bool))
    change = (blur.expose(image, drawn) - image).abs().amax(dim=(0, 1))
    outline = blur._cover(image, drawn, 0)[0, 0]
    far = torch.nn.functional.max_pool2d(outline[None], 25, 1, 12)[0] < 0.01
    assert far.any() and change[far].max() < 0.02 < change.max()


@pytest.mark.parametrize("sharpness", blur.SHARPNESS)
def test_things_that_rest_are_where_the_clean_photo_has_them(sharpness: float) -> None:
    image = photos(1, 64)
    for seed in range(6):
        outlines = np.random.default_rng(seed).normal(0, 1, (blur.LAYERS, blur.FIELD, blur.FIELD))
        sizes = np.array(((-0.1, sharpness),) * blur.LAYERS)
        resting = shaken(0.0, outlines=outlines, sizes=sizes, are_other=np.ones(blur.LAYERS, bool))
        scene = blur.set_scene(image, resting)
        assert (scene - image).abs().max() > 0.1
        assert (blur.expose(scene, resting) - scene).abs().max() < 0.02


def test_two_things_move_their_own_ways() -> None:
    image = photos(1, 64)
    right, left = (shaken(length).camera[0].numpy() for length in (20.0, -20.0))
    there, missing = (0.0, 150.0), (blur.NO_LAYER, 150.0)
    results = [
        blur.expose(image, shaken(0.0, layers=np.stack((right, left)), sizes=np.array(sizes)))
        for sizes in ((there, missing), (missing, there), (there, there))
    ]
    for one, other in itertools.combinations(results, 2):
        assert (one - other).abs().max() > 0.05


def test_a_disc_has_its_radius_and_keeps_the_light() -> None:
    image = torch.zeros(1, 3, 65, 65)
    image[..., 32, 32] = 1
    spot = blur.expose(image, shaken(0.0, radius=5.0, is_deep=False))[0, 0]
    assert float(spot.sum()) == pytest.approx(1, abs=0.05)
    assert spot[32, 29:36].min() > 0.6 / (np.pi * 25) and spot[32, 40:].max() < 0.2 / (np.pi * 25)


def test_recorded_tracks_are_hands_and_vehicles_in_plausible_speed() -> None:
    for name, angles in blur.tracks().items():
        speed = np.linalg.norm(np.diff(angles, axis=0), axis=1) * blur.RATE
        assert len(angles) > 100 and 0.01 < np.median(speed) < 3, name


@pytest.mark.parametrize("module", [rain, blur])
def test_no_strength_is_next_to_nothing(module: object) -> None:
    crops = photos(16, 64)
    rngs = [np.random.default_rng(index) for index in range(16)]
    if module is rain:
        weak = rain.fall(crops, stacked(rain.Rain, [rain.draw(0.0, rng) for rng in rngs], crops.device))
    else:
        weak = blur.expose(crops, stacked(blur.Blur, [blur.draw(0.0, rng, 64) for rng in rngs], crops.device))
    assert (weak - crops).square().mean(dim=(1, 2, 3)).median() < 10 ** (-3.8)


def test_streaks_are_steep_and_lie_in_the_range() -> None:
    drawn = stacked(
        rain.Rain, [rain.draw(0.6, np.random.default_rng(index)) for index in range(20)], torch.device("cpu")
    )
    drops = rain.streaks(torch.zeros(20, 3, 96, 96), drawn)
    assert drops.shape == (20, 1, 96, 96) and 0 <= drops.min() <= drops.max() <= 1
    assert drops.diff(dim=3).abs().mean() > 1.5 * drops.diff(dim=2).abs().mean()


def drawn_lines() -> tuple[np.ndarray, np.ndarray]:
    """Return lengths and widths of 400 draws of rain, (400, 2, 3), and which of them are snow, (400,)."""
    lines = np.array([rain.draw(0.6, np.random.default_rng(index))["lines"][:2, :3] for index in range(400)])
    return lines, (lines[:, 0] / lines[:, 1] <= rain.DRIFT[1] + 1e-6).all(axis=1)


def test_some_rain_is_snow_whose_flakes_are_short() -> None:
    assert abs(drawn_lines()[1].mean() - rain.SNOWY) < 0.05


def test_some_streaks_are_close_and_thick() -> None:
    lines, is_snow = drawn_lines()
    widths = lines[~is_snow, 1].max(axis=1)
    usual = rain.WIDTH[1] * np.exp(rain.NEARNESS[1] / 2)
    assert 0.1 < (widths > usual).mean() < rain.CLOSE
    assert widths.max() < usual * np.exp(rain.CLOSENESS[1])


def test_an_enlarged_photo_has_no_detail_beyond_what_it_had() -> None:
    image = (torch.rand((1, 3, 96, 96), generator=torch.Generator().manual_seed(0)) * 255).round() / 255

    def detail(photo: Tensor) -> list[float]:
        spectrum = torch.fft.rfft2(photo[0, 1] - photo[0, 1].mean())[:, 1:].abs()
        return [float(spectrum[0, :20].mean()), float(spectrum[0, 34:].mean())]

    before, small = (
        detail(look.dress(image, stacked(look.Look, [NO_LOOK | {"scaled": scaled}], image.device)))
        for scaled in (2.0, 0.5)
    )
    assert small[0] > 0.6 * before[0] and small[1] < 0.15 * before[1]


def test_a_photo_of_no_look_stays_as_it_is_but_for_one_colour() -> None:
    image = photos(2)
    drawn = stacked(look.Look, [NO_LOOK, NO_LOOK | {"flat": 1.0}], image.device)
    result = look.dress(image, drawn)
    torch.testing.assert_close(result[0], image[0], atol=1e-5, rtol=0)
    assert torch.equal(result[1], torch.full_like(image[1], 0.2))


def test_haze_over_a_whole_scene_leaves_its_near_ground_clear_and_that_over_a_part_of_it_any():
    """The upper third is hazier than the lower one, which a part of a scene need not be."""
    grey = torch.full((1, 3, 64, 64), 0.3)

    def clearer(rng, is_scene):
        drawn = haze.draw(0.7, rng, is_scene) | {"clear": 0.0, "relief": 1.0, "soft": 0.0, "is_encoded": True}
        deep = haze.depth(grey, stacked(haze.Haze, [drawn], grey.device))[0, 0]
        return bool(deep[:21].mean() > 1.5 * deep[-21:].mean())

    shares = [
        np.mean([clearer(np.random.default_rng(seed), is_scene) for seed in range(60)]) for is_scene in (True, False)
    ]
    assert shares[0] > 0.8 > 0.7 > shares[1]


def test_haze_between_walls_is_deepest_where_they_end() -> None:
    grey = torch.full((1, 3, 64, 64), 0.5)
    plain = {"hills": np.zeros((haze.FIELD,) * 2), "clear": 0.0, "relief": 1.0, "box": np.array((2.0, 0.5, 0.1, 1.0))}
    plain["window"] = np.array((-1.0, 2.0))
    for index in range(8):
        drawn = haze.draw(0.7, np.random.default_rng(index), is_scene=True) | plain
        with_walls, without = (
            haze.depth(grey, stacked(haze.Haze, [drawn | {"walls": np.array((0.5, steep))}], grey.device))[0, 0]
            for steep in (8.0, 0.0)
        )
        assert (with_walls <= without + 1e-4).all()
        assert (with_walls[:, 32] >= with_walls[:, [2, -3]].amax(dim=1) - 1e-3).all()
        assert with_walls[0, 2] < 0.8 * with_walls[0, 32]


def test_a_quarter_of_whole_scenes_has_haze_in_the_distance_alone() -> None:
    def share(is_scene: bool) -> float:
        draws = [haze.draw(0.7, np.random.default_rng(index), is_scene) for index in range(400)]
        return float(np.mean([drawn["clear"] > 0.35 for drawn in draws]))

    assert share(is_scene=False) == 0
    assert 0.1 < share(is_scene=True) < haze.FAR_SHARE
