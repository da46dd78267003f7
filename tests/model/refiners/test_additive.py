import dataclasses

import pytest
import small
import torch
from small import mixture, network, one_hot

from idrestore.degradations import NAMES
from idrestore.model.config import ModelConfig
from idrestore.model.inference import prepare
from idrestore.model.network import RestorationNetwork
from idrestore.model.refiners.additive import AdditiveRefiner

FAST = dataclasses.replace(small.FAST, additive_refiner=(4, 6, 9))
ADDITIVE = ("noise", "rain")
OTHERS = [name for name in NAMES if name not in ADDITIVE]


def without_it(model, photos, ingredients):
    """Return what a network makes of photos without its additive refiner."""
    refiner, model.additive_refiner = model.additive_refiner, None
    restored = model(photos, ingredients).restored
    model.additive_refiner = refiner
    return restored


def told(noise, rain=0.0, rest="haze"):
    return noise * one_hot("noise") + rain * one_hot("rain") + (1 - noise - rain) * one_hot(rest)


def test_it_starts_by_changing_nothing():
    photos = torch.rand(2, 3, 24, 40)
    change = AdditiveRefiner(3, 5, 7)(photos)
    assert change.shape == photos.shape
    assert not change.any()


@pytest.mark.parametrize(
    ("noise", "rain", "part"),
    [(0.3, 0.0, 0.0), (0.0, 0.5, 0.0), (0.6, 0.0, 0.25), (0.2, 0.5, 0.5), (0.9, 0.0, 1.0), (0.0, 1.0, 1.0)],
)
def test_it_takes_the_place_of_the_rest_as_far_as_noise_and_rain_are_all_that_is_wrong(noise, rain, part):
    model, photos, shares = network(FAST), torch.rand(1, 3, 16, 32), told(noise, rain)
    of_each = noise * model.additive_refiner["noise"](photos) + rain * model.additive_refiner["rain"](photos)
    alone = photos + of_each / (noise + rain)
    expected = (1 - part) * without_it(model, photos, shares) + part * alone
    torch.testing.assert_close(model(photos, shares).restored, expected, atol=1e-5, rtol=1e-4)


def test_it_does_one_thing_to_noise_and_another_to_rain():
    model, photos = network(FAST), torch.rand(1, 3, 16, 32)
    assert not torch.allclose(model(photos, one_hot("noise")).restored, model(photos, one_hot("rain")).restored)


@pytest.mark.parametrize("name", ADDITIVE)
def test_it_leaves_what_is_clean(name):
    model, photos = network(FAST), torch.rand(1, 3, 16, 32)
    change = model(photos, one_hot(name)).restored - photos
    shares = 0.25 * one_hot(name) + 0.75 * one_hot("clean")
    torch.testing.assert_close(model(photos, shares).restored, photos + 0.25 * change)


@pytest.mark.parametrize("rest", ["clean", "haze"])
@pytest.mark.parametrize(("noise", "rain"), [(0.95, 0.0), (0.0, 0.95), (0.5, 0.45)])
def test_nothing_else_works_on_photos_that_are_only_noisy_and_rainy(noise, rain, rest):
    model, calls = network(FAST), []
    prepared, photos, shares = prepare(model), torch.rand(1, 3, 16, 16), told(noise, rain, rest)
    prepared.stem.register_forward_hook(lambda *_: calls.append(1))
    output = prepared(photos, shares)
    assert not calls
    torch.testing.assert_close(output.restored, model(photos, shares).restored, atol=1e-5, rtol=1e-4)
    prepared(photos, told(0.8))
    assert calls


@pytest.mark.parametrize("name", OTHERS)
def test_it_is_left_out_where_noise_and_rain_are_not_most_of_what_is_wrong(name):
    """Every tile of every photo used to be denoised, and nothing taken of it."""
    prepared, calls, photos = prepare(network(FAST)), [], torch.rand(1, 3, 16, 16)
    for each, refiner in prepared.additive_refiner.items():
        refiner.register_forward_hook(lambda *_, each=each: calls.append(each))
    prepared(photos, one_hot(name))
    prepared(photos, told(0.2, 0.2))
    assert not calls
    prepared(photos, told(0.6))
    prepared(photos, told(0.3, 0.3))
    assert calls == ["noise", "noise", "rain"]


def test_what_is_known_of_such_photos_already_is_told():
    prepared, photos = prepare(network(FAST)), torch.rand(1, 3, 16, 16)
    routed = prepared.route(photos, told(1.0))
    output = prepared(photos, told(1.0), routed=routed)
    assert torch.equal(output.logits, routed.logits)
    assert len(output.latents) == 3
    assert all(a is b.latents for a, b in zip(output.latents, routed.outputs, strict=True))


def test_only_noisy_and_rainy_samples_teach_it():
    model, photos = network(FAST), torch.rand(2, 3, 16, 16)
    model(photos, torch.cat([one_hot("haze"), one_hot("clean")])).restored.sum().backward()
    assert not any(p.grad is not None and p.grad.any() for p in model.additive_refiner.parameters())
    model(photos, mixture(2) + 9 * one_hot("noise", 2)).restored.sum().backward()
    assert all(p.grad.any() for p in model.additive_refiner.parameters())


def test_a_network_can_be_given_one():
    model, photo = network(FAST, additive_refiner=()), torch.rand(1, 3, 16, 16)
    assert model.additive_refiner is None
    before = model(photo, one_hot("haze")).restored
    model.grow(FAST)
    assert model.config == FAST
    torch.testing.assert_close(model(photo, one_hot("haze")).restored, before)
    RestorationNetwork(FAST).load_state_dict(model.state_dict())


def test_a_network_that_knows_neither_noise_nor_rain_has_none():
    assert network(FAST, degradations=("haze", "blur", "clean")).additive_refiner is None


@pytest.mark.parametrize("names", [("noise", "haze", "clean"), ("rain", "haze", "clean")])
def test_a_network_that_knows_one_of_them_has_one_for_that(names):
    model, photo = network(FAST, degradations=names), torch.rand(1, 3, 16, 16)
    assert list(model.additive_refiner) == [names[0]]
    assert model(photo, torch.eye(3)[:1]).restored.shape == photo.shape


@pytest.mark.parametrize("value", [(3,), (3, 4), (0, 2, 3), 2])
def test_its_channels_are_checked(value):
    with pytest.raises(ValueError, match=r"additive_refiner: got .*, expected"):
        dataclasses.replace(FAST, additive_refiner=value)
    assert ModelConfig().additive_refiner == ()
