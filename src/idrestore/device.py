"""Where networks run, and in which arithmetic."""

import functools
from typing import Any, Literal, NamedTuple

import torch

Precision = Literal["auto", "fp32", "bf16"]
"""bf16 is for matrix products and convolutions; "auto" takes it where the processor has units for it."""
KERNEL_ERRORS = (AttributeError, NotImplementedError, RuntimeError, TypeError)
"""What trying a kernel may raise that this torch or this processor lacks."""


class Arithmetic(NamedTuple):
    """How a network computes; as text, a line for people."""

    device: str
    precision: Literal["fp32", "bf16"]
    fused: bool
    """Whether convolutions do what follows them at once, by oneDNN's kernels (`model.layers.residual`)"""

    def __str__(self) -> str:
        return f"{self.device}, {self.precision}, {'fused' if self.fused else 'plain'} convolutions"


def find_device(name: str) -> torch.device:
    """Return the device of that name, or the best there is for "auto"; raise `ValueError` for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        expected = "expected auto, cpu or cuda"
        raise ValueError(f"device: got {name!r}, which this machine or this torch does not have; {expected}") from error
    return device


def is_half(precision: Precision, device: torch.device) -> bool:
    """Tell whether a precision means bf16 on a device; raise `ValueError` for bf16 where it cannot be computed."""
    if precision == "bf16" and not computes_bf16(device):
        raise ValueError(f"precision: got bf16, which cannot be computed on this {device.type}; expected auto or fp32")
    return precision == "bf16" or (precision == "auto" and has_bf16_units(device))


def has_bf16_units(device: torch.device) -> bool:
    """Tell whether bf16 products run in hardware there; emulated ones are slower than fp32, by hundreds of times."""
    if device.type == "cpu":
        # Older torch cannot tell; then fp32 is the safe answer.
        capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        if not (capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")):
            return False
    return computes_bf16(device)


@functools.cache
def computes_bf16(device: torch.device) -> bool:
    """Tell whether a device computes in bf16, by letting it do so: what a processor has, oneDNN may be told not to use.

    (`ONEDNN_MAX_CPU_ISA`.) On a processor it is oneDNN that has to: torch's own loops take hundreds of times longer.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    photo, weight = (torch.ones(size, dtype=torch.bfloat16) for size in ((1, 16, 24, 24), (16, 16, 3, 3)))
    try:
        with torch.inference_mode():
            # As many multiplications as make torch give a product of matrices to oneDNN, too.
            product = torch.ones(64, 64, dtype=torch.bfloat16) @ torch.ones(64, 64, dtype=torch.bfloat16)
            convolved = torch.mkldnn_convolution(photo, weight, None, [0, 0], [1, 1], [1, 1], 1)
    except KERNEL_ERRORS:
        return False
    return bool((product == 64).all() and (convolved == 144).all())
