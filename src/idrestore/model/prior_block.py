"""The meta-prior learning module (MPL) and its router."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from idrestore.model.attention import HubAttention, KeysAndValues, SupervisedDegradationAttention
from idrestore.model.config import Pooling
from idrestore.model.hub import Hub
from idrestore.model.operations import SeparateOperations, SharedOperations


class Latents(NamedTuple):
    """The three representations of the supplement's Fig. 2, each (B, C, H, W)."""

    features: Tensor
    """F: what entered the block"""
    degradation: Tensor
    """h_p: the prior-oriented degradation representation"""
    pseudo_clean: Tensor
    """x': what left it"""


class PriorOutput(NamedTuple):
    """What a meta-prior block returns."""

    features: Tensor
    """x' (B, C, H, W), the pseudo-clean features"""
    ingredients: Tensor
    """(B, K) on the simplex, what was undone"""
    side_image: Tensor | None
    """(B, 3, H, W), to be supervised; None without degradation attention"""
    latents: Latents


class Router(nn.Module):
    """Tell from pooled features which degradations a photo has: (B, C, H, W) to logits (B, K)."""

    def __init__(self, dim: int, num_degradations: int, pooling: Pooling) -> None:
        super().__init__()
        self.pooling = pooling
        pooled = dim if pooling == "mean" else 2 * dim
        self.hidden = nn.Linear(pooled, dim)
        self.logits = nn.Linear(dim, num_degradations)

    def forward(self, x: Tensor, one_photo: bool = False) -> Tensor:
        """With `one_photo` the batch is crops of one photo: pooled vectors are averaged, and all get one answer."""
        pixels = x.flatten(2).float()
        pooled = pixels.mean(dim=2)
        if self.pooling == "mean_and_deviation":
            # Noise, rain and blur change how much features vary more than what they are on average.
            deviation = (pixels - pooled[:, :, None]).square().mean(dim=2).add(1e-6).sqrt()
            pooled = torch.cat([pooled, deviation], dim=1)
        if one_photo:
            pooled = pooled.mean(dim=0, keepdim=True)
        return self.decide(pooled).expand(len(x), -1)

    def decide(self, pooled: Tensor) -> Tensor:
        """Return the logits (B, K) for pooled vectors (B, C), or (B, 2C) with deviations."""
        return self.logits(F.gelu(self.hidden(pooled))).float()


class EvenRouter(nn.Module):
    """Give every degradation the same share, whatever the photo (ablation)."""

    def __init__(self, num_degradations: int) -> None:
        super().__init__()
        self.num_degradations = num_degradations

    def forward(self, x: Tensor, one_photo: bool = False) -> Tensor:
        return x.new_zeros(len(x), self.num_degradations, dtype=torch.float32)


class SharesOfOperations(nn.Module):
    """Add up the shares of the degradations that an operation undoes: ingredients (B, K) to (B, O).

    Shares of degradations that were added later, which have operations of their own, follow as they are.
    """

    membership: Tensor

    def __init__(self, membership: Sequence[Sequence[float]]) -> None:
        super().__init__()
        self.register_buffer("membership", torch.tensor(membership), persistent=False)  # (K, O)

    def forward(self, ingredients: Tensor) -> Tensor:
        known, added = ingredients.split([len(self.membership), ingredients.shape[1] - len(self.membership)], dim=1)
        # No matrix product: that would be rounded to bf16 under autocast.
        return torch.cat([(known[:, :, None] * self.membership).sum(dim=1), added], dim=1)


class Addition(nn.Module):
    """What a block has for one degradation that was learned later: its own router, of one logit, and operation."""

    def __init__(self, router: Router, operations: SeparateOperations | SharedOperations) -> None:
        super().__init__()
        self.router = router
        self.operations = operations


class MetaPriorBlock(nn.Module):
    """Route, intensify the degradation, ask the hub about it, and undo it by the operations of its ingredients.

    With `skip_unused`, operations of a share of 0 are left out, and routers where ingredients are given.
    """

    skip_unused = False

    def __init__(
        self,
        dim: int,
        router: Router | EvenRouter,
        attention: SupervisedDegradationAttention,
        hub_attention: HubAttention | None,
        shares: SharesOfOperations,
        operations: SeparateOperations | SharedOperations,
        refine: nn.Module,
        added: Iterable[Addition] = (),
    ) -> None:
        super().__init__()
        self.router = router
        self.attention = attention
        self.hub_attention = hub_attention
        self.features_to_context = nn.Conv2d(dim, dim, 1)
        self.priors_to_context = nn.Conv2d(dim, dim, 1)
        self.shares = shares
        self.operations = operations
        self.refine = refine
        self.added = nn.ModuleList(added)

    @property
    def additions(self) -> list[Addition]:
        """What was added, in the order in which it was learned."""
        return cast("list[Addition]", list(self.added))

    def forward(self, x: Tensor, degraded: Tensor, hub: Hub, logits: Tensor, ingredients: Tensor | None) -> PriorOutput:
        """Take features F (B, C, H, W), the photo, the hub, what `route` returned, and ingredients (B, K) or None.

        Without ingredients, and where a row of them is zero, the router decides.
        """
        routed = logits.softmax(dim=1)
        given = ingredients
        ingredients = routed if given is None else torch.where(given.any(dim=1, keepdim=True), given, routed)
        intensified, side_image = self.attention(x, degraded)
        h_p = intensified
        if self.hub_attention is not None:
            h_p = self.hub_attention(intensified, self.keys_and_values(hub, ingredients))
        # The released code interleaves the two halves; a dense convolution reads them in any order.
        context = torch.cat([self.features_to_context(x), self.priors_to_context(h_p)], dim=1)
        pseudo_clean = self.refine(self._operate(x, context, ingredients))
        return PriorOutput(pseudo_clean, ingredients, side_image, Latents(x, h_p, pseudo_clean))

    def route(self, x: Tensor, one_photo: bool, given: Tensor | None = None) -> Tensor:
        """Return what the routers say of features F (B, C, H, W): logits (B, K).

        If ingredients are `given` (B, K) and what is unused is left out, they are not asked: log(given) is returned.
        """
        if self.skip_unused and given is not None and bool(given.any(dim=1).all()):
            return given.log()
        routers = (self.router, *(addition.router for addition in self.additions))
        return torch.cat([router(x, one_photo) for router in routers], dim=1)

    def keys_and_values(self, hub: Hub, ingredients: Tensor) -> KeysAndValues:
        """Return what the hub knows of ingredients (B, K)."""
        assert self.hub_attention is not None
        return self.hub_attention.keys_and_values(hub(ingredients))

    def _operate(self, x: Tensor, context: Tensor, ingredients: Tensor) -> Tensor:
        """Return x + Σ_o w_o · change_o(x); exactly what it was before an addition where that one's share is 0."""
        shares = self.shares(ingredients)
        active = self._active(shares)
        own = shares.shape[1] - len(self.added)
        result = self.operations(x, context, shares[:, :own], active[:own])
        for k, addition in enumerate(self.additions, own):
            if active[k]:
                result = result + (addition.operations(x, context, shares[:, k : k + 1]) - x)
        return result

    def _active(self, shares: Tensor) -> list[bool]:
        """Tell which operations are worth their work, by their shares (B, O)."""
        if not self.skip_unused:
            return [True] * shares.shape[1]
        return (shares.amax(dim=0) > 0).tolist()
