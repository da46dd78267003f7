"""The synthesis: exact amounts, determinism, ranges, physics, and JPEG against libjpeg."""

from itertools import pairwise

import numpy as np
import pytest
import pyvips
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from idrestore.data.degrade import KINDS, SAMPLE_PLACE, gaussian_noise, mix, sample, to_8_bit
from idrestore.data.jpeg import jpeg
from idrestore.data.physics import curves, haze, kernels, noise, panel
from idrestore.degradations import SYNTHESISED

SIZES = [(1, 1), (1, 9), (7, 5), (17, 31), (128, 96)]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Leave the other cores alone, and the number of threads as it was."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def photo(height: int = 96, width: int = 128, seed: int = 0) -> Tensor:
    """Return smooth fields of three colours, some discs and stripes with soft edges."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 128
    picture = np.empty((3, height, width))
    for channel in range(3):
        a, b, c = rng.uniform(1, 4, 3)
        picture[channel] = 0.5 + 0.15 * np.sin(a * x + b * y + c) + 0.1 * np.cos(b * x - a * y)
    for _ in range(6):
        cy, cx, radius = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9), rng.uniform(0.05, 0.3)
        inside = 1 / (1 + np.exp((np.hypot(y - cy, x - cx) - radius) * 150))
        picture += inside * rng.uniform(-0.25, 0.25, (3, 1, 1))
    picture += 0.05 * np.sin(40 * x) * (y > 0.4)
    return torch.from_numpy(picture.clip(0, 1)).float()


def psnr(one: Tensor, other: Tensor) -> float:
    """Return the PSNR of two pictures in dB, of range 1."""
    return float(-10 * torch.log10(((one - other) ** 2).mean() + 1e-12))


def on_grid(image: Tensor) -> bool:
    """Tell whether every value is a multiple of 1/255."""
    return bool(((image * 255) - (image * 255).round()).abs().max() < 1e-3)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_every_kind_keeps_shape_and_range(kind: str, size: tuple[int, int], strength: float) -> None:
    image = torch.rand((3, *size), generator=torch.Generator().manual_seed(1))
    for seed in range(6):
        result = mix(image, {kind: strength}, seed)
        assert result.shape == image.shape
        assert result.dtype == torch.float32
        assert torch.isfinite(result).all()
        assert result.min() >= 0 and result.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_black_and_white_give_finite_values(kind: str, level: float) -> None:
    for seed in range(4):
        assert torch.isfinite(mix(torch.full((3, 16, 16), level), {kind: 0.7}, seed)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_deterministic_in_seed_alone(kind: str) -> None:
    image = photo()
    first = mix(image, {kind: 0.6}, 3)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002  (the point: global state has no say)
    assert torch.equal(first, mix(image, {kind: 0.6}, 3))
    assert not torch.equal(first, mix(image, {kind: 0.6}, 4))


@pytest.mark.parametrize("kind", KINDS)
def test_global_random_state_is_left_alone(kind: str) -> None:
    before = torch.random.get_rng_state()
    mix(photo(16, 16), {kind: 0.6}, 3)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("kind", [*KINDS, "clean"])
def test_the_input_is_not_modified(kind: str) -> None:
    image = photo()
    before = image.clone()
    mix(image, {kind: 1.0}, 0)
    sample(image, (kind,), 0)
    assert torch.equal(image, before)


@pytest.mark.parametrize("kind", KINDS)
def test_stronger_is_worse_on_average(kind: str) -> None:
    images = [photo(64, 64, seed) for seed in range(12)]
    means = [
        np.mean([psnr(mix(image, {kind: strength}, i), image) for i, image in enumerate(images)])
        for strength in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert all(weaker > stronger for weaker, stronger in pairwise(means)), means


KEPT = {
    "noise": (0.49148, 0.44253),
    "rain": (0.56836, 0.96271),
    "haze": (0.65150, 0.64594),
    "blur": (0.49417, 0.43259),
    "low_light": (0.11426, 0.09440),
    "under_display": (0.23246, 0.21565),
}
"""Mean of the picture and the value of a pixel at strength 0.5, seed 3."""


@pytest.mark.parametrize("kind", KINDS)
def test_the_sets_of_the_benchmarks_stay_what_they_were(kind: str) -> None:
    result = mix(photo(), {kind: 0.5}, 3)
    assert (float(result.mean()), float(result[1, 20, 30])) == pytest.approx(KEPT[kind], abs=2e-5)


def test_no_stage_takes_the_random_numbers_of_a_sample() -> None:
    assert all(place != SAMPLE_PLACE for row in SYNTHESISED for place, _ in row.stages)


def test_clean_returns_the_image() -> None:
    image = photo()
    assert torch.equal(mix(image, {"clean": 0.5}, 0), image)


@pytest.mark.parametrize("name", ["nois", "low-light", "Blur", "fogg"])
def test_unknown_kind_names_the_nearest(name: str) -> None:
    nearest = {"nois": "noise", "low-light": "low_light", "Blur": "blur", "fogg": "haze"}[name]
    with pytest.raises(ValueError, match=f"unknown kind '{name}', nearest is '{nearest}'"):
        mix(photo(8, 8), {name: 0.5}, 0)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_strength_outside_its_range_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match="strength of rain"):
        mix(photo(8, 8), {"rain": strength}, 0)


@pytest.mark.parametrize("sigma", [15, 25, 50])
def test_asked_sigma_within_three_standard_errors(sigma: int) -> None:
    image = torch.full((3, 200, 200), 0.5)
    # At σ 50 values beyond 2.5 σ are clipped: compare with the clipped normal.
    bound = 127.5 / sigma
    z = torch.linspace(-8, 8, 200_001, dtype=torch.float64)
    weight = torch.exp(-z * z / 2)
    expected = sigma * float(((z.clamp(-bound, bound) ** 2 * weight).sum() / weight.sum()).sqrt())
    added = (gaussian_noise(image, sigma, seed=5) - image) * 255
    standard_error = sigma / np.sqrt(2 * added.numel())
    assert abs(float(added.std()) - expected) < 3 * standard_error
    assert abs(float(added.mean())) < 3 * sigma / np.sqrt(added.numel())


def test_camera_noise_has_unit_variance_and_blotchier_colour() -> None:
    like = torch.zeros(3, 256, 256)
    planes = torch.stack([noise.camera_plane(like, np.random.default_rng(i)) for i in range(24)])
    assert torch.allclose(planes.var(dim=(0, 2, 3)), torch.ones(3), atol=0.03)

    def correlation(plane: Tensor) -> float:
        return float((plane[..., 1:] * plane[..., :-1]).mean() / (plane**2).mean())

    luma, chroma = planes.mean(dim=1), planes[:, 0] - planes[:, 1]
    assert correlation(chroma) > correlation(luma) + 0.1


def test_signal_dependent_noise_has_the_asked_variance() -> None:
    light, gain, floor = 0.25, 4e-4, 1e-4
    image = curves.encoded(torch.full((3, 200, 200), light))
    plane = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    measured = curves.linear_light(noise.signal_dependent(image, gain, floor, plane)).std()
    assert float(measured) == pytest.approx((gain * light + floor) ** 0.5, rel=0.01)


def test_srgb_curve_against_skimage_values_and_back() -> None:
    assert float(curves.linear_light(torch.tensor(0.5))) == pytest.approx(0.21404, abs=1e-5)
    values = torch.linspace(0, 1, 1001)
    assert torch.allclose(curves.encoded(curves.linear_light(values)), values, atol=1e-6)


@pytest.mark.parametrize("level", [0.0, 0.02, 0.3, 1.0])
def test_blur_of_a_constant_is_constant(level: float) -> None:
    image = torch.full((3, 40, 30), level)
    for seed in range(8):
        assert torch.allclose(mix(image, {"blur": 1.0}, seed), image, atol=1e-4)


def test_convolution_against_loops() -> None:
    image = torch.rand((3, 6, 7), generator=torch.Generator().manual_seed(0))
    kernel = torch.rand((2, 1, 3, 5), generator=torch.Generator().manual_seed(1))
    padded = torch.nn.functional.pad(image, (2, 2, 1, 1), mode="replicate")
    expected = torch.zeros(2, 3, 6, 7)
    for row in range(3):
        for column in range(5):
            window = padded[:, 2 - row : 8 - row, 4 - column : 11 - column]
            expected += kernel[:, :, row, column, None, None] * window
    assert torch.allclose(kernels.convolve(image, kernel), expected, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), length=st.floats(1, 40))
def test_kernels_sum_to_one_and_leave_the_picture_in_place(seed: int, length: float) -> None:
    path = length * kernels.trajectory(np.random.default_rng(seed))[None]
    for kernel in (kernels.rasterise(path)[0], kernels.disc(length / 4)[0]):
        assert kernel.min() >= 0
        assert kernel.sum() == pytest.approx(1)
        offset = np.arange(len(kernel)) - len(kernel) // 2
        assert (kernel.sum(axis=1) @ offset, kernel.sum(axis=0) @ offset) == pytest.approx((0, 0))
    assert np.linalg.norm(np.ptp(path[0], axis=0)) == pytest.approx(length)


def test_haze_goes_from_the_scene_to_the_airlight() -> None:
    image, airlight = photo(32, 32), torch.tensor((0.8, 0.85, 0.9))
    sky = airlight[:, None, None].expand_as(image)
    near, far = torch.zeros(1, 32, 32), torch.full((1, 32, 32), 50.0)
    assert torch.equal(haze.scatter(image, near, 1.0, airlight), image)
    assert torch.allclose(haze.scatter(image, far, 1.0, airlight), sky)
    distances = [
        float((haze.scatter(image, near + 1, beta, airlight) - sky).abs().max()) for beta in (0.1, 0.5, 1.0, 3.0)
    ]
    assert distances == sorted(distances, reverse=True)


def test_depth_is_positive_and_about_one() -> None:
    luminance = photo(96, 128).mean(dim=0, keepdim=True)
    means = []
    for seed in range(40):
        depth = haze.depth_of(luminance, np.random.default_rng(seed))
        assert depth.shape == luminance.shape
        assert depth.min() > 0
        means.append(float(depth.mean()))
    assert 0.8 < np.mean(means) < 1.2


def test_rain_only_adds_light_and_its_streaks_are_steep() -> None:
    image = torch.full((3, 128, 128), 0.1)
    down, across = [], []
    for seed in range(20):
        rain = mix(image, {"rain": 0.5}, seed)
        assert (rain >= image - 1e-5).all()
        down.append(float(rain.diff(dim=1).abs().mean()))
        across.append(float(rain.diff(dim=2).abs().mean()))
    assert np.mean(across) > 2 * np.mean(down)


def test_low_light_is_dark_but_not_black() -> None:
    image = photo()
    results = [mix(image, {"low_light": 1.0}, seed) for seed in range(10)]
    assert all(0.01 < float(result.mean()) < 0.12 for result in results)


def test_display_spreads_light_across_its_stripes_red_farthest() -> None:
    image = torch.zeros(3, 33, 129)
    image[:, :, 64] = 1
    light = curves.linear_light(panel.panel(image, 1.0, np.random.default_rng(0)))
    distance = (torch.arange(129) - 64).abs().float()
    spread = (light * distance).sum(dim=(1, 2)) / light.sum(dim=(1, 2))
    assert spread[0] > spread[1] > spread[2] > 1
    assert torch.allclose(light[:, 0], light[:, -1], atol=1e-5)


def test_mix_follows_the_physics_not_the_dictionary() -> None:
    image = photo()
    both = mix(image, {"noise": 0.5, "blur": 0.5}, 7)
    assert torch.equal(both, mix(image, {"blur": 0.5, "noise": 0.5}, 7))
    blurred_first = mix(mix(image, {"blur": 0.5}, 7), {"noise": 0.5}, 7)
    noisy_first = mix(mix(image, {"noise": 0.5}, 7), {"blur": 0.5}, 7)
    assert torch.equal(both, blurred_first)
    assert not torch.allclose(both, noisy_first, atol=1e-2)


def test_low_light_noise_comes_after_the_blur() -> None:
    flat = torch.full((3, 64, 64), 0.5)
    alone = mix(flat, {"low_light": 0.5}, 1)
    together = mix(flat, {"low_light": 0.5, "blur": 1.0}, 1)
    assert torch.allclose(alone, together, atol=1e-3)
    assert float(alone.std(dim=(1, 2)).max()) > 1e-3


def test_8_bit_truncates_and_keeps_the_grid() -> None:
    grid = torch.arange(256) / 255
    assert torch.equal((to_8_bit(grid) * 255).round(), torch.arange(256.0))
    assert torch.equal(to_8_bit(torch.tensor([-1.0, 1.9 / 255, 7.0])), torch.tensor([0, 1 / 255, 1]))


def libjpeg(image: Tensor, quality: int, chroma_subsampling: bool) -> Tensor:
    """Return `image` through pyvips' JPEG encoder and decoder."""
    array = (image * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    source = pyvips.Image.new_from_array(array).copy(interpretation="srgb")
    mode = "on" if chroma_subsampling else "off"
    data = source.jpegsave_buffer(Q=quality, subsample_mode=mode)
    decoded = pyvips.Image.new_from_buffer(data, "").numpy()
    return torch.from_numpy(decoded.copy()).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize("chroma_subsampling", [False, True])
@pytest.mark.parametrize("quality", [10, 40, 60, 80, 90, 98])
@pytest.mark.parametrize("size", [(96, 128), (53, 71)])
def test_jpeg_agrees_with_libjpeg(quality: int, chroma_subsampling: bool, size: tuple[int, int]) -> None:
    image = to_8_bit(photo(*size))
    image = to_8_bit(gaussian_noise(image, 3, 0))  # texture, so that quantisation matters
    ours = jpeg(image, quality, chroma_subsampling)
    theirs = libjpeg(image, quality, chroma_subsampling)
    assert on_grid(ours)
    assert psnr(ours, theirs) > 40
    assert psnr(ours, image) == pytest.approx(psnr(theirs, image), abs=0.5)


@pytest.mark.parametrize("size", SIZES)
def test_jpeg_takes_any_size(size: tuple[int, int]) -> None:
    image = torch.rand((3, *size), generator=torch.Generator().manual_seed(2))
    for chroma_subsampling in (False, True):
        result = jpeg(image, 75, chroma_subsampling)
        assert result.shape == image.shape
        assert result.min() >= 0 and result.max() <= 1


@pytest.mark.parametrize("quality", [0, 101])
def test_jpeg_refuses_other_qualities(quality: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to 100"):
        jpeg(photo(8, 8), quality, True)


def test_a_clean_sample_equals_its_target() -> None:
    image = photo()
    compressed = 0
    for seed in range(20):
        degraded, target, kinds = sample(image, ("clean",), seed)
        assert torch.equal(degraded, target)
        assert on_grid(degraded) and kinds == ("clean",)
        compressed += not torch.equal(degraded, to_8_bit(image))
    assert 4 <= compressed <= 16


@pytest.mark.parametrize("kinds", [("noise",), ("rain", "haze"), ("low_light", "blur", "noise")])
def test_a_degraded_sample_keeps_the_clean_patch(kinds: tuple[str, ...]) -> None:
    image = photo()
    first = sample(image, kinds, 11)
    assert torch.equal(first.clean, image) and first.kinds == kinds
    assert on_grid(first.degraded) and not torch.equal(first.degraded, image)
    assert torch.equal(first.degraded, sample(image, kinds, 11).degraded)
    assert not torch.equal(first.degraded, sample(image, kinds, 12).degraded)


@pytest.mark.parametrize("kinds", [(), ("clean", "noise")])
def test_contradictory_kinds_are_refused(kinds: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="kinds is"):
        sample(photo(8, 8), kinds, 0)


def test_an_unknown_kind_in_a_sample_is_named() -> None:
    with pytest.raises(ValueError, match="nearest is 'haze'"):
        sample(photo(8, 8), ("hazy",), 0)
