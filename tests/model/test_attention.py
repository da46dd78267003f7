import numpy as np
import pytest
import torch
from small import shaken

from idrestore.model.attention import HubAttention, SupervisedDegradationAttention


def one_by_one(convolution, x):
    """Return a 1x1 convolution of x (B, C, H, W) by NumPy."""
    weight, bias = (p.detach().numpy() for p in (convolution.weight, convolution.bias))
    return np.einsum("oc,bchw->bohw", weight[:, :, 0, 0], x) + bias[:, None, None]


@pytest.mark.parametrize("kind", ["degraded", "clean"])
def test_degradation_attention_is_its_formula(kind):
    """Method, Sec. 2: f·mask + F with f = 1x1(F), s = 1x1(F), mask = sigmoid(1x1(s))."""
    attention = shaken(SupervisedDegradationAttention(6, kind, stop_gradient=True))
    x, degraded = torch.randn(2, 6, 4, 5), torch.rand(2, 3, 8, 15)
    side_image = one_by_one(attention.to_side_image, x.numpy())
    if kind == "clean":  # only the research code adds the photo: the target `degraded` would be solved by 0
        side_image += degraded.numpy().reshape(2, 3, 4, 2, 5, 3).mean(axis=(3, 5))
    mask = 1 / (1 + np.exp(-one_by_one(attention.to_mask, side_image)))
    expected = one_by_one(attention.to_features, x.numpy()) * mask + x.numpy()
    actual = attention(x, degraded)
    np.testing.assert_allclose(actual.side_image.detach(), side_image, atol=1e-5)
    np.testing.assert_allclose(actual.features.detach(), expected, atol=1e-5)


def test_without_attention_there_is_nothing_to_supervise():
    attention = SupervisedDegradationAttention(6, "none", stop_gradient=True)
    x = torch.randn(2, 6, 4, 4)
    features, side_image = attention(x, torch.rand(2, 3, 8, 8))
    assert torch.equal(features, x)
    assert side_image is None
    assert not list(attention.parameters())


@pytest.mark.parametrize("kind", ["degraded", "clean", "none"])
@pytest.mark.parametrize("stop", [True, False])
def test_stop_gradient_stops_every_use_of_the_features(kind, stop):
    attention = shaken(SupervisedDegradationAttention(6, kind, stop))
    x = torch.randn(1, 6, 4, 4, requires_grad=True)
    for result in attention(x, torch.rand(1, 3, 8, 8)):
        if result is not None:
            assert result.requires_grad == (kind != "none" or not stop)
            if result.requires_grad:
                gradient = torch.autograd.grad(result.sum(), x, allow_unused=True, retain_graph=True)[0]
                assert (gradient is None) == stop


def hub_attention(query_stride=1):
    return shaken(HubAttention(6, heads=3, prior_width=7, query_stride=query_stride))


def ask(attention, x, hub):
    return attention(x, attention.keys_and_values(hub))


def test_hub_attention_asks_for_every_pixel():
    """Loops over pixels and heads: softmax over the priors of q·k / √C, then a sum of values."""
    attention, x, hub = hub_attention(), torch.randn(2, 6, 4, 3), torch.randn(2, 5, 7)
    queries = attention.to_queries(attention.norm(x)).detach().double().numpy()
    rows = hub.double().numpy()
    rows = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + 1e-5)
    weight, bias = (p.detach().double().numpy() for p in attention.to_keys_and_values.parameters())
    keys, values = np.split(rows @ weight.T + bias, 2, axis=-1)
    answer = np.zeros_like(queries)
    for b, head, row, column in np.ndindex(2, 3, 4, 3):
        part = np.s_[2 * head : 2 * head + 2]
        scores = np.array([key @ queries[b, part, row, column] for key in keys[b, :, part]])
        shares = np.exp(scores / np.sqrt(6))
        answer[b, part, row, column] = shares / shares.sum() @ values[b, :, part]
    expected = one_by_one(attention.project, answer)
    np.testing.assert_allclose(ask(attention, x, hub).detach(), expected, atol=1e-5)


def test_the_order_of_priors_is_nothing():
    attention, x, hub = hub_attention(), torch.randn(2, 6, 4, 3), torch.randn(2, 5, 7)
    torch.testing.assert_close(ask(attention, x, hub), ask(attention, x, hub[:, torch.randperm(5)]))


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (1, 1)])
@pytest.mark.parametrize("query_stride", [1, 2])
def test_equal_priors_give_every_pixel_the_same_answer(size, query_stride):
    """There is nothing to choose, so neither the features nor coarser queries may show."""
    hub = torch.randn(2, 1, 7).expand(-1, 5, -1)
    answer = ask(hub_attention(query_stride), torch.randn(2, 6, *size), hub)
    assert answer.shape == (2, 6, *size)
    torch.testing.assert_close(answer, answer[..., :1, :1].expand_as(answer))
    assert not torch.allclose(answer[0], answer[1])


def test_coarser_queries_see_means_of_their_pixels():
    """Each of four queries answers for its 2x2 pixels: nothing finer can reach the priors."""
    attention, hub = hub_attention(query_stride=2), torch.randn(1, 5, 7)
    coarse, fine = torch.randn(1, 6, 2, 2), torch.randn(1, 6, 4, 4)
    fine = fine - torch.nn.functional.avg_pool2d(fine, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    x = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(ask(attention, x, hub), ask(attention, x + fine, hub), atol=1e-5, rtol=1e-4)
    whole = hub_attention(query_stride=1)
    assert not torch.allclose(ask(whole, x, hub), ask(whole, x + fine, hub), atol=1e-3)
