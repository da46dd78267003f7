"""What is prepared for inference does what the network does."""

from types import SimpleNamespace

import pytest
import torch
from small import BOTH, FAST, PAPER, mixture, needs_bf16, network, one_hot

from idrestore.degradations import NAMES, operation_of
from idrestore.model import inference, layers
from idrestore.model.inference import arithmetic, prepare

both = pytest.mark.parametrize("config", BOTH.values(), ids=BOTH)


def photos(batch=1, height=48, width=32):
    return torch.rand(batch, 3, height, width)


def calls(module):
    """Count a module's calls from now on."""
    counted = []
    module.register_forward_hook(lambda *_: counted.append(1))
    return counted


@both
@pytest.mark.parametrize("hub", ["prior", "ingredient"])
def test_with_every_share_counted_it_is_the_same_function(config, hub):
    model, batch, rows = network(config, hub), photos(2), mixture(2)
    prepared = prepare(model)
    for ingredients in (None, rows, one_hot("blur", 2)):
        expected, actual = model(batch, ingredients), prepared(batch, ingredients)
        torch.testing.assert_close(actual.restored, expected.restored, atol=1e-5, rtol=0)
        if ingredients is None:
            torch.testing.assert_close(actual.logits, expected.logits, atol=1e-5, rtol=1e-5)
        else:  # nobody was asked
            given = ingredients[:, None].expand_as(actual.logits)
            torch.testing.assert_close(actual.logits.softmax(dim=2), given, atol=1e-5, rtol=1e-5)


@both
def test_strips_do_not_show(config, monkeypatch):
    """A strip of one row, of three, and of all of them."""
    model, batch = network(config), photos(2)
    expected = model(batch).restored
    for pixels in (1, 3 * 2 * 16):
        monkeypatch.setattr(layers, "STRIP", pixels)
        assert len(layers.strips(torch.empty(2, 1, 48, 16))) == (48 if pixels == 1 else 16)
        torch.testing.assert_close(model(batch).restored, expected, atol=1e-5, rtol=0)


@both
def test_the_network_it_came_from_stays_as_it_was(config):
    model = network(config, "ingredient")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    prepare(model, half=True)
    assert all(tensor.dtype == torch.float32 for tensor in model.state_dict().values())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(not block.skip_unused for block in model.prior_blocks.values())


def test_a_photos_tiles_ask_the_hub_once_and_another_photo_anew():
    prepared = prepare(network(FAST, "ingredient"))
    asked = calls(prepared.hub)
    first, second = mixture(1), mixture(1)
    for rows in (first, first, first.clone()):
        prepared(photos(), rows)
    assert len(asked) == 3  # blocks
    torch.testing.assert_close(prepared(photos(1), second).restored.shape, prepared(photos(1)).restored.shape)
    assert len(asked) == 9


def test_keys_and_values_follow_the_ingredients():
    model = network(FAST, "ingredient")
    prepared, batch, rows = prepare(model), photos(), (mixture(1), mixture(1))
    for ingredients in (*rows, *rows):
        expected = model(batch, ingredients).restored
        torch.testing.assert_close(prepared(batch, ingredients).restored, expected, atol=1e-5, rtol=0)


@both
def test_operations_without_a_share_are_not_computed(config):
    prepared = prepare(network(config))
    for block in prepared.prior_blocks.values():
        operations = block.operations
        of_blur = (
            operations.operations[config.operation_kinds.index("convolutive")]
            if config is PAPER
            else operations.filters
        )
        computed = calls(of_blur)
        for name in NAMES:
            prepared(photos(), one_hot(name))
        assert len(computed) == [operation_of(name) for name in NAMES].count("convolutive")


@both
def test_a_share_of_nothing_can_be_left_out_bit_for_bit(config):
    model, batch = network(config), photos()
    everything, prepared = prepare(model), prepare(model)
    for block in everything.prior_blocks.values():
        block.skip_unused = False
    for name in NAMES:
        assert torch.equal(prepared(batch, one_hot(name)).restored, everything(batch, one_hot(name)).restored)


@needs_bf16
@both
def test_half_stays_within_45_db_of_the_whole(config):
    model, batch = network(config, "ingredient"), photos(height=64, width=48)
    with torch.no_grad():
        for weight in model.output.parameters():
            weight.mul_(0.05)  # a shaken network changes a photo by several times white
    whole, half = prepare(model), prepare(model, half=True)
    with torch.inference_mode():
        expected = whole(batch).restored
        with torch.autocast("cpu", torch.bfloat16):
            actual = half(batch).restored
    assert actual.dtype == torch.float32
    assert not torch.equal(actual, expected)
    assert (actual - expected).square().mean().log10() * -10 > 45


def test_how_this_machine_computes_is_said_in_a_line():
    assert str(arithmetic("cpu", "fp32")) in ("cpu, fp32, fused convolutions", "cpu, fp32, plain convolutions")


@pytest.mark.parametrize("fault", ["missing", "refuses", "wrong"])
@both
def test_without_fused_kernels_a_network_does_the_same(config, fault, monkeypatch):
    """They are no public part of torch: a version may lack them, refuse to run them, or mean something else by them."""
    operators = SimpleNamespace()
    if fault != "missing":
        operators._convolution_pointwise = _Faulty(fault)
    model, batch = network(config), photos()
    expected = model(batch).restored
    monkeypatch.setattr(inference, "can_fuse", layers.can_fuse.__wrapped__)
    monkeypatch.setattr(torch.ops, "mkldnn", operators)
    assert not arithmetic("cpu", "fp32").fused
    torch.testing.assert_close(prepare(model)(batch).restored, expected, atol=1e-5, rtol=0)


class _Faulty:
    """Fused kernels that do not do what they should."""

    def __init__(self, fault):
        self.fault = fault

    def __call__(self, x, *_):
        if self.fault == "refuses":
            raise RuntimeError("bf16 path needs the cpu support")
        return x

    def binary(self, x, *_):
        return x
