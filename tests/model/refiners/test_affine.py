import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small import FAST, network, one_hot, shaken

from idrestore.model.config import ModelConfig
from idrestore.model.network import RestorationNetwork
from idrestore.model.refiners.affine import (
    EVENED,
    STEEP,
    TERMS,
    AffineRefiner,
    apply_grid,
    fit,
    fit_airlight,
    fit_exposure,
    fit_steepest,
    refine,
    undo_darkness,
    undo_scattering,
)
from idrestore.restoration import pixels


def rows_of(name):
    """Return ingredients (1, M, K) that consist of one degradation."""
    return one_hot(name)[:, None].expand(-1, 3, -1)


def test_it_starts_by_changing_nothing():
    torch.manual_seed(0)
    photos = torch.rand(2, 3, 32, 48)
    grid = AffineRefiner(5, 8, 13)(photos, photos, torch.ones(2))
    assert grid.shape == (2, 3 * TERMS, 4, 6)
    assert torch.equal(apply_grid(photos, grid, (32, 48)), photos)


def test_it_knows_the_whole_thumbnail():
    refiner, photo = shaken(AffineRefiner(5, 8, 13)), torch.rand(1, 3, 320, 16)
    touched = photo.clone()
    touched[..., :16, :] = 1 - touched[..., :16, :]
    difference = refiner(touched, touched, torch.ones(1)) - refiner(photo, photo, torch.ones(1))
    assert (difference.abs().amax(dim=(0, 1, 3)) > 0).all()


def test_grid_say_what_becomes_of_a_colour():
    photo = torch.tensor([0.2, 0.5, 0.8])[None, :, None, None].expand(1, 3, 4, 6)
    grid = torch.zeros(1, 3, TERMS, 1, 1)
    grid[0, 0] = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])[:, None, None]
    changed = apply_grid(photo, grid.flatten(1, 2), (4, 6))
    red = 0.2 + 0.2 + 2 * 0.5 + 3 * 0.8 + 4 * 0.5**2 + 5
    assert torch.allclose(changed, torch.tensor([red, 0.5, 0.8])[None, :, None, None].expand(1, 3, 4, 6))


def test_between_the_grid_it_interpolates_linearly():
    grid = torch.zeros(2, 3, TERMS, 3, 5)
    grid[:, :, -1] = torch.rand(2, 3, 3, 5)
    changed = apply_grid(torch.zeros(2, 3, 37, 61), grid.flatten(1, 2), (37, 61))
    torch.testing.assert_close(changed, F.interpolate(grid[:, :, -1], (37, 61), mode="bilinear"))


@pytest.mark.parametrize("corner", [(0, 0), (16, 32), (5, 40)])
def test_a_part_is_changed_as_in_the_whole(corner):
    photo, grid = torch.rand(1, 3, 48, 80), torch.randn(1, 3 * TERMS, 3, 5)
    part = (slice(None), slice(None), slice(corner[0], corner[0] + 24), slice(corner[1], corner[1] + 30))
    whole = apply_grid(photo, grid, (48, 80))[part]
    torch.testing.assert_close(apply_grid(photo[part], grid, (48, 80), corner), whole)


def test_a_network_can_be_given_one():
    model, photo = network(FAST, affine_refiner=()), torch.rand(1, 3, 32, 32)
    assert model.colours(photo, rows_of("haze"), torch.ones(1)) is None
    model.grow(FAST)
    assert model.config == FAST
    assert not model.colours(photo, rows_of("haze"), torch.ones(1)).grid.any()
    RestorationNetwork(FAST).load_state_dict(model.state_dict())


def test_a_network_that_knows_neither_haze_nor_darkness_has_none():
    assert network(FAST, degradations=("noise", "rain")).affine_refiner is None


@pytest.mark.parametrize("value", [(7,), (7, 8), (7, 0, 9)])
def test_it_has_three_widths_or_none(value):
    with pytest.raises(ValueError, match=r"affine_refiner: got .*, expected none, or 3 numbers from 1 to 4096"):
        dataclasses.replace(FAST, affine_refiner=value)
    assert ModelConfig().affine_refiner == ()


