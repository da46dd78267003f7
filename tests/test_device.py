import pytest
import torch

from idrestore import device
from idrestore.device import find_device, has_bf16_units, is_half

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({}, False), ({"avx2": True}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True)],
)
def test_a_processor_tells_whether_it_has_bf16_units(capabilities, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert has_bf16_units(CPU) is expected


@pytest.mark.parametrize("units", [False, True])
def test_auto_is_half_where_there_are_units(units, monkeypatch):
    monkeypatch.setattr(device, "has_bf16_units", lambda _: units)
    assert [is_half(precision, CPU) for precision in ("auto", "fp32", "bf16")] == [units, False, True]


def test_a_device_that_is_not_there():
    assert find_device("cpu") == CPU
    with pytest.raises(ValueError, match="device: got 'gpu', which this machine or this torch does not have"):
        find_device("gpu")
