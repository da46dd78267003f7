import dataclasses

import pytest
import torch
import torch.nn.functional as F
from small import FAST, network, one_hot, shaken

from idrestore.model.config import ModelConfig
from idrestore.model.inference import prepare
from idrestore.model.network import RestorationNetwork
from idrestore.model.refiners.blur_kernel import (
    RADIUS,
    REACH,
    TAPS,
    BlurKernelEstimator,
    correlate,
    deconvolve,
    kernels_between,
    wiener_filter,
)
from idrestore.model.refiners.convolutive import DeblurringRefiner


def delta():
    """Return a kernel (1, n, n) that does not blur."""
    kernel = torch.zeros(1, 2 * RADIUS + 1, 2 * RADIUS + 1)
    kernel[:, RADIUS, RADIUS] = 1
    return kernel


def motion():
    """Return a kernel (1, n, n) of a camera that moved to the right, slower and slower."""
    kernel = torch.zeros_like(delta())
    kernel[:, RADIUS, RADIUS - 3 : RADIUS + 4] = torch.arange(1.0, 8) / 28
    return kernel


def blurred(photos, kernel):
    """Convolve photos (B, 3, H, W) with a kernel (1, n, n); they lose RADIUS pixels on each side."""
    return F.conv2d(photos, kernel.flip(1, 2)[None].expand(3, -1, -1, -1), groups=3)


def test_it_starts_from_a_kernel_that_hardly_blurs():
    kernels, noise = BlurKernelEstimator(4, 6)(torch.randn(2, 8, 2 * REACH + 1, 2 * REACH + 1))
    assert kernels.shape == (2, 2 * RADIUS + 1, 2 * RADIUS + 1)
    torch.testing.assert_close(kernels.sum(dim=(1, 2)), torch.ones(2))
    assert (kernels.amax(dim=(1, 2)) == kernels[:, RADIUS, RADIUS]).all()
    assert (kernels[:, RADIUS - 2 : RADIUS + 3, RADIUS - 2 : RADIUS + 3].sum(dim=(1, 2)) > 0.7).all()
    assert noise.shape == (2,)
    assert (noise > 0).all()


def test_it_reads_kernels_whose_sum_is_one():
    kernels, noise = shaken(BlurKernelEstimator(4, 6))(torch.randn(3, 8, 2 * REACH + 1, 2 * REACH + 1))
    torch.testing.assert_close(kernels.sum(dim=(1, 2)), torch.ones(3))
    assert len({round(each, 6) for each in noise.tolist()}) == 3


@pytest.mark.parametrize("logarithm", [-1000.0, -13.0, 5.0, 1000.0])
def test_noise_beyond_all_bounds_has_a_finite_filter_and_a_gradient_that_leads_back(logarithm):
    estimator = shaken(BlurKernelEstimator(4, 6))
    with torch.no_grad():
        estimator.last[1].weight.zero_()
        estimator.noise.bias.fill_(logarithm)
    kernels, noise = estimator(torch.randn(2, 8, 2 * REACH + 1, 2 * REACH + 1))
    deconvolved = deconvolve(torch.rand(2, 3, 64, 64), wiener_filter(kernels, noise))
    deconvolved.square().mean().backward()
    assert deconvolved.isfinite().all()
    assert all(each.grad.isfinite().all() for each in estimator.parameters() if each.grad is not None)
    assert estimator.noise.bias.grad.abs() > 0


def test_white_noise_differs_from_its_neighbours_as_it_should():
    found = correlate(torch.rand(2, 1, 200, 300).expand(-1, 3, -1, -1))
    assert found.shape == (8, 2 * REACH + 1, 2 * REACH + 1)
    for direction, (down, right) in enumerate([(0, 1), (1, 0), (1, 1), (1, -1)]):
        expected = torch.zeros_like(found[0])
        expected[REACH, REACH] = 1
        expected[REACH + down, REACH + right] = expected[REACH - down, REACH - right] = -0.5
        assert (found[direction] - expected).abs().max() < 0.03