@pytest.mark.parametrize("shape", [(5, 7), (32, 48), (33, 95), (301, 203)])
def test_a_thumbnail_is_what_the_photo_is_from_afar(shape):
    down, right = np.mgrid[: shape[0], : shape[1]]
    ramps = np.stack([down / shape[0], right / shape[1], np.full(shape, 0.25)], axis=2)
    small = pixels.thumbnail((ramps * 65535).astype(np.uint16), 65535.0, (16, 32))
    assert small.shape == (1, 3, 16, 32)
    expected = F.interpolate(
        torch.from_numpy(ramps).permute(2, 0, 1)[None].float(), (16, 32), mode="bicubic", antialias=True
    )
    assert (small - expected.clamp(0, 1)).abs().max() < 0.03


def test_a_thumbnail_counts_every_pixel():
    photo = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    small = pixels.thumbnail(photo, 255.0, (32, 16))
    assert abs(float(small.mean()) - photo.mean() / 255) < 0.002
    assert small.std() < 0.05


def scene(*sides, seed=0):
    """Return a photo (1, 3, H, W) of coarse and fine detail, in [0.1, 0.9]."""
    generator = torch.Generator().manual_seed(seed)
    coarse, fine = (torch.rand(1, 3, *sides, generator=generator) for _ in range(2))
    return 0.1 + 0.5 * F.avg_pool2d(coarse, 9, 1, 4, count_include_pad=False).clamp(0, 1) + 0.3 * fine


def smeared(photo):
    """Return what a network that paints makes of a photo."""
    return F.avg_pool2d(photo, 5, 1, 2, count_include_pad=False)


FREE = torch.full((1, 1, 1, 1), 1e3)
"""No bound on slopes."""
AIRLIGHT = torch.tensor([[0.7, 0.8, 0.9]])
ALL = torch.ones(1)


