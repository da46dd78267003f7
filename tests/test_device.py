import pytest
import torch

from idrestore import device
from idrestore.device import computes_bf16, find_device, has_bf16_units, is_half

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "works", "expected"),
    [
        ({}, True, False),
        ({"avx2": True}, True, False),
        ({"avx512_bf16": True}, True, True),
        ({"amx_bf16": True}, True, True),
        ({"amx_bf16": True}, False, False),  # oneDNN was told not to use them
    ],
)
def test_bf16_units_count_if_the_processor_tells_of_them_and_they_work(capabilities, works, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    monkeypatch.setattr(device, "computes_bf16", lambda _: works)
    assert has_bf16_units(CPU) is expected


def _raises(*_):
    raise RuntimeError("could not create a primitive descriptor")


@pytest.mark.parametrize(
    ("convolve", "expected"),
    [
        (_raises, False),
        (None, False),
        (lambda *_: torch.full((1, 16, 22, 22), 144.0), True),
        (lambda *_: torch.full((1, 16, 22, 22), torch.nan), False),
    ],
)
def test_bf16_is_tried_before_it_is_believed(convolve, expected, monkeypatch):
    monkeypatch.setattr(torch, "mkldnn_convolution", convolve)
    assert computes_bf16.__wrapped__(CPU) is expected


def test_a_wish_for_bf16_where_it_cannot_be_is_refused(monkeypatch):
    monkeypatch.setattr(device, "computes_bf16", lambda _: False)
    with pytest.raises(ValueError, match="precision: got bf16, which cannot be computed on this cpu; expected auto"):
        is_half("bf16", CPU)
    assert not is_half("auto", CPU)


@pytest.mark.parametrize("units", [False, True])
def test_auto_is_half_where_there_are_units(units, monkeypatch):
    monkeypatch.setattr(device, "has_bf16_units", lambda _: units)
    monkeypatch.setattr(device, "computes_bf16", lambda _: True)
    assert [is_half(precision, CPU) for precision in ("auto", "fp32", "bf16")] == [units, False, True]


def test_a_device_that_is_not_there():
    assert find_device("cpu") == CPU
    with pytest.raises(ValueError, match="device: got 'gpu', which this machine or this torch does not have"):
        find_device("gpu")
