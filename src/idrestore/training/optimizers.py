"""The optimiser Muon: momentum whose matrices are made orthogonal before they move the weights.

After K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024). Errors of haze and darkness
are far larger than those of noise and blur, and the few directions in which they pull carry most of an ordinary step.
Orthogonal steps are as large in all others.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from idrestore.device import has_bf16_units

MOMENTUM = 0.95
ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the odd polynomial that, iterated, brings all singular values in (0, 1] near 1: published with Muon."""
ADAM_RATE = 0.03
"""Learning rate of what is no matrix, relative to that of matrices."""
ADAM_BETAS = (0.9, 0.99)
SMALLEST = 5
"""Matrices with fewer rows or columns are not worth it, and learn by Adam."""


class Muon(torch.optim.Optimizer):
    """Muon for weights of convolutions and linear layers, Adam for biases and all else.

    A convolution's weight (out, in, h, w) is the matrix (out, in·h·w). `lr` is the spectral norm of a step.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move all parameters that have a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                move = _muon if is_matrix(parameter) else _adam
                parameter.add_(move(parameter.grad, state), alpha=-group["lr"])


def is_matrix(parameter: Tensor) -> bool:
    """Tell whether a parameter is a layer's weight, (out, in) or (out, in, h, w), that is worth making orthogonal."""
    return parameter.ndim in (2, 4) and min(parameter.shape[:2]) >= SMALLEST


def orthogonal(matrix: Tensor) -> Tensor:
    """Return, about, the orthogonal matrix nearest to `matrix` (m, n): singular values between 0.7 and 1.2."""
    a, b, c = COEFFICIENTS
    x: Tensor = matrix.to(torch.bfloat16 if has_bf16_units(matrix.device) else torch.float32)
    x = x / (x.norm() + 1e-7)
    wide: Tensor = x if len(x) <= x.shape[1] else x.T
    for _ in range(ITERATIONS):
        gram = wide @ wide.T
        wide = torch.addmm(a * wide, b * gram + c * (gram @ gram), wide)
    return (wide if len(x) <= x.shape[1] else wide.T).to(matrix.dtype)


def _muon(gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
    if not state:
        state["momentum"] = torch.zeros_like(gradient)
    momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
    rows = gradient.lerp(momentum, MOMENTUM).flatten(1)
    return orthogonal(rows).mul_(max(1, len(rows) / rows.shape[1]) ** 0.5).view_as(gradient)


def _adam(gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
    if not state:
        state["step"] = torch.zeros(())
        state["mean"], state["square"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
    state["step"] += 1
    (slow, slower), step = ADAM_BETAS, state["step"]
    mean: Tensor = state["mean"].lerp_(gradient, 1 - slow) / (1 - slow**step)
    square: Tensor = state["square"].lerp_(gradient.square(), 1 - slower) / (1 - slower**step)
    return mean.div_(square.sqrt_().add_(1e-8)).mul_(ADAM_RATE)
