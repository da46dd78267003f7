import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small import BOTH, FAST, mixture, network, one_hot, shaken

from idrestore.model.network import RestorationNetwork
from idrestore.model.prior_block import Router

POOLINGS = ["mean", "mean_and_deviation"]


def block(config, **changes):
    """Return a shaken meta-prior block of 12 channels and its hub."""
    whole = network(config, **changes)
    return whole.prior_blocks["encoder2"], whole.hub


def photo_and_features(batch=2, size=4):
    return torch.randn(batch, 12, size, size), torch.rand(batch, 3, 4 * size, 4 * size)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_router_is_pooling_and_two_linear_layers(pooling):
    router, x = shaken(Router(6, 5, pooling)), torch.randn(3, 6, 4, 5)
    pixels = x.double().numpy().reshape(3, 6, 20)
    pooled = pixels.mean(axis=2)
    if pooling == "mean_and_deviation":
        pooled = np.concatenate([pooled, np.sqrt(pixels.var(axis=2) + 1e-6)], axis=1)
    expected = router.logits(F.gelu(router.hidden(torch.from_numpy(pooled).float())))
    torch.testing.assert_close(router(x), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_only_the_deviation_shows_noise_of_zero_mean(pooling):
    router, x = shaken(Router(6, 5, pooling), 0.5), torch.randn(1, 6, 1, 1).expand(-1, -1, 8, 8)
    noise = torch.randn(1, 6, 8, 8)
    noise -= noise.mean(dim=(2, 3), keepdim=True)
    change = (router(x + noise) - router(x)).abs().max()
    assert (change > 0.05) == (pooling == "mean_and_deviation")


def test_the_router_teaches_the_backbone():
    x = torch.randn(1, 6, 4, 4, requires_grad=True)
    shaken(Router(6, 5, "mean"))(x).square().sum().backward()
    assert x.grad.any()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_crops_of_one_photo_share_one_decision(pooling):
    """It is the decision on the mean of their pooled vectors."""
    router, x = shaken(Router(6, 5, pooling)), torch.randn(3, 6, 4, 4)
    vectors = []
    router.hidden.register_forward_hook(lambda _, given, __: vectors.append(given[0]))
    router(x)
    expected = router.logits(F.gelu(router.hidden(vectors[0].mean(dim=0))))
    torch.testing.assert_close(router(x, one_photo=True), expected.expand(3, -1))


@pytest.mark.parametrize("config", BOTH.values(), ids=BOTH)
def test_the_block_is_the_identity_at_step_0(config):
    whole = RestorationNetwork(config)
    x, photo = photo_and_features()
    for ingredients in (one_hot("blur", 2), mixture(2), None):
        block = whole.prior_blocks["encoder2"]
        output = block(x, photo, whole.hub, block.route(x, False), ingredients)
        assert torch.equal(output.features, x)


@pytest.mark.parametrize("config", BOTH.values(), ids=BOTH)
def test_without_ingredients_the_router_decides(config):
    mpl, hub = block(config)
    x, photo = photo_and_features()
    free = mpl(x, photo, hub, mpl.route(x, False), None)
    given = mpl(x, photo, hub, mpl.route(x, False), mpl.route(x, False).softmax(dim=1))
    other = mpl(x, photo, hub, mpl.route(x, False), one_hot("haze", 2))
    assert torch.equal(free.features, given.features)
    assert not torch.equal(free.features, other.features)


@pytest.mark.parametrize("config", BOTH.values(), ids=BOTH)
def test_latents_are_what_enters_asks_and_leaves(config):
    mpl, hub = block(config)
    x, photo = photo_and_features()
    w = mixture(2)
    output = mpl(x, photo, hub, mpl.route(x, False), w)
    h_p = mpl.hub_attention(mpl.attention(x, photo).features, mpl.keys_and_values(hub, w))
    context = torch.cat([mpl.features_to_context(x), mpl.priors_to_context(h_p)], dim=1)
    assert torch.equal(output.latents.features, x)
    assert torch.equal(output.latents.degradation, h_p)
    assert torch.equal(output.features, mpl.refine(mpl.operations(x, context, mpl.shares(w))))
    assert torch.equal(output.latents.pseudo_clean, output.features)


@pytest.mark.parametrize("attention", ["degraded", "clean", "none"])
@pytest.mark.parametrize("stop", [True, False])
def test_the_degradation_cannot_pull_at_the_backbone(attention, stop):
    """No gradient passes h_p, but the operation's x and the other half of its context teach the backbone."""
    mpl, hub = block(FAST, attention=attention, stop_gradient=stop)
    x, photo = photo_and_features()
    seen = []
    mpl.operations.register_forward_hook(lambda _, given, __: seen.extend(given))
    output = mpl(x.requires_grad_(), photo, hub, mpl.route(x, False), one_hot("blur", 2))

    def pulls(result):
        (gradient,) = torch.autograd.grad(result.square().sum(), x, allow_unused=True, retain_graph=True)
        return gradient is not None and bool(gradient.any())

    assert pulls(output.latents.degradation) == (not stop)
    entered, context, *_ = seen
    assert entered is x
    assert pulls(context[:, :12])
    assert pulls(context[:, 12:]) == (not stop)
    assert pulls(output.features)