def test_only_the_cubes_tell_a_kernel_from_its_mirror_image():
    torch.manual_seed(0)
    photo = (torch.rand(1, 1, 300, 300) ** 12).expand(-1, 3, -1, -1)
    ahead, back = (correlate(blurred(photo, kernel)) for kernel in (motion(), motion().flip(2)))
    assert (ahead[:4] - back[:4]).abs().max() < 0.01
    torch.testing.assert_close(ahead[:4], ahead[:4].flip(1, 2), atol=1e-4, rtol=0)
    assert (ahead[4:] - back[4:]).abs().max() > 0.05


def test_crops_count_together():
    photo = torch.rand(1, 3, 120, 90)
    torch.testing.assert_close(correlate(photo.expand(3, -1, -1, -1)), correlate(photo), atol=1e-5, rtol=0)


def test_a_photo_does_not_change_its_correlations_with_its_contrast():
    photo = torch.rand(1, 3, 120, 90)
    torch.testing.assert_close(correlate(0.3 * photo + 0.2), correlate(photo), atol=2e-3, rtol=0)


def test_what_a_kernel_did_is_undone():
    photo = F.interpolate(torch.rand(1, 3, 60, 60), (180, 180), mode="bicubic").clamp(0, 1)
    degraded = blurred(photo, motion())
    sharp = photo[..., RADIUS:-RADIUS, RADIUS:-RADIUS]
    inside = (..., slice(TAPS, -TAPS), slice(TAPS, -TAPS))
    before, after = (
        (each - sharp)[inside].square().mean()
        for each in (degraded, deconvolve(degraded, wiener_filter(motion(), torch.tensor([1e-4]))))
    )
    assert after < 0.02 * before


def test_the_more_noise_the_less_is_undone():
    gains = [float(wiener_filter(motion(), torch.tensor([noise])).square().sum()) for noise in (1e-4, 1e-2, 1.0)]
    assert gains == sorted(gains, reverse=True)


def test_brightness_stays():
    filters = wiener_filter(torch.cat([motion(), delta()]), torch.tensor([1e-3, 1e-2]))
    assert filters.shape == (2, 2 * TAPS + 1, 2 * TAPS + 1)
    torch.testing.assert_close(filters.sum(dim=(1, 2)), torch.ones(2), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("size", "mode"), [((70, 101), "reflect"), ((49, 64), "reflect"), ((48, 64), "replicate")])
def test_undoing_is_a_convolution_of_the_mirrored_photo(size, mode):
    photos, filters = torch.rand(2, 3, *size), 0.1 * torch.randn(2, 2 * TAPS + 1, 2 * TAPS + 1)
    padded = F.pad(photos.double(), (TAPS,) * 4, mode=mode)
    expected = [blurred(photo[None], kernel[None])[0] for photo, kernel in zip(padded, filters.double(), strict=True)]
    torch.testing.assert_close(deconvolve(photos, filters), torch.stack(expected).float(), atol=1e-4, rtol=1e-4)


def test_a_part_is_filtered_as_in_the_whole():
    photo, filters = torch.rand(1, 3, 200, 170), wiener_filter(motion(), torch.tensor([1e-3]))
    whole = deconvolve(photo, filters)[..., 30 + TAPS : 160, 20 + TAPS : 150]
    part = deconvolve(photo[..., 30:160, 20:150], filters)[..., TAPS:, TAPS:]
    torch.testing.assert_close(part[..., :-TAPS, :-TAPS], whole[..., :-TAPS, :-TAPS], atol=1e-5, rtol=0)


