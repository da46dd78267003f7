import math

import numpy as np
import pytest
import torch
from small import shaken

from idrestore.model.layers import (
    BRANCH,
    ChannelNorm,
    DepthwiseFeedForward,
    Downsample,
    GatedFeedForward,
    ResidualBlock,
    TransformerBlock,
    TransposedAttention,
    Upsample,
    keep_signal,
    zero,
)


def test_channel_norm_normalises_each_pixel():
    x = torch.randn(2, 7, 3, 5)
    y = x.numpy()
    expected = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + 1e-5)
    norm = shaken(ChannelNorm(7), 1)
    gain, offset = (p.detach().numpy()[:, None, None] for p in norm.parameters())
    np.testing.assert_allclose(norm(x).detach(), expected * gain + offset, atol=1e-5)


def test_transposed_attention_mixes_channels():
    """MDTA (Restormer, eq. 1) by loops: softmax over channels of α q̂·k̂, then a sum of values."""
    layer, x = shaken(TransposedAttention(6, heads=3)), torch.randn(2, 6, 4, 5)
    q, k, v = layer.to_qkv(x).detach().flatten(2).double().numpy().reshape(2, 3, 6, 20).swapaxes(0, 1)
    expected = np.zeros((2, 6, 20))
    for b, channel in np.ndindex(2, 6):
        head = channel // 2
        group = range(2 * head, 2 * head + 2)
        cosines = [q[b, channel] @ k[b, j] / np.linalg.norm(q[b, channel]) / np.linalg.norm(k[b, j]) for j in group]
        shares = np.exp(layer.temperature[head].item() * np.array(cosines))
        for share, j in zip(shares / shares.sum(), group, strict=True):
            expected[b, channel] += share * v[b, j]
    project = layer.project.weight.detach().double().numpy()[:, :, 0, 0]
    actual = layer(x).detach().flatten(2)
    np.testing.assert_allclose(actual, np.einsum("oc,bcn->bon", project, expected), atol=1e-5)


def test_gated_feed_forward_gates_one_half_by_the_other():
    layer, x = shaken(GatedFeedForward(6, expansion=2.66)), torch.randn(2, 6, 4, 5)
    expanded = layer.expand(x).detach().numpy()
    gate, value = expanded[:, :15], expanded[:, 15:]  # 15 = ⌊6 · 2.66⌋
    gelu = gate * (1 + np.vectorize(math.erf)(gate / math.sqrt(2))) / 2
    project = layer.project.weight.detach().numpy()[:, :, 0, 0]
    expected = np.einsum("oc,bchw->bohw", project, gelu * value)
    np.testing.assert_allclose(layer(x).detach(), expected, atol=1e-5)


def test_transformer_block_is_two_residual_branches():
    block, x = shaken(TransformerBlock(6, 2, 2.0)), torch.randn(1, 6, 4, 4)
    (norm1, attention), (norm2, feed) = block.attend, block.feed
    middle = x + attention(norm1(x))
    torch.testing.assert_close(block(x), middle + feed(norm2(middle)))


@pytest.mark.parametrize("block", [DepthwiseFeedForward(6, 2.66), ResidualBlock(6, start_as_identity=True)])
def test_refinements_start_as_the_identity_and_learn(block):
    x = torch.randn(2, 6, 4, 5)
    assert torch.equal(block(x), x)
    block(x).square().mean().backward()
    assert any(p.grad.abs().sum() > 0 for p in block.parameters())
    assert not torch.equal(shaken(block)(x), x)


def test_a_residual_block_elsewhere_does_not_start_as_the_identity():
    x = torch.randn(1, 6, 4, 4)
    assert not torch.equal(ResidualBlock(6)(x), x)


@pytest.mark.parametrize("kernel", [1, 3])
def test_resampling_halves_and_doubles(kernel):
    x = torch.randn(1, 6, 8, 4)
    assert Downsample(6)(x).shape == (1, 12, 4, 2)
    assert Upsample(6, kernel)(x).shape == (1, 3, 16, 8)


def test_keep_signal_spares_what_was_zeroed():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(64, 64, 3), ResidualBlock(64), ResidualBlock(64, start_as_identity=True)
    )
    keep_signal(network)
    convolution, block, identity = network
    for layer, scale in ((convolution, 1), (block.first, 2**0.5), (block.second, BRANCH)):
        assert layer.weight.std().item() == pytest.approx(scale / (64 * 9) ** 0.5, rel=0.03)
    assert not identity.second.weight.any()


@pytest.mark.parametrize("bias", [True, False])
def test_zero_leaves_nothing(bias):
    layer = zero(torch.nn.Conv2d(3, 4, 3, bias=bias))
    assert all(not parameter.any() for parameter in layer.parameters())
    assert all(parameter.requires_grad for parameter in layer.parameters())
