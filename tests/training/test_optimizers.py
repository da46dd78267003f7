import copy

import pytest
import torch
from torch import nn

from idrestore.training import optimizers as muon
from idrestore.training.optimizers import ADAM_BETAS, ADAM_RATE, MOMENTUM, Muon, is_matrix, orthogonal


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("shape", [(16, 16), (12, 90), (90, 12)])
def test_orthogonal_brings_all_singular_values_near_1(shape, half, monkeypatch):
    monkeypatch.setattr(muon, "has_bf16_units", lambda device: half)
    left, _, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    values = torch.logspace(0, -2, min(shape))
    result = orthogonal((left @ values.diag() @ right)[None])[0]
    assert result.dtype == torch.float32
    singular = torch.linalg.svdvals(result)
    assert 0.6 < singular.min() <= singular.max() < 1.3
    # The directions stay: it is the nearest orthogonal matrix, up to the sizes of its singular values.
    aligned = (left.T @ result @ right.T).diag()
    assert (aligned > 0.6).all()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((8, 8), True), ((8, 6, 3, 3), True), ((4, 8), False), ((8, 1, 3, 3), False), ((8,), False), ((6, 2, 8), False)],
)
def test_what_is_a_matrix(shape, expected):
    assert is_matrix(torch.zeros(shape)) == expected


def step(parameters, gradients, lr=0.1, **settings):
    optimizer = Muon(parameters, lr, **settings)
    for of_each in gradients:
        for parameter, gradient in zip(parameters, of_each, strict=True):
            parameter.grad = gradient
        optimizer.step()
    return optimizer


def test_a_matrix_moves_as_far_in_every_direction():
    weight = nn.Parameter(torch.zeros(8, 6, 3, 3))
    gradient = torch.randn(8, 6, 3, 3)
    step([weight], [[gradient]])
    moved = torch.linalg.svdvals(weight.detach().flatten(1))
    assert 0.06 < moved.min() <= moved.max() < 0.13
    assert (weight * gradient).sum() < 0


def test_steps_of_matrices_do_not_depend_on_the_size_of_gradients():
    gradients = [[torch.randn(8, 8)] for _ in range(3)]
    weights = [nn.Parameter(torch.zeros(8, 8)) for _ in range(2)]
    step(weights[:1], gradients)
    step(weights[1:], [[1024 * gradient[0]] for gradient in gradients])
    torch.testing.assert_close(weights[0], weights[1], atol=1e-3, rtol=1e-2)


def test_momentum_carries_on():
    weight = nn.Parameter(torch.zeros(8, 8))
    optimizer = step([weight], [[torch.eye(8)]])
    before = weight.detach().clone()
    weight.grad = torch.zeros(8, 8)
    optimizer.step()
    assert (weight - before).diag().max() < -0.05
    assert 0 < MOMENTUM < 1


def test_all_else_moves_by_adam():
    ours, theirs = (nn.Parameter(torch.ones(5)) for _ in range(2))
    gradients = [[torch.randn(5)] for _ in range(4)]
    step([ours], gradients, lr=0.1)
    adam = torch.optim.Adam([theirs], lr=0.1 * ADAM_RATE, betas=ADAM_BETAS)
    for (gradient,) in gradients:
        theirs.grad = gradient
        adam.step()
    torch.testing.assert_close(ours, theirs)


def test_weights_decay_apart_from_the_gradient():
    weight = nn.Parameter(torch.ones(5))
    step([weight], [[torch.zeros(5)]], lr=0.1, weight_decay=0.5)
    torch.testing.assert_close(weight.detach(), torch.full((5,), 0.95))


def test_a_parameter_without_a_gradient_stays():
    weight = nn.Parameter(torch.ones(8, 8))
    step([weight], [[None]], weight_decay=0.5)
    assert torch.equal(weight, torch.ones(8, 8))


def test_a_saved_state_goes_on_exactly():
    torch.manual_seed(0)
    gradients = [[torch.randn(8, 8), torch.randn(8)] for _ in range(4)]
    whole = [nn.Parameter(torch.ones(8, 8)), nn.Parameter(torch.ones(8))]
    first = step(whole, gradients[:2])
    copied, state = copy.deepcopy(whole), copy.deepcopy(first.state_dict())
    second = Muon(copied, 0.1)
    second.load_state_dict(state)
    for of_each in gradients[2:]:
        for parameters, optimizer in ((whole, first), (copied, second)):
            for parameter, gradient in zip(parameters, of_each, strict=True):
                parameter.grad = gradient
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(whole, copied, strict=True))
