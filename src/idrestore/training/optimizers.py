"""The optimiser Muon: momentum whose matrices are made orthogonal before they move the weights.

After K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024). Errors of haze and darkness
are far larger than those of noise and blur, and the few directions in which they pull carry most of an ordinary step.
Orthogonal steps are as large in all others.
"""

from collections import defaultdict
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
            alike = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                if is_matrix(parameter):
                    alike[parameter.flatten(1).shape].append(parameter)
                else:
                    parameter.add_(_adam(parameter.grad, self.state[parameter]), alpha=-group["lr"])
            for (rows, columns), parameters in alike.items():
                moves = orthogonal(torch.stack([_momentum(p.grad, self.state[p]) for p in parameters]))
                step = -group["lr"] * max(1, rows / columns) ** 0.5
                for parameter, move in zip(parameters, moves, strict=True):
                    parameter.add_(move.view_as(parameter), alpha=step)


def is_matrix(parameter: Tensor) -> bool:
    """Tell whether a parameter is a layer's weight, (out, in) or (out, in, h, w), that is worth making orthogonal."""
    return parameter.ndim in (2, 4) and min(parameter.shape[:2]) >= SMALLEST


def orthogonal(matrices: Tensor) -> Tensor:
    """Return, about, the orthogonal matrix nearest to each of (N, m, n): singular values between 0.7 and 1.2.

    Matrices of one shape are made orthogonal together: one by one they are too small to keep a processor busy.
    """
    a, b, c = COEFFICIENTS
    x: Tensor = matrices.to(torch.bfloat16 if has_bf16_units(matrices.device) else torch.float32)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    wide: Tensor = x if x.shape[-2] <= x.shape[-1] else x.mT.contiguous()
    for _ in range(ITERATIONS):
        gram = wide @ wide.mT
        wide = torch.baddbmm(wide, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return (wide if x.shape[-2] <= x.shape[-1] else wide.mT).to(matrices.dtype)


def _momentum(gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
    """Return Nesterov's momentum of a gradient as a matrix, (out, in·h·w)."""
    if not state:
        state["momentum"] = torch.zeros_like(gradient)
    momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
    return gradient.lerp(momentum, MOMENTUM).flatten(1)


def _adam(gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
    if not state:
        state["step"] = torch.zeros(())
        state["mean"], state["square"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
    state["step"] += 1
    (slow, slower), step = ADAM_BETAS, state["step"]
    mean: Tensor = state["mean"].lerp_(gradient, 1 - slow) / (1 - slow**step)
    square: Tensor = state["square"].lerp_(gradient.square(), 1 - slower) / (1 - slower**step)
    return mean.div_(square.sqrt_().add_(1e-8)).mul_(ADAM_RATE)
