import dataclasses

import pytest
import small
import torch
from small import mixture, network, one_hot

from idrestore.degradations import NAMES
from idrestore.model.config import ModelConfig
from idrestore.model.inference import prepare
from idrestore.model.network import RestorationNetwork
from idrestore.model.refiners.denoiser import Denoiser

FAST = dataclasses.replace(small.FAST, denoiser=(4, 6, 9))
NOISE, CLEAN = NAMES.index("noise"), NAMES.index("clean")


def without_it(model, photos, ingredients):
    """Return what a network makes of photos without its denoiser."""
    denoiser, model.denoiser = model.denoiser, None
    restored = model(photos, ingredients).restored
    model.denoiser = denoiser
    return restored


def noisy(share, rest="haze"):
    return share * one_hot("noise") + (1 - share) * one_hot(rest)


def test_it_starts_by_changing_nothing():
    photos = torch.rand(2, 3, 24, 40)
    assert Denoiser(3, 5, 7)(photos).shape == photos.shape
    assert not Denoiser(3, 5, 7)(photos).any()


@pytest.mark.parametrize(("share", "part"), [(0.3, 0.0), (0.5, 0.0), (0.6, 0.25), (0.7, 0.5), (0.9, 1.0), (1.0, 1.0)])
def test_it_takes_the_place_of_the_rest_as_far_as_noise_is_all_that_is_wrong(share, part):
    model, photos, shares = network(FAST), torch.rand(1, 3, 16, 32), noisy(share)
    alone = photos + model.denoiser(photos)
    expected = (1 - part) * without_it(model, photos, shares) + part * alone
    torch.testing.assert_close(model(photos, shares).restored, expected, atol=1e-5, rtol=1e-4)


def test_it_leaves_what_is_clean():
    model, photos = network(FAST), torch.rand(1, 3, 16, 32)
    torch.testing.assert_close(model(photos, noisy(0.25, "clean")).restored, photos + 0.25 * model.denoiser(photos))


@pytest.mark.parametrize("rest", ["clean", "haze"])
def test_nothing_else_works_on_photos_that_are_only_noisy(rest):
    model, calls = network(FAST), []
    prepared, photos, shares = prepare(model), torch.rand(1, 3, 16, 16), noisy(0.95, rest)
    prepared.stem.register_forward_hook(lambda *_: calls.append(1))
    output = prepared(photos, shares)
    assert not calls
    torch.testing.assert_close(output.restored, model(photos, shares).restored, atol=1e-5, rtol=1e-4)
    prepared(photos, noisy(0.8))
    assert calls


@pytest.mark.parametrize("name", [name for name in NAMES if name != "noise"])
def test_it_is_left_out_where_noise_is_not_most_of_what_is_wrong(name):
    """Every tile of every photo used to be denoised, and nothing taken of it."""
    prepared, calls, photos = prepare(network(FAST)), [], torch.rand(1, 3, 16, 16)
    prepared.denoiser.register_forward_hook(lambda *_: calls.append(1))
    prepared(photos, one_hot(name))
    prepared(photos, noisy(0.4, "haze"))
    assert not calls
    prepared(photos, noisy(0.6, "haze"))
    assert calls


def test_what_is_known_of_noisy_photos_already_is_told():
    prepared, photos = prepare(network(FAST)), torch.rand(1, 3, 16, 16)
    routed = prepared.route(photos, noisy(1.0))
    output = prepared(photos, noisy(1.0), routed=routed)
    assert torch.equal(output.logits, routed.logits)
    assert len(output.latents) == 3
    assert all(a is b.latents for a, b in zip(output.latents, routed.outputs, strict=True))


def test_only_noisy_samples_teach_it():
    model, photos = network(FAST), torch.rand(2, 3, 16, 16)
    model(photos, torch.cat([one_hot("rain"), one_hot("clean")])).restored.sum().backward()
    assert not any(p.grad is not None and p.grad.any() for p in model.denoiser.parameters())
    model(photos, mixture(2) + 9 * one_hot("noise", 2)).restored.sum().backward()
    assert all(p.grad.any() for p in model.denoiser.parameters())


def test_a_network_can_be_given_one():
    model, photo = network(FAST, denoiser=()), torch.rand(1, 3, 16, 16)
    assert model.denoiser is None
    before = without_it(network(FAST), photo, one_hot("haze"))
    assert before.shape == photo.shape
    model.grow(FAST)
    assert model.config == FAST
    RestorationNetwork(FAST).load_state_dict(model.state_dict())


def test_a_network_that_knows_no_noise_has_none():
    assert network(FAST, degradations=("haze", "blur", "clean")).denoiser is None


@pytest.mark.parametrize("value", [(3,), (3, 4), (0, 2, 3)])
def test_its_channels_are_checked(value):
    with pytest.raises(ValueError, match=r"denoiser: got .*, expected none, or 3 numbers from 1 to 4096"):
        dataclasses.replace(FAST, denoiser=value)
    assert ModelConfig().denoiser == ()
