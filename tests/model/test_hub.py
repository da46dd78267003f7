import numpy as np
import pytest
import torch

from idrestore.model.hub import (
    IngredientHub,
    PriorHub,
    forgetting,
    integrate,
    principal_ingredients,
)

KINDS = ["pca", "random", "frozen"]


def prior_hub(num_degradations=5, num_priors=24, width=256):
    return PriorHub(num_degradations, num_priors, width)


def spread(hub):
    """Return by how much routing moves a hub: distance of hub(e_k) from their mean, relative."""
    hubs = hub(torch.eye(5)).detach()
    norms = [h.flatten(1).norm(dim=1) for h in (hubs - hubs.mean(dim=0), hubs)]
    return float((norms[0] / norms[1]).mean())


def test_prior_hub_is_the_weighted_sum_of_tables():
    hub, w = prior_hub(5, 3, 7), torch.rand(2, 5)
    tables = hub.priors.detach().numpy()
    expected = np.stack([sum(w[b, k].item() * tables[k] for k in range(5)) for b in range(2)])
    np.testing.assert_allclose(hub(w).detach(), expected, atol=1e-6)
    assert torch.equal(hub(torch.eye(5)), hub.priors)  # one-hot rows: bit for bit


def test_ingredient_hub_is_its_formula():
    hub = IngredientHub(5, 3, 7)
    for tensor in (*hub.parameters(), *hub.buffers()):
        torch.nn.init.normal_(tensor)
    w = torch.rand(2, 5)
    a, b, u, v, c = (
        tensor.detach().double().numpy()
        for tensor in (hub.left_map, hub.right_map, hub.left_vectors, hub.right_vectors, hub.spectra)
    )
    assert (a.shape, u.shape, v.shape) == ((3, 15), (15, 3), (15, 7))
    expected = np.stack([(a @ u).T @ np.diag(row @ c) @ (b @ v) for row in w.double().numpy()])
    np.testing.assert_allclose(hub(w).detach(), expected, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_those_of_the_first_stage(kind):
    before = prior_hub(3, 4, 9)
    after = integrate(before, kind)
    s = np.linalg.svd(before.priors.detach().double().numpy(), compute_uv=False)
    for k in range(3):  # T_k = Σ_i s_i u_i v_iᵀ, whatever the signs
        rows = slice(4 * k, 4 * k + 4)
        rebuilt = after.left_vectors[rows].T @ torch.from_numpy(s[k]).float().diag()
        torch.testing.assert_close(rebuilt @ after.right_vectors[rows], before.priors[k].detach())
    if kind == "random":
        np.testing.assert_allclose(after.spectra, s, rtol=1e-4)


@pytest.mark.parametrize("kind", ["pca", "frozen"])
def test_pca_starts_from_the_principal_ingredients(kind):
    hub = prior_hub()
    after, wanted = integrate(hub, kind), principal_ingredients(hub.priors.detach())
    for actual, expected in zip(after.ingredients(), wanted, strict=True):
        torch.testing.assert_close(actual.detach(), expected, atol=1e-5, rtol=1e-4)


def test_principal_ingredients_are_optimal():
    priors = prior_hub().priors.detach().double()
    left, right, spectra = (tensor.numpy() for tensor in principal_ingredients(priors))
    tables = priors.numpy()

    def energy(rows, directions):
        """Return Σ_k (p · T_k q)² for each row p."""
        return sum((rows @ (table @ directions)) ** 2 for table in tables)

    expected = np.linalg.svd(tables.reshape(-1, 256))[2][:24]
    np.testing.assert_allclose(np.abs((right * expected).sum(axis=1)), 1, atol=1e-8)
    np.testing.assert_allclose(np.linalg.norm(left, axis=1), 1, atol=1e-8)
    others = np.random.default_rng(0).normal(size=(200, 24))
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    for p, q, column in zip(left, right, spectra.T, strict=True):
        near = p + 0.05 * others
        near /= np.linalg.norm(near, axis=1, keepdims=True)
        assert energy(p, q) >= energy(np.concatenate([others, near]), q).max()
        np.testing.assert_allclose(column, [p @ table @ q for table in tables], atol=1e-8)
    assert spectra.min() < 0  # signs are kept


def test_hubs_made_of_shared_ingredients_are_remembered_exactly():
    left, right = (torch.linalg.qr(torch.randn(size, 4)).Q.T for size in (4, 16))
    hub = prior_hub(3, 4, 16)
    spectra = torch.tensor([[4.0, 3.0, 2.0, 1.0]]) * torch.randn(3, 4).sign()
    with torch.no_grad():
        hub.priors.copy_(torch.einsum("il,ki,id->kld", left, spectra, right))
    assert max(forgetting(hub, integrate(hub))) < 1e-5
    assert min(forgetting(hub, integrate(hub, "random"))) > 0.5


@pytest.mark.parametrize("common", [0.0, 1.0])
def test_all_singular_pairs_remember_any_hub_and_can_be_mixed(common):
    hub = prior_hub(3, 4, 9)
    with torch.no_grad():
        hub.priors.add_(common * torch.randn(4, 9))
    after = integrate(hub, "exact")
    assert max(forgetting(hub, after)) < 1e-5
    w = torch.rand(2, 3)
    torch.testing.assert_close(after(w), hub(w))
    assert after.ingredients().left.shape == (12, 4)
    after(w).square().sum().backward()
    assert after.left_map.grad[:4, 4:].any()  # an ingredient may take from those of other degradations


def test_forgetting_is_the_relative_change():
    hub = prior_hub(3, 4, 9)
    after = integrate(hub, "random")
    now, then = after(torch.eye(3)).detach().numpy(), hub.priors.detach().numpy()
    expected = [np.linalg.norm(now[k] - then[k]) / np.linalg.norm(then[k]) for k in range(3)]
    assert forgetting(hub, after) == pytest.approx(expected, rel=1e-5)
    assert forgetting(hub, integrate(hub, "none")) == [0, 0, 0]


def test_routing_still_moves_the_hub():
    """Method, Sec. 2: as much as half of what it did, but 1-9 % from a random start."""
    hub = prior_hub()
    assert 0.8 < spread(hub) < 0.9
    assert spread(integrate(hub, "pca")) > spread(hub) / 2
    assert spread(integrate(hub, "random")) < 0.1


@pytest.mark.parametrize(("kind", "learns"), [("exact", True), ("pca", True), ("random", True), ("frozen", False)])
def test_only_the_maps_learn(kind, learns):
    hub = integrate(prior_hub(3, 4, 9), kind)
    trainable = {name for name, parameter in hub.named_parameters() if parameter.requires_grad}
    assert trainable == ({"left_map", "right_map"} if learns else set())


def test_without_integration_the_hub_is_the_same():
    hub = prior_hub(3, 4, 9)
    assert integrate(hub, "none") is hub


@pytest.mark.parametrize("kind", KINDS)
def test_integration_is_deterministic_and_leaves_the_hub_alone(kind):
    hub = prior_hub(3, 4, 9)
    before = hub.priors.detach().clone()
    one, other = (integrate(hub, kind, seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(hub.priors, before)
    different = integrate(hub, kind, seed=4).state_dict()
    assert torch.equal(one["left_map"], different["left_map"]) == (kind != "random")
