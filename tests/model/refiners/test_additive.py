import dataclasses

import pytest
import torch
from small import FAST, mixture, network, one_hot

from idrestore.degradations import NAMES
from idrestore.model.config import ModelConfig
from idrestore.model.inference import prepare
from idrestore.model.network import RestorationNetwork

ADDITIVE = ("noise", "rain")
OTHERS = [name for name in NAMES if name not in ADDITIVE]


def fed(model, photos, ingredients):
    """Return what decoder level 2 gives, and what level 1 gets of it."""
    seen = []
    level_2 = model.prior_blocks["decoder2"].register_forward_hook(lambda *given: seen.append(given[2].features))
    level_1 = model.up[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model(photos, ingredients)
    level_2.remove()
    level_1.remove()
    return seen


def test_they_count_by_the_share_of_noise_and_rain():
    model, shares = network(FAST), mixture(2)
    given, taken = fed(model, torch.rand(2, 3, 16, 32), shares)
    share = shares[:, [NAMES.index(name) for name in ADDITIVE]].sum(dim=1)[:, None, None, None]
    torch.testing.assert_close(taken, (1 - share) * given + share * model.additive_refiner(given))
    assert not torch.allclose(taken, given)


@pytest.mark.parametrize("name", OTHERS)
def test_they_are_left_out_where_nothing_lies_over_the_photo(name):
    prepared, calls, photos = prepare(network(FAST)), [], torch.rand(1, 3, 16, 16)
    prepared.additive_refiner.register_forward_hook(lambda *_: calls.append(1))
    prepared(photos, one_hot(name))
    assert not calls
    prepared(photos, 0.9 * one_hot(name) + 0.1 * one_hot("rain"))
    assert calls


def test_a_network_can_be_given_some():
    model, photo = network(FAST, additive_refiner=0), torch.rand(1, 3, 16, 16)
    assert model.additive_refiner is None
    before = model(photo).restored
    model.grow(FAST)
    assert model.config == FAST
    torch.testing.assert_close(model(photo).restored, before)
    RestorationNetwork(FAST).load_state_dict(model.state_dict())


def test_a_network_that_knows_neither_noise_nor_rain_has_none():
    assert network(FAST, degradations=("haze", "blur", "clean")).additive_refiner is None


@pytest.mark.parametrize("value", [-1, 1.5, True])
def test_their_number_is_checked(value):
    with pytest.raises(ValueError, match=r"additive_refiner: got .*, expected a whole number from 0 to 64"):
        dataclasses.replace(FAST, additive_refiner=value)
    assert ModelConfig().additive_refiner == 0
