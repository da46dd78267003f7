"""The published network: a U-shape of four levels with three meta-prior blocks that share one hub."""

import functools
from collections.abc import Callable
from typing import Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from idrestore.model.attention import HubAttention, SupervisedDegradationAttention
from idrestore.model.config import PLACEMENTS, ModelConfig
from idrestore.model.hub import Hub, IngredientHub, PriorHub
from idrestore.model.layers import (
    DepthwiseFeedForward,
    Downsample,
    ResidualBlock,
    TransformerBlock,
    Upsample,
    keep_signal,
)
from idrestore.model.operations import SeparateOperations, SharedOperations
from idrestore.model.outputs import NetworkOutput, Routed
from idrestore.model.prior_block import Addition, EvenRouter, MetaPriorBlock, PriorOutput, Router, SharesOfOperations

LEVELS = ("encoder1", "encoder2", "encoder3", "encoder4", "decoder3", "decoder2", "decoder1")


class PublishedNetwork(nn.Module):
    """Ingredients-oriented restoration network (supplement, Sec. 3); `RestorationNetwork` has refiners besides.

    It knows no stages: which one it is in is decided by the hub installed as `self.hub`.
    """

    @classmethod
    def from_seed(cls, config: ModelConfig, seed: int = 0) -> Self:
        """Return a network whose first weights are drawn from a seed; the caller's random numbers stay as they are."""
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(seed)
            return cls(config)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        dims = [config.dim << level for level in range(4)]
        top = dims[0] * 2 if config.double_top else dims[0]
        widths = dict(zip(LEVELS, [*dims, dims[2], dims[1], top], strict=True))
        photo_channels = 3 * config.stem_stride**2

        self.shares = SharesOfOperations(config.membership)
        self.hub: Hub = PriorHub(len(config.known), config.num_priors, config.prior_width, len(config.added))
        self.stem = nn.Conv2d(photo_channels, dims[0], 3, padding=1, bias=False)
        self.blocks = nn.ModuleDict({level: self._make_blocks(level, widths[level]) for level in LEVELS})
        self.prior_blocks = nn.ModuleDict(
            {level: self._make_prior_block(level, widths[level]) for level in PLACEMENTS[config.placement]}
        )
        self.down = nn.ModuleList(Downsample(dim) for dim in dims[:3])
        kernel = 3 if config.backbone == "transformer" else 1
        self.up = nn.ModuleList(Upsample(dim, kernel) for dim in dims[1:])
        self.reduce = nn.ModuleList(
            nn.Conv2d(2 * dim, out, 1, bias=False) if out != 2 * dim else nn.Identity()
            for dim, out in zip(dims[:3], (top, dims[1], dims[2]), strict=True)
        )
        refinement = (self._make_block(top, config.heads[0]) for _ in range(config.refinement))
        self.refinement: nn.Module = nn.Sequential(*refinement)
        self.output: nn.Module = nn.Conv2d(top, photo_channels, 3, padding=1, bias=False)
        if config.backbone == "convolution":
            keep_signal(self)

    def forward(self, photos: Tensor, ingredients: Tensor | None = None) -> NetworkOutput:
        """Restore photos (B, 3, H, W) in [0, 1]; H and W must be multiples of `config.size_multiple`.

        `ingredients` (B, M, K), or (B, K) for all blocks, are rows on the simplex that say what to undo; without them,
        and where a row is zero, the routers decide.
        """
        return self._undo(photos, ingredients)[0]

    def route(self, photos: Tensor, ingredients: Tensor | None = None, one_photo: bool = True) -> Routed:
        """Ask all routers for one decision on crops (B, 3, H, W) of one photo, or about photos; else as in `forward`.

        They are not restored: but for a meta-prior block in decoder level 1, what comes after level 2 is left out.
        """
        routed = self._to_decoder2(photos, ingredients, one_photo)
        if "decoder1" in self.prior_blocks:
            logits, outputs = routed.of_routers, list(routed.outputs)
            block = functools.partial(self._apply_prior_block, "decoder1", photos, ingredients, logits, outputs)
            last = outputs[-1].ingredients
            self.finish(photos, routed.encoder1, routed.decoder2, last, functools.partial(block, one_photo=one_photo))
        return routed._replace(of_routers=[logits[:1] for logits in routed.of_routers]) if one_photo else routed

    def _undo(
        self, degraded: Tensor, ingredients: Tensor | None, routed: Routed | None = None
    ) -> tuple[NetworkOutput, Tensor]:
        """Return what the network makes of photos without its refiners, and the ingredients (B, K) last in force."""
        routed = routed or self._to_decoder2(degraded, ingredients)
        logits, outputs = list(routed.of_routers), list(routed.outputs)
        block = functools.partial(self._apply_prior_block, "decoder1", degraded, ingredients, logits, outputs)
        last = outputs[-1].ingredients if outputs else self._given_or_even(logits[0], ingredients)
        restored = self.finish(degraded, routed.encoder1, routed.decoder2, last, block)
        output = NetworkOutput.of(restored, torch.stack(logits[: self.config.num_rows], dim=1), outputs)
        return output, outputs[-1].ingredients if outputs else last

    def finish(
        self,
        degraded: Tensor,
        encoder1: Tensor,
        decoder2: Tensor,
        ingredients: Tensor,
        prior_block: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> Tensor:
        """Return restored photos (B, 3, H, W) from the features of encoder level 1 and decoder level 2.

        `ingredients` (B, K) are those that were last in force, `prior_block` is that of decoder 1, if it has one.
        """
        top = self._top(ingredients)
        encoder1, decoder2 = self._into_top(degraded, encoder1, decoder2, ingredients)
        decoder1 = top(self.reduce[0], torch.cat([top(self.up[0], decoder2), encoder1], 1))
        decoder1 = prior_block(top(self.blocks["decoder1"], decoder1))
        change = top(self.output, top(self.refinement, decoder1))
        return degraded + F.pixel_shuffle(change, self.config.stem_stride)

    def _top(self, ingredients: Tensor) -> Callable[[nn.Module, Tensor], Tensor]:
        """Return how features pass through layers from decoder level 1 on, with ingredients (B, K)."""
        return lambda layers, x: layers(x)

    def _into_top(
        self, degraded: Tensor, encoder1: Tensor, decoder2: Tensor, ingredients: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the features of encoder level 1 and decoder level 2 with which decoder level 1 begins."""
        return encoder1, decoder2

    def _to_decoder2(self, degraded: Tensor, ingredients: Tensor | None, one_photo: bool = False) -> Routed:
        """Go down and up again to where, for decoder level 1, the photo's own detail is needed."""
        multiple = self.config.size_multiple
        if degraded.shape[-2] % multiple or degraded.shape[-1] % multiple:
            raise ValueError(f"got a photo of {tuple(degraded.shape[-2:])}, expected multiples of {multiple}")
        logits: list[Tensor] = []
        outputs: list[PriorOutput] = []

        def level(name: str, x: Tensor) -> Tensor:
            x = self.blocks[name](x)
            return self._apply_prior_block(name, degraded, ingredients, logits, outputs, x, one_photo)

        stem = self.stem(F.pixel_unshuffle(degraded, self.config.stem_stride))
        encoder1 = level("encoder1", stem)
        encoder2 = level("encoder2", self.down[0](encoder1))
        encoder3 = level("encoder3", self.down[1](encoder2))
        encoder4 = level("encoder4", self.down[2](encoder3))
        decoder3 = level("decoder3", self.reduce[2](torch.cat([self.up[2](encoder4), encoder3], 1)))
        decoder2 = level("decoder2", self.reduce[1](torch.cat([self.up[1](decoder3), encoder2], 1)))
        if not self.prior_blocks:
            logits.append(degraded.new_zeros(len(degraded), len(self.config.degradations), dtype=torch.float32))
        return Routed(logits, outputs, encoder1, decoder2)

    def _apply_prior_block(
        self,
        name: str,
        degraded: Tensor,
        ingredients: Tensor | None,
        logits: list[Tensor],
        outputs: list[PriorOutput],
        x: Tensor,
        one_photo: bool = False,
    ) -> Tensor:
        """Pass features through the meta-prior block of a level, if it has one, and append what that says and gives."""
        if name not in self.prior_blocks:
            return x
        block = cast("MetaPriorBlock", self.prior_blocks[name])
        rows = ingredients[:, len(outputs)] if ingredients is not None and ingredients.ndim == 3 else ingredients
        logits.append(block.route(x, one_photo, rows))
        outputs.append(block(x, degraded, self.hub, logits[-1], rows))
        return outputs[-1].features

    @staticmethod
    def _given_or_even(logits: Tensor, ingredients: Tensor | None) -> Tensor:
        """Return the ingredients (B, K) in force where there is no meta-prior block."""
        if ingredients is None:
            return logits.softmax(dim=1)
        rows = last_in_force(ingredients)
        return torch.where(rows.any(dim=1, keepdim=True), rows, logits.softmax(dim=1))

    def _make_block(self, dim: int, heads: int) -> nn.Module:
        if self.config.backbone == "transformer":
            return TransformerBlock(dim, heads, self.config.expansion)
        return ResidualBlock(dim)

    def _make_blocks(self, level: str, dim: int) -> nn.Sequential:
        index = int(level[-1]) - 1
        heads = self.config.heads[index]
        return nn.Sequential(*(self._make_block(dim, heads) for _ in range(self.config.depths[index])))

    def _make_prior_block(self, level: str, dim: int) -> MetaPriorBlock:
        config = self.config
        router = Router(dim, len(config.known), config.pooling)
        make_operations = SeparateOperations if config.predictor == "separate" else SharedOperations
        heads = config.heads[int(level[-1]) - 1]
        return MetaPriorBlock(
            dim,
            router if config.routing == "learned" else EvenRouter(len(config.known)),
            SupervisedDegradationAttention(dim, config.attention, config.stop_gradient),
            HubAttention(dim, heads, config.prior_width, config.query_stride) if config.num_priors else None,
            SharesOfOperations(config.membership),
            make_operations(dim, config.operation_kinds),
            DepthwiseFeedForward(dim, config.expansion)
            if config.backbone == "transformer"
            else ResidualBlock(dim, start_as_identity=True),
            [
                Addition(Router(dim, 1, config.pooling), make_operations(dim, (config.operation_of(name),)))
                for name, _ in config.added
            ],
        )


def last_in_force(ingredients: Tensor) -> Tensor:
    """Return those last in force, (B, K), of ingredients (B, M, K) or (B, K)."""
    return ingredients[:, -1] if ingredients.ndim == 3 else ingredients


def ingredient_hub(config: ModelConfig) -> IngredientHub:
    """Return a hub of the second stage, of the sizes that a configuration has; all zeros."""
    sizes = len(config.known), config.num_priors, config.prior_width, len(config.added), config.num_ingredients
    return IngredientHub(*sizes)
