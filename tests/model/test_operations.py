import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small import shaken

from idrestore.model.operations import (
    KERNEL,
    OPERATIONS,
    Additive,
    Affine,
    Convolutive,
    SeparateOperations,
    SharedOperations,
    filter_pixels,
)

MIXED = ("affine", "additive", "convolutive", "additive", "convolutive")
ADDITIVE = ("additive", "additive")
FORMS = [SeparateOperations, SharedOperations]


def inputs(dim=6, size=(5, 4), batch=3):
    return torch.randn(batch, dim, *size), torch.randn(batch, 2 * dim, *size)


def bordered(x):
    return F.pad(x, [KERNEL // 2] * 4, mode="replicate")


def filter_by_loops(x, kernels):
    """Σ_taps kernel · neighbour for each pixel and channel, borders replicated."""
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge")
    result = np.zeros_like(x)
    for b, c, row, column in np.ndindex(x.shape):
        window = padded[b, c, row : row + 5, column : column + 5]
        result[b, c, row, column] = (window.ravel() * kernels[b, :, c, row, column]).sum()
    return result


def filter_of_shared(operations, x, hidden):
    """The shared convolutive change by loops: a mix of learned filters in each pixel."""
    squeezed = operations.squeeze(x).detach().numpy()
    filters = operations.filters.weight.detach().numpy().reshape(-1, *squeezed.shape[1:2] * 2, 25)
    chosen = operations.choose_filters(hidden).detach().numpy()
    padded = np.pad(squeezed, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge")
    mixed = np.zeros_like(squeezed)
    for b, row, column in np.ndindex(len(x), *x.shape[2:]):
        window = padded[b, :, row : row + 5, column : column + 5].reshape(-1, 25)
        kernel = np.einsum("f,foit->oit", chosen[b, :, row, column], filters)
        mixed[b, :, row, column] = np.einsum("oit,it->o", kernel, window)
    expand = operations.expand.weight.detach().numpy()[:, :, 0, 0]
    return np.einsum("oc,bchw->bohw", expand, mixed)


@pytest.mark.parametrize("size", [(5, 4), (1, 1), (2, 7)])
def test_filter_pixels_is_a_kernel_for_every_pixel_and_channel(size):
    x, kernels = torch.randn(2, 3, *size), torch.randn(2, KERNEL**2, 3, *size)
    expected = filter_by_loops(x.numpy(), kernels.numpy())
    np.testing.assert_allclose(filter_pixels(bordered(x), kernels), expected, atol=1e-5)


def test_the_kernel_delta_is_the_identity():
    x, kernels = torch.randn(1, 3, 4, 4), torch.zeros(1, KERNEL**2, 3, 4, 4)
    kernels[:, KERNEL**2 // 2] = 1
    assert torch.equal(filter_pixels(bordered(x), kernels), x)


def test_what_each_operation_changes():
    x, context = inputs()
    additive, affine, convolutive = (shaken(kind(6)) for kind in (Additive, Affine, Convolutive))
    torch.testing.assert_close(additive(x, context), additive.predict(context))
    gain, offset = affine.predict(context)[:, :6], affine.predict(context)[:, 6:]
    torch.testing.assert_close(affine(x, context), (1 + gain) * x + offset - x)
    kernels = convolutive.predict(context).detach().numpy().reshape(3, 25, 6, 5, 4)
    expected = filter_by_loops(x.numpy(), kernels)
    np.testing.assert_allclose(convolutive(x, context).detach(), expected, atol=1e-5)


@pytest.mark.parametrize("kind", OPERATIONS.values())
def test_every_operation_changes_nothing_at_step_0(kind):
    assert not kind(6)(*inputs()).any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("operations", [MIXED, ADDITIVE])
def test_every_mixture_is_the_identity_at_step_0_and_learns(form, operations):
    x, context = inputs()
    module = form(6, operations)
    for ingredients in (*torch.eye(len(operations))[:, None], torch.rand(1, len(operations))):
        result = module(x, context, ingredients.expand(3, -1))
        assert torch.equal(result, x)
    result.square().sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in module.parameters())


def test_separate_operations_are_mixed_in_parallel():
    """Every change is computed from the same x; the research code's in-place slip chained them."""
    module, (x, context) = shaken(SeparateOperations(6, MIXED)), inputs()
    w = torch.rand(3, len(MIXED))
    expected = x.clone()
    for k, operation in enumerate(module.operations):
        assert isinstance(operation, OPERATIONS[MIXED[k]])
        expected += w[:, k].reshape(3, 1, 1, 1) * operation(x.clone(), context)
    torch.testing.assert_close(module(x, context, w), expected)


def test_shared_operations_equal_the_explicit_sum():
    module, (x, context) = shaken(SharedOperations(6, MIXED)), inputs()
    w = torch.rand(3, len(MIXED))
    hidden = module.trunk(context)
    expected = x.clone()
    for k, operation in enumerate(MIXED):
        gain, offset = (
            F.conv2d(hidden, module.weight[k, row, :, :, None, None], module.bias[k, row]) for row in (0, 1)
        )
        change = {
            "additive": lambda offset=offset: offset,
            "affine": lambda gain=gain, offset=offset: gain * x + offset,
            "convolutive": lambda: torch.from_numpy(filter_of_shared(module, x, hidden)),
        }[operation]()
        expected = expected + w[:, k].reshape(3, 1, 1, 1) * change
    torch.testing.assert_close(module(x, context, w), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_memory_layout_does_not_matter(form):
    module, (x, context) = shaken(form(6, MIXED)), inputs()
    w = torch.rand(3, len(MIXED))
    last = [t.contiguous(memory_format=torch.channels_last) for t in (x, context)]
    torch.testing.assert_close(module(x, context, w), module(*last, w), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("k", range(len(MIXED)))
def test_one_hot_mixing_is_one_operation_bit_for_bit(form, k):
    """In fp32 no other degradation's parameters have a say, however large they are."""
    module, (x, context) = shaken(form(6, MIXED)), inputs()
    w = torch.eye(len(MIXED))[[k] * 3]
    soft = module(x, context, w)
    if form is SeparateOperations:
        assert torch.equal(soft, x + module.operations[k](x, context))
        foreign = [p for j, o in enumerate(module.operations) if j != k for p in o.parameters()]
    else:
        foreign = [p[j] for p in (module.weight, module.bias) for j in range(len(MIXED)) if j != k]
        if MIXED[k] != "convolutive":
            foreign += [*module.choose_filters.parameters(), *module.expand.parameters()]
    with torch.no_grad():
        for parameter in foreign:
            parameter.copy_(torch.randn_like(parameter) * 10)
    assert torch.equal(module(x, context, w), soft)


def test_gradient_of_filter_pixels():
    x = torch.randn(1, 2, 3, 2, dtype=torch.double, requires_grad=True)
    kernels = torch.randn(1, KERNEL**2, 2, 3, 2, dtype=torch.double, requires_grad=True)
    torch.autograd.gradcheck(lambda x, kernels: filter_pixels(bordered(x), kernels), (x, kernels))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_gradients_of_operations(form, operation):
    module = shaken(form(4, (operation,) * 2)).double()
    x, context = (tensor.double().requires_grad_() for tensor in inputs(4, (3, 3), 1))
    w = torch.rand(1, 2, dtype=torch.double, requires_grad=True)
    torch.autograd.gradcheck(module, (x, context, w), fast_mode=True)
