import dataclasses

import pytest
import torch
import torch.nn.functional as F
from small import BOTH, FAST, mixture, network, one_hot, shaken
from torch import nn

from idrestore.degradations import NAMES
from idrestore.model.layers import ResidualBlock
from idrestore.model.network import RestorationNetwork
from idrestore.model.per_operation import PerOperationConv2d, PerOperationResidualBlock

K = len(NAMES)


def mixed(kernel=3, bias=True, num_added=0):
    start = nn.Conv2d(4, 6, kernel, padding=kernel // 2, bias=bias)
    return shaken(PerOperationConv2d(start, K, num_added))


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_a_mixed_convolution_is_the_mixture_of_its_convolutions(kernel, bias):
    layer, x, shares = mixed(kernel, bias), torch.randn(3, 4, 5, 7), mixture(3)
    each = torch.stack([convolution(x) for convolution in layer.all], dim=1)  # (3, K, 6, 5, 7)
    expected = (each * shares[:, :, None, None, None]).sum(dim=1)
    torch.testing.assert_close(layer(x, shares), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_one_ingredient_gives_its_own_convolution(name):
    layer, x = mixed(), torch.randn(2, 4, 5, 7)
    torch.testing.assert_close(layer(x, one_hot(name, 2)), layer.of[NAMES.index(name)](x))


def test_all_degradations_start_with_the_same_convolution():
    layer, x = PerOperationConv2d(nn.Conv2d(4, 6, 3, padding=1), K), torch.randn(1, 4, 5, 7)
    for name in NAMES[1:]:
        assert torch.equal(layer(x, one_hot(name)), layer(x, one_hot(NAMES[0])))


def test_an_addition_without_a_share_changes_nothing():
    layer = mixed()
    more = mixed(num_added=1)
    more.load_state_dict(layer.state_dict(), strict=False)
    x, shares = torch.randn(2, 4, 5, 7), mixture(2)
    assert torch.equal(more(x, torch.cat([shares, torch.zeros(2, 1)], dim=1)), layer(x, shares))
    only = torch.eye(K + 1)[-1:]
    torch.testing.assert_close(more(x[:1], only), more.added[0](x[:1]))


def test_a_mixed_residual_block_by_its_formula():
    block, x, shares = shaken(PerOperationResidualBlock(ResidualBlock(4), K)), torch.randn(2, 4, 5, 7), mixture(2)
    expected = x + block.second(F.relu(block.first(x, shares)), shares)
    torch.testing.assert_close(block(x, shares), expected)


def test_only_what_a_sample_has_learns_from_it():
    model = network(FAST, operations_by="degradation")
    model(torch.rand(2, 3, 16, 16), one_hot("rain", 2)).restored.sum().backward()
    for index, name in enumerate(NAMES):
        moved = [each.weight.grad.any().item() for each in (model.output.of[index], model.reduce[0].of[index])]
        assert moved == [name == "rain"] * 2


def test_the_top_sees_the_photo_and_not_what_level_1_saw():
    model, photo, shares = network(FAST), torch.rand(1, 3, 16, 16), one_hot("blur")
    seen = []
    model.reduce[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model(photo, shares)
    detail = model.detail(F.pixel_unshuffle(photo, 2), model.shares(shares))
    torch.testing.assert_close(seen[0][:, FAST.dim :], detail)


@pytest.mark.parametrize("double_top", [False, True])
def test_the_top_starts_as_one_that_is_not_mixed(double_top):
    model, photo = network(FAST, per_operation_top=False, double_top=double_top), torch.rand(2, 3, 16, 16)
    before = model(photo).restored
    model.grow(dataclasses.replace(FAST, double_top=double_top))
    assert model.config == dataclasses.replace(FAST, double_top=double_top)
    torch.testing.assert_close(model(photo).restored, before)


@pytest.mark.parametrize("name", BOTH)
def test_mixing_needs_dense_convolutions(name):
    changes = {"per_operation_top": True, "backbone": "convolution"}
    assert hasattr(network(BOTH[name], **changes), "detail")
    with pytest.raises(ValueError, match="per_operation_top: got true with the backbone 'transformer'"):
        network(BOTH[name], **changes | {"backbone": "transformer"})


def test_without_mixing_the_network_is_as_in_the_paper():
    assert not any(isinstance(m, PerOperationConv2d) for m in RestorationNetwork(BOTH["paper"]).modules())
