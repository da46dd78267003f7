"""Prior hubs: tables of learnable vectors, one a degradation, and their reformulation into ingredients.

A hub maps ingredients w (B, K) to a table of L priors of width D, (B, L, D). Stage `collect` trains a `PriorHub`,
stage `integrate` an `IngredientHub` made from it once; the network cannot tell them apart.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from idrestore.model.config import Integration

PRIOR_DEVIATION = 0.1
"""Standard deviation of a fresh prior. Keys are layer-normalised, so this only sets how fast Adam turns a prior."""


class PriorHub(nn.Module):
    """Task-oriented prior hubs T_k, (K, L, D), of the stage `collect` (paper: task-oriented knowledge collection)."""

    def __init__(self, num_degradations: int, num_priors: int, width: int, num_added: int = 0) -> None:
        super().__init__()
        start = torch.empty(num_degradations, num_priors, width)
        if not start.is_meta:  # for shapes alone, torch would load its compiler: a second of every start
            start.normal_(std=PRIOR_DEVIATION)
        self.priors = nn.Parameter(start)
        self.added = nn.ParameterList(torch.zeros(num_priors, width) for _ in range(num_added))

    def forward(self, ingredients: Tensor) -> Tensor:
        """Return Σ_k w_k T_k: (B, K) to (B, L, D); hubs that were added come last."""
        tables = torch.cat([self.priors, *(table[None] for table in self.added)])
        return torch.einsum("bk,kld->bld", ingredients, tables)


class Ingredients(NamedTuple):
    """A hub written as hub(w) = Pᵀ diag(w C) Q, each of R rows of P and Q one ingredient."""

    left: Tensor
    """P, (R, L)"""
    right: Tensor
    """Q, (R, D)"""
    spectra: Tensor
    """C, (K, R): how much of each ingredient each degradation contains"""

    def table(self, ingredients: Tensor) -> Tensor:
        """Return hub(w) for ingredients (B, K), as (B, L, D)."""
        return torch.einsum("il,bi,id->bld", self.left, ingredients @ self.spectra, self.right)


class IngredientHub(nn.Module):
    """Ingredients-oriented hub (AŪ)ᵀ diag(w C) (BV̄): that of the stage `integrate`, the learnable PCA.

    Ū (K·L, L) and V̄ (K·L, D) are the singular vectors of the K collected hubs, stacked and fixed; the linear maps A and
    B (R, K·L) are learned, R = `num_ingredients`. No SVD happens in `forward`, so the network exports. A degradation
    that was added later is a learned row of C: how much it contains of the ingredients that were there.
    """

    left_vectors: Tensor
    right_vectors: Tensor
    spectra: Tensor

    def __init__(
        self, num_degradations: int, num_priors: int, width: int, num_added: int = 0, num_ingredients: int | None = None
    ) -> None:
        super().__init__()
        stacked, number = num_degradations * num_priors, num_ingredients or num_priors
        self.left_map = nn.Parameter(torch.zeros(number, stacked))  # A
        self.right_map = nn.Parameter(torch.zeros(number, stacked))  # B
        self.register_buffer("left_vectors", torch.zeros(stacked, num_priors))  # Ū
        self.register_buffer("right_vectors", torch.zeros(stacked, width))  # V̄
        self.register_buffer("spectra", torch.zeros(num_degradations, number))  # C
        self.added = nn.ParameterList(torch.zeros(number) for _ in range(num_added))

    def ingredients(self) -> Ingredients:
        """Return the ingredients that the learned maps make of the collected singular vectors."""
        left = self.left_map @ self.left_vectors
        spectra = torch.cat([self.spectra, *(row[None] for row in self.added)])
        return Ingredients(left, self.right_map @ self.right_vectors, spectra)

    def forward(self, ingredients: Tensor) -> Tensor:
        """Return the hub for ingredients (B, K), as (B, L, D)."""
        return self.ingredients().table(ingredients)


class FoldedHub(nn.Module):
    """An `IngredientHub` whose learned maps are multiplied out: the same function of (B, K), for inference alone."""

    left: Tensor
    right: Tensor
    spectra: Tensor

    def __init__(self, ingredients: Ingredients) -> None:
        super().__init__()
        for name, values in ingredients._asdict().items():
            self.register_buffer(name, values.detach())

    def forward(self, ingredients: Tensor) -> Tensor:
        """Return the hub for ingredients (B, K), as (B, L, D)."""
        return Ingredients(self.left, self.right, self.spectra).table(ingredients)


Hub = PriorHub | IngredientHub | FoldedHub


def integrate(hub: PriorHub, kind: Integration = "pca", seed: int = 0) -> Hub:
    """Reformulate task-oriented hubs into an ingredient hub, once, at the boundary between the two stages.

    `exact` starts with every singular pair of every hub as an ingredient, K·L of them, A and B the identity: hub(e_k)
    is T_k, and what is shared is learned. `pca` starts from L shared principal components of all hubs, `frozen` keeps
    them fixed, `random` starts A and B at random with the raw singular spectra (released research code), `none`
    returns the task-oriented hub.
    """
    if kind == "none" or not hub.priors.numel():
        return hub
    if hub.added:
        raise ValueError("hub: got one with added degradations, expected one that was collected in one stage")
    priors = hub.priors.detach().float()
    num_degradations, num_priors, width = priors.shape
    u, s, vh = torch.linalg.svd(priors, full_matrices=False)  # (K,L,L) (K,L) (K,L,D)
    num_ingredients = num_priors * (num_degradations if kind == "exact" else 1)
    result = IngredientHub(num_degradations, num_priors, width, num_ingredients=num_ingredients)
    left_vectors = u.transpose(1, 2).flatten(0, 1)  # rows are left singular vectors
    right_vectors = vh.flatten(0, 1)
    if kind == "random":
        generator = torch.Generator().manual_seed(seed)
        bound = result.left_map.shape[1] ** -0.5
        left_map, right_map = torch.empty(2, *result.left_map.shape).uniform_(-bound, bound, generator=generator)
        spectra = s
    elif kind == "exact":
        left_map = right_map = torch.eye(num_ingredients)
        spectra = torch.block_diag(*s)
    else:
        left, right, spectra = principal_ingredients(priors)
        left_map = left @ torch.linalg.pinv(left_vectors)
        right_map = right @ torch.linalg.pinv(right_vectors)
    with torch.no_grad():
        result.left_map.copy_(left_map)
        result.right_map.copy_(right_map)
    result.left_vectors.copy_(left_vectors)
    result.right_vectors.copy_(right_vectors)
    result.spectra.copy_(spectra)
    for parameter in result.parameters():
        parameter.requires_grad_(kind != "frozen")
    return result.to(hub.priors.device)


def principal_ingredients(priors: Tensor) -> Ingredients:
    """Find the L rank-one ingredients that the hubs T_k (K, L, D) share best.

    q_i are the top right singular vectors of the stacked hubs; p_i is the unit vector maximising Σ_k (p_iᵀ T_k q_i)²;
    C_ki = p_iᵀ T_k q_i keeps its sign.
    """
    num_priors = priors.shape[1]
    right = torch.linalg.svd(priors.flatten(0, 1), full_matrices=False).Vh[:num_priors]  # (L, D)
    images = torch.einsum("kld,id->ilk", priors, right)  # T_k q_i, (L, L, K)
    left = torch.linalg.svd(images, full_matrices=False).U[:, :, 0]  # (L, L)
    return Ingredients(left, right, torch.einsum("il,ilk->ki", left, images))


def forgetting(before: PriorHub, after: Hub) -> list[float]:
    """Return |hub(e_k) − T_k| / |T_k| for each degradation: 0 means that integration forgets nothing."""
    priors = before.priors.detach()
    with torch.no_grad():
        now = after(torch.eye(len(priors), device=priors.device))
    change = (now - priors).flatten(1).norm(dim=1) / priors.flatten(1).norm(dim=1).clamp_min(1e-12)
    return [float(value) for value in change]