def test_the_deblurring_refiner_sees_what_is_undone():
    model, photos = network(FAST), torch.rand(1, 3, 64, 64)
    seen = []
    model.deblurring_refiner.register_forward_pre_hook(lambda _, given: seen.append(given))
    filters = wiener_filter(*model.read_blur(photos))
    model(photos, one_hot("blur"), deconvolution=filters)
    degraded, _, third, _ = seen[0]
    assert torch.equal(degraded, photos)
    torch.testing.assert_close(third, deconvolve(photos, filters).clamp(0, 1))
    model(photos, one_hot("blur"))
    assert seen[1][2] is None


def test_what_is_taken_of_it_takes_the_place_of_the_rest():
    refiner, (degraded, restored, unblurred) = DeblurringRefiner(7, 11), torch.rand(3, 1, 3, 32, 48)
    shaken(refiner)
    refiner.see_unblurred()
    change = refiner(degraded, restored)
    torch.testing.assert_close(refiner(degraded, restored, unblurred), change)
    torch.nn.init.constant_(refiner.blend_mask.bias, 0.25)
    torch.testing.assert_close(
        refiner(degraded, restored, unblurred), 0.75 * change + 0.25 * (unblurred - restored), atol=1e-5, rtol=0
    )
    shaken(refiner)
    assert (refiner(degraded, restored) - refiner(degraded, restored, unblurred)).abs().max() > 0.01


def test_a_network_can_be_given_one():
    model, photo = network(FAST, blur_kernel_estimator=()), torch.rand(1, 3, 64, 64)
    assert model.read_blur(photo) is None
    before = model(photo, one_hot("blur")).restored
    model.grow(FAST)
    assert model.config == FAST
    filters = wiener_filter(*model.read_blur(photo))
    torch.testing.assert_close(model(photo, one_hot("blur"), deconvolution=filters).restored, before)
    RestorationNetwork(FAST).load_state_dict(model.state_dict())


def test_a_network_that_knows_no_blur_has_none():
    model = network(FAST, degradations=("noise", "haze"))
    assert model.blur_kernel_estimator is None
    assert model.read_blur(torch.rand(1, 3, 64, 64)) is None


def test_kernels_are_read_in_fp32():
    prepared, photo = prepare(network(FAST), half=True), torch.rand(1, 3, 80, 80)
    assert {parameter.dtype for parameter in prepared.blur_kernel_estimator.parameters()} == {torch.float32}
    assert {found.dtype for found in prepared.read_blur(photo)} == {torch.float32}


@pytest.mark.parametrize("value", [(7,), (7, 8, 9), (7, 0)])
def test_it_has_two_widths_or_none(value):
    with pytest.raises(ValueError, match=r"blur_kernel_estimator: got .*, expected none, or 2 numbers from 1 to 4096"):
        dataclasses.replace(FAST, blur_kernel_estimator=value)
    assert ModelConfig().blur_kernel_estimator == ()


def test_it_needs_a_deblurring_refiner():
    with pytest.raises(ValueError, match=r"blur_kernel_estimator: got .* without a deblurring_refiner"):
        dataclasses.replace(FAST, deblurring_refiner=())


def test_the_kernel_between_two_photos_is_the_one_that_blurred():
    clean = torch.rand(2, 3, 96, 110)
    kernels = kernels_between(clean, torch.stack([clean[0], 0.5 * (clean[1] + clean[1].roll(4, dims=2))]))
    torch.testing.assert_close(kernels.sum(dim=(1, 2)), torch.ones(2))
    assert kernels[0, RADIUS, RADIUS] > 0.95
    torch.testing.assert_close(kernels[1, RADIUS, [RADIUS, RADIUS + 4]], torch.full((2,), 0.5), atol=0.05, rtol=0)


def test_no_kernel_is_found_where_there_is_nothing_or_it_is_too_large():
    clean = torch.rand(1, 3, 96, 96)
    far = 0.5 * (clean + clean.roll(RADIUS + 4, dims=3))
    assert not kernels_between(clean, far).any()
    flat = torch.full_like(clean, 0.4)
    assert not kernels_between(flat, flat).isnan().any()