def hazy(clean, *transmissions):
    """Return a photo in haze, of strips of so much transmission."""
    fixed = AIRLIGHT[:, :, None, None]
    strips = torch.tensor(transmissions).repeat_interleave(clean.shape[-1] // len(transmissions))
    return strips * clean + (1 - strips) * fixed


def exposed(photo):
    """Return what one map of colours, which is as steep in the dark as a gamma, makes of a photo."""
    red, green, blue = (1.4 * photo.sqrt() - 0.3 * photo).unbind(1)
    return torch.stack([red, green, 0.9 * blue + 0.1 * red], 1).clamp(0, 1)


def error(image, wanted):
    return float((image - wanted).square().mean())


def test_the_colour_of_the_haze_is_found():
    clean = scene(96, 160)
    torch.testing.assert_close(fit_airlight(hazy(clean, 0.5), clean), AIRLIGHT, atol=0.03, rtol=0)
    torch.testing.assert_close(fit_airlight(hazy(clean, 0.4, 0.7), clean), AIRLIGHT, atol=0.08, rtol=0)


def test_haze_is_no_darker_than_the_photo():
    photo = scene(96, 80)
    for made in (0.6 * photo, photo, smeared(photo)):
        assert (fit_airlight(photo, made) >= photo.mean(dim=(2, 3)) - 0.01).all()


def test_detail_that_haze_left_comes_back_where_the_network_smeared_it():
    clean = scene(96, 80)
    photo, made = hazy(clean, 0.7), smeared(clean)
    kept = undo_scattering(photo, made, AIRLIGHT, FREE, ALL)
    assert error(kept, clean) < 0.2 * error(made, clean)
    assert torch.equal(undo_scattering(photo, made, AIRLIGHT, FREE, 0 * ALL), made)
    half = undo_scattering(photo, made, AIRLIGHT, FREE, 0.5 * ALL)
    torch.testing.assert_close(half, (made + kept) / 2)


def test_a_colour_that_no_haze_explains_is_taken_back():
    clean = scene(96, 80)
    tinted = clean + torch.tensor([0.1, 0.0, -0.1])[:, None, None]
    assert error(undo_scattering(hazy(clean, 0.7), tinted, AIRLIGHT, FREE, ALL), clean) < 0.2 * error(tinted, clean)


def test_contrast_is_never_taken_from_a_hazy_photo():
    photo = scene(96, 80)
    dim = 0.6 * photo
    kept = undo_scattering(photo, dim, fit_airlight(photo, dim), FREE, ALL)
    assert kept.std() > 0.9 * photo.std()


def test_what_is_dark_in_a_photo_bounds_how_hazy_it_can_be():
    clean = scene(240, 240)
    clean[..., :20, :20] = 0  # something black
    steepest = fit_steepest(hazy(clean, 0.5), AIRLIGHT)
    torch.testing.assert_close(steepest[..., :3, :3], torch.full((1, 1, 3, 3), 2.0), atol=0.02, rtol=0)
    assert (steepest >= 1.99).all()
    assert (fit_steepest(clean, AIRLIGHT)[..., :3, :3] < 1.01).all()


def test_a_clear_photo_that_is_called_hazy_is_spared_where_it_is_black():
    clean = scene(240, 240)
    clean[..., :20, :20] = 0
    made = 1.8 * (clean - 0.9) + 0.9
    grid, size = torch.zeros(1, 3 * TERMS, 3, 3), (240, 240)
    spared = refine(clean, made, fit(clean, made, grid), ALL, 0 * ALL, size)[..., :40, :40]
    assert error(spared, clean[..., :40, :40]) < 0.1 * error(made[..., :40, :40], clean[..., :40, :40])


@pytest.mark.parametrize("undo", [undo_scattering, undo_darkness])
def test_the_steeper_a_place_has_to_become_the_less_of_its_detail_and_noise_comes_back(undo):
    changes = []
    for slope in (1.5, STEEP, 20):
        photo = scene(96, 80) / slope
        made = smeared(slope * photo)
        known = (torch.zeros(1, 3), FREE) if undo is undo_scattering else (fit_exposure(photo, made),)
        changes.append(error(undo(photo, made, *known, ALL), made))
    assert changes[0] > 1.5 * changes[1] > 4 * changes[2]


def test_what_one_map_of_colours_explains_stays():
    photo = 0.2 * smeared(scene(80, 96))
    made = exposed(photo)
    assert error(undo_darkness(photo, made, fit_exposure(photo, made), ALL), made) < 2e-5


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_halo_in_a_dark_photo_is_evened_out(share):
    photo = 0.2 * scene(80, 96)
    made = exposed(photo)
    exposure = fit_exposure(photo, made)
    halo = torch.zeros_like(photo)
    halo[..., 30:50, 40:60] = 0.2
    evened = undo_darkness(photo, made + halo, exposure, share * ALL) - made
    torch.testing.assert_close(
        evened[..., 38:42, 48:52].mean(), torch.tensor(0.2 * (1 - EVENED * share)), atol=0.02, rtol=0
    )


def test_detail_that_darkness_left_comes_back_where_the_network_smeared_it():
    photo = 0.5 * scene(80, 96)
    clean = 1.5 * photo
    made = smeared(clean)
    assert error(undo_darkness(photo, made, fit_exposure(photo, made), ALL), clean) < 0.3 * error(made, clean)


def test_a_grey_photo_has_a_map_of_its_colours():
    photo = scene(48, 48)[:, :1].expand(-1, 3, -1, -1)
    kept = undo_darkness(photo, photo.sqrt(), fit_exposure(photo, photo.sqrt()), ALL)
    torch.testing.assert_close(kept, photo.sqrt(), atol=0.05, rtol=0)


def test_each_photo_of_a_batch_has_its_own_colours_and_share():
    photos = torch.cat([0.3 * scene(48, 48), hazy(scene(48, 48, seed=1), 0.5)])
    made = torch.cat([exposed(photos[:1]), scene(48, 48, seed=1)])
    grid, size = torch.zeros(2, 3 * TERMS, 3, 3), (48, 48)
    both = refine(photos, made, fit(photos, made, grid), torch.tensor([0.0, 0.8]), torch.tensor([1.0, 0.0]), size)
    for index, (haze, dark) in enumerate([(0.0, 1.0), (0.8, 0.0)]):
        one = slice(index, index + 1)
        colours = fit(photos[one], made[one], grid[one])
        alone = refine(photos[one], made[one], colours, torch.tensor([haze]), torch.tensor([dark]), size)
        torch.testing.assert_close(both[one], alone, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("sides", [(1, 1), (3, 70), (16, 16)])
def test_the_smallest_photos_are_refined(sides):
    photos = torch.rand(2, 3, *sides)
    made = 0.5 * photos + 0.2
    colours = fit(photos, made, torch.zeros(2, 3 * TERMS, 1, 1))
    refined = refine(photos, made, colours, torch.ones(2), torch.ones(2), sides)
    assert refined.shape == photos.shape
    assert refined.isfinite().all()
