"""Where networks run, and in which arithmetic."""

from typing import Any, Literal

import torch

Precision = Literal["auto", "fp32", "bf16"]
"""bf16 is for matrix products and convolutions; "auto" takes it where the processor has units for it."""


def find_device(name: str) -> torch.device:
    """Return the device of that name, or the best there is for "auto"; raise `ValueError` for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device: got {name!r}, which this machine or this torch does not have") from error
    return device


def is_half(precision: Precision, device: torch.device) -> bool:
    """Tell whether a precision means bf16 on a device."""
    return precision == "bf16" or (precision == "auto" and has_bf16_units(device))


def has_bf16_units(device: torch.device) -> bool:
    """Tell whether bf16 products run in hardware there; emulated ones are slower than fp32, by hundreds of times."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type != "cpu":
        return False
    # Older torch cannot tell; then fp32 is the safe answer.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
