import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small import FAST, network, one_hot, shaken

from idrestore.model.config import ModelConfig
from idrestore.model.network import RestorationNetwork
from idrestore.model.refiners.affine import STEEP, TERMS, AffineRefiner, apply_grid, keep_detail
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
    assert model.colour_grid(photo, rows_of("haze"), torch.ones(1)) is None
    model.grow(FAST)
    assert model.config == FAST
    assert not model.colour_grid(photo, rows_of("haze"), torch.ones(1)).any()
    RestorationNetwork(FAST).load_state_dict(model.state_dict())


def test_a_network_that_knows_neither_haze_nor_darkness_has_none():
    assert network(FAST, degradations=("noise", "rain")).affine_refiner is None


@pytest.mark.parametrize("value", [(7,), (7, 8), (7, 0, 9), (7, 11, True)])
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


def painted(slope, offset, share=1.0):
    """Return a scene, what a network that paints makes of an affine map of it, and that with the photo's detail."""
    scene = 0.5 + 0.2 * torch.rand(1, 3, 96, 80, generator=torch.Generator().manual_seed(0))
    scene[..., 40:] -= 0.3
    photo = (scene - offset) / slope
    smeared = F.avg_pool2d(scene, 5, 1, 2, count_include_pad=False)
    return scene, smeared, keep_detail(photo, smeared, torch.tensor([share]))


def test_detail_that_haze_left_comes_back_where_the_network_smeared_it():
    scene, smeared, kept = painted(1.5, -0.4)
    assert (kept - scene).square().mean() < 0.2 * (smeared - scene).square().mean()
    assert torch.equal(painted(1.5, -0.4, share=0.0)[2], smeared)
    half = painted(1.5, -0.4, share=0.5)[2]
    torch.testing.assert_close(half, (smeared + kept) / 2)


def test_the_steeper_a_place_has_to_become_the_less_of_its_detail_and_noise_comes_back():
    changes = [
        float((kept - smeared).square().mean()) for _, smeared, kept in (painted(s, 0.0) for s in (1, STEEP, 20))
    ]
    assert changes[0] > 2 * changes[1] > 20 * changes[2]


@pytest.mark.parametrize("sides", [(1, 1), (3, 70), (16, 16)])
def test_detail_is_kept_in_the_smallest_photos(sides):
    photo = torch.rand(2, 3, *sides)
    kept = keep_detail(photo, 0.5 * photo + 0.2, torch.ones(2))
    assert kept.shape == photo.shape
    assert kept.isfinite().all()
    torch.testing.assert_close(kept, 0.5 * photo + 0.2, atol=0.3, rtol=0)


def test_each_photo_of_a_batch_has_its_own_share():
    photo, made = torch.rand(2, 3, 48, 48), torch.rand(2, 3, 48, 48)
    kept = keep_detail(photo, made, torch.tensor([0.0, 0.8]))
    assert torch.equal(kept[0], made[0])
    torch.testing.assert_close(kept[1:], keep_detail(photo[1:], made[1:], torch.tensor([0.8])))
