import dataclasses

import pytest
import torch
from small import FAST, mixture, network, one_hot

from idrestore.degradations import NAMES, operation_of
from idrestore.model.config import ModelConfig
from idrestore.model.inference import prepare
from idrestore.model.network import RestorationNetwork
from idrestore.model.refiners.convolutive import DeblurringRefiner

BLUR = NAMES.index("blur")
OTHERS = [name for name in NAMES if operation_of(name) != "convolutive"]


def without_it(model, photos, ingredients):
    """Return what a network makes of photos without its deblurring refiner."""
    refiner, model.deblurring_refiner = model.deblurring_refiner, None
    restored = model(photos, ingredients).restored
    model.deblurring_refiner = refiner
    return restored


def test_it_starts_by_changing_nothing():
    torch.manual_seed(0)
    photos = torch.rand(2, 3, 24, 40)
    assert DeblurringRefiner(7, 11)(photos, photos).shape == photos.shape
    assert not DeblurringRefiner(7, 11)(photos, photos).any()


def test_it_sees_farther_than_the_largest_blur():
    model = network(FAST).deblurring_refiner
    photos = torch.rand(3, 1, 3, 160, 32)
    touched = photos.clone()
    touched[..., 80, 16] = 1 - touched[..., 80, 16]
    rows = (model(*touched) - model(*photos)).abs().amax(dim=(0, 1, 3)).nonzero()
    assert rows.min() <= 80 - 40
    assert rows.max() >= 80 + 40


def test_it_counts_by_the_share_of_blur():
    model, photos, shares = network(FAST), torch.rand(2, 3, 16, 32), mixture(2)
    rest = without_it(model, photos, shares)
    expected = rest + shares[:, BLUR, None, None, None] * model.deblurring_refiner(photos, rest.clamp(0, 1))
    torch.testing.assert_close(model(photos, shares).restored, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", OTHERS)
def test_it_is_left_out_where_nothing_is_blurred(name):
    prepared, calls = prepare(network(FAST)), []
    prepared.deblurring_refiner.register_forward_hook(lambda *_: calls.append(1))
    photos = torch.rand(1, 3, 16, 16)
    prepared(photos, one_hot(name))
    assert not calls
    prepared(photos, 0.9 * one_hot(name) + 0.1 * one_hot("blur"))
    assert calls


def test_only_blurred_samples_teach_it():
    model = network(FAST)
    model(torch.rand(1, 3, 16, 16), one_hot("rain")).restored.sum().backward()
    assert not any(
        parameter.grad is not None and parameter.grad.any() for parameter in model.deblurring_refiner.parameters()
    )
    model(torch.rand(1, 3, 16, 16), one_hot("blur")).restored.sum().backward()
    learning = dict(model.deblurring_refiner.named_parameters())
    without = [name for name, parameter in learning.items() if parameter.grad is None or not parameter.grad.any()]
    assert {name.split(".")[0] for name in without} == {"unblurred_stem", "blend_mask"}  # no kernel was read


def test_a_network_can_be_given_one():
    model, photo = network(FAST, deblurring_refiner=(), blur_kernel_estimator=()), torch.rand(1, 3, 16, 16)
    before = model(photo).restored
    model.grow(dataclasses.replace(FAST, blur_kernel_estimator=()))
    assert torch.equal(model(photo).restored, before)
    model.grow(FAST)
    assert model.config == FAST
    assert torch.equal(model(photo).restored, before)
    RestorationNetwork(FAST).load_state_dict(model.state_dict())


def test_a_network_that_knows_no_blur_has_none():
    assert network(FAST, degradations=("noise", "rain")).deblurring_refiner is None


@pytest.mark.parametrize("value", [(7,), (7, 0), (7, 11, 13)])
def test_it_has_two_widths_or_none(value):
    with pytest.raises(ValueError, match=r"deblurring_refiner: got .*, expected none, or 2 numbers from 1 to 4096"):
        dataclasses.replace(FAST, deblurring_refiner=value)
    assert ModelConfig().deblurring_refiner == ()
