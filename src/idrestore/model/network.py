"""The whole network: a U-shape of four levels with three meta-prior blocks that share one hub."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, Self, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from idrestore.degradations import Operation
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
from idrestore.model.per_operation import per_operation, through
from idrestore.model.prior_block import (
    Addition,
    EvenRouter,
    Latents,
    MetaPriorBlock,
    PriorOutput,
    Router,
    SharesOfOperations,
)
from idrestore.model.refiners.additive import AdditiveRefiner
from idrestore.model.refiners.affine import AffineRefiner, Colours, refine
from idrestore.model.refiners.blur_kernel import (
    REACH,
    Blur,
    BlurKernelEstimator,
    correlate,
    deconvolve,
    wiener_filter,
)
from idrestore.model.refiners.convolutive import DeblurringRefiner
from idrestore.model.refiners.denoiser import Denoiser, noise_part

REFINERS = ("denoiser", "additive_refiner", "deblurring_refiner", "blur_kernel_estimator", "affine_refiner")
"""Settings of `ModelConfig` that refiners and the like come from, in the order in which they are added."""
LEVELS = ("encoder1", "encoder2", "encoder3", "encoder4", "decoder3", "decoder2", "decoder1")


class NetworkOutput(NamedTuple):
    """What a forward pass returns; lists run over the M meta-prior blocks in the order in which they are met."""

    restored: Tensor
    """(B, 3, H, W), not clamped"""
    logits: Tensor
    """(B, M, K): the routers' own opinion even where ingredients were given, unless what is unused is left out"""
    side_images: list[Tensor]
    """(B, 3, h, w) each; empty without degradation attention"""
    latents: list[Latents]
    """F, h_p and x' of each block"""
    blur: "ReadBlur | None" = None
    """What was read of the photos that are called blurred; None if none was"""


class ReadBlur(NamedTuple):
    """The blur of some photos of a batch, each read from the photo itself."""

    photos: Tensor
    """(N,), their numbers in the batch"""
    kernels: Tensor
    """(N, 2 RADIUS + 1, 2 RADIUS + 1)"""
    noise: Tensor
    """(N,)"""


class Routed(NamedTuple):
    """Photos on their way through the network, all routers having spoken; for `RestorationNetwork.forward`."""

    of_routers: list[Tensor]
    """Their logits, (B, K) each, or (1, K) for crops of one photo"""
    outputs: list[PriorOutput]
    """Those of the meta-prior blocks up to decoder level 2"""
    encoder1: Tensor
    decoder2: Tensor

    @property
    def logits(self) -> Tensor:
        """Those of all routers, (B, M, K) or (1, M, K)"""
        return torch.stack(self.of_routers, dim=1)


class Decisions(Protocol):
    """What decides about a whole photo; `restoration.rules.Rules` is how it is done."""

    def is_deconvolved(self, blur: Tensor, haze: Tensor) -> bool:
        """Tell whether a photo of such shares (1,) of blur, and of haze and darkness, is to be deconvolved."""

    def affine_certainty(self, share: Tensor, learned: tuple[float, float]) -> Tensor:
        """Return how far the affine refiner counts, (B,) in [0, 1], in photos of such shares (B,)."""

    def darkness(self, names: Sequence[str], rows: Tensor) -> float:
        """Return how far a photo of ingredients (1, M, K) counts as dark, in [0, 1]."""

    def haziness(self, names: Sequence[str], rows: Tensor) -> float:
        """Return how much of what haze and darkness did to such a photo was haze, in [0, 1]."""


class RestorationNetwork(nn.Module):
    """Ingredients-oriented restoration network (supplement, Sec. 3).

    It knows no stages: which one it is in is decided by the hub installed as `self.hub`.
    """

    skip_unused = False
    """Whether the additive and the deblurring refiner are left out where their shares are 0, the denoiser where noise
    is not most of what is wrong, and all else where it is all."""
    additive: Tensor
    affine: Tensor
    convolutive: Tensor

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
        for operation in get_args(Operation):
            self.register_buffer(operation, torch.tensor(self._marks(operation)).float(), persistent=False)
        self.denoiser: Denoiser | None = None
        self.additive_refiner: AdditiveRefiner | None = None
        self.deblurring_refiner: DeblurringRefiner | None = None
        self.blur_kernel_estimator: BlurKernelEstimator | None = None
        self.affine_refiner: AffineRefiner | None = None
        none = {name: getattr(ModelConfig, name) for name in REFINERS}
        self.config = dataclasses.replace(config, per_operation_top=False, **none)
        self.grow(config)

    def forward(
        self,
        tiles: Tensor,
        ingredients: Tensor | None = None,
        deconvolution: Tensor | None = None,
        routed: Routed | None = None,
    ) -> NetworkOutput:
        """Restore tiles (B, 3, H, W) in [0, 1] of photos; H and W must be multiples of `config.size_multiple`.

        `ingredients` (B, M, K), or (B, K) for all blocks, are rows on the simplex that say what to undo; without them,
        and where a row is zero, the routers decide. `deconvolution` is the filter that undoes blur (`wiener_filter` of
        `read_blur`), used where blur has a share; the `colours` come afterwards. `routed` is what `route` made
        of the same photo: the way goes on from there, so ingredients must be those that the routers found.
        """
        if ingredients is not None and self._is_denoised_alone(ingredients):
            return self._denoised_alone(tiles, ingredients, routed)
        output, shares = self._undo(tiles, ingredients, routed)
        unblurred = None if deconvolution is None else deconvolve(tiles, deconvolution).clamp(0, 1)
        restored = self._deblur(tiles, output.restored, shares, unblurred)
        return output._replace(restored=self._denoise(tiles, restored, shares))

    def restore_whole(self, photos: Tensor, decisions: Decisions, ingredients: Tensor | None = None) -> NetworkOutput:
        """Restore whole photos (B, 3, H, W) in [0, 1], as they are seen in training; `ingredients` as in `forward`.

        What is read once of a photo, blur and colour grid, is read from each for which that is decided.
        """
        if ingredients is not None and self._is_denoised_alone(ingredients):
            return self._denoised_alone(photos, ingredients)
        output, shares = self._undo(photos, ingredients)
        blur = self._read_each(photos, shares, decisions)
        restored = self._deblur(photos, output.restored, shares, *self._unblurred(photos, blur))
        restored = self._denoise(photos, restored, shares)
        restored = self._refine_colours(photos, restored, shares, decisions)
        return output._replace(restored=restored, blur=blur)

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
        output = _network_output(restored, torch.stack(logits[: self.config.num_rows], dim=1), outputs)
        return output, outputs[-1].ingredients if outputs else last

    def _noise_part(self, shares: Tensor) -> Tensor:
        """Return how far noise is all that is wrong, (B,) in [0, 1], with photos of ingredients (B, K)."""
        if self.denoiser is None:
            return shares.new_zeros(len(shares))
        return noise_part(self._named("noise", shares), self._named("clean", shares))

    def _denoised(self, photos: Tensor, shares: Tensor) -> Tensor:
        """Return photos (B, 3, H, W) of ingredients (B, K) without their noise, as far as they are not clean."""
        assert self.denoiser is not None
        return photos + (1 - self._named("clean", shares))[:, None, None, None] * self.denoiser(photos)

    def _denoise(self, photos: Tensor, restored: Tensor, shares: Tensor) -> Tensor:
        """Let the denoiser's result take the place of what was made of photos, as far as these are only noisy."""
        part = self._noise_part(shares)
        if self.denoiser is None or (self.skip_unused and not bool(part.any())):
            return restored
        return restored.lerp(self._denoised(photos, shares), part[:, None, None, None])

    def _is_denoised_alone(self, ingredients: Tensor) -> bool:
        """Tell whether photos of given ingredients are noisy and nothing else, and what is unused is left out."""
        return self.skip_unused and bool(self._noise_part(_last(ingredients)).eq(1).all())

    def _denoised_alone(self, photos: Tensor, ingredients: Tensor, routed: Routed | None = None) -> NetworkOutput:
        """Return what the denoiser makes of such photos, and what is known of them already."""
        restored = self._denoised(photos, _last(ingredients))
        if routed is not None:
            return _network_output(restored, routed.logits, routed.outputs)
        rows = ingredients.new_zeros(len(photos), self.config.num_rows, ingredients.shape[-1])
        return _network_output(restored, rows, [])

    def _named(self, name: str, shares: Tensor) -> Tensor:
        """Return the share (B,) of a degradation in ingredients (B, K); 0 of one that the network does not know."""
        names = self.config.known
        return shares[:, names.index(name)] if name in names else shares.new_zeros(len(shares))

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

    def _read_each(self, photos: Tensor, shares: Tensor, decisions: Decisions) -> ReadBlur | None:
        """Read the blur of each photo (B, 3, H, W) of ingredients (B, K) to be deconvolved, if it is large enough."""
        if self.blur_kernel_estimator is None or min(photos.shape[-2:]) <= 2 * REACH:
            return None
        kinds = DeblurringRefiner.kind, AffineRefiner.kind
        blurred = [
            k
            for k, row in enumerate(shares)
            if decisions.is_deconvolved(*(self.share(kind, row[None]) for kind in kinds))
        ]
        if not blurred:
            return None
        read = self.blur_kernel_estimator(torch.stack([correlate(photos[k : k + 1]) for k in blurred]))
        return ReadBlur(torch.tensor(blurred, device=photos.device), *(each.float() for each in read))

    def _unblurred(self, photos: Tensor, blur: ReadBlur | None) -> tuple[Tensor | None, Tensor | None]:
        """Return photos (B, 3, H, W), those whose blur was read deconvolved, and 1 for these and 0 for others, (B,)."""
        if blur is None:
            return None, None
        filtered = deconvolve(photos[blur.photos], wiener_filter(blur.kernels, blur.noise)).clamp(0, 1)
        is_read = photos.new_zeros(len(photos)).index_fill(0, blur.photos, 1.0)
        return photos.float().index_copy(0, blur.photos, filtered), is_read

    def _deblur(
        self,
        photos: Tensor,
        restored: Tensor,
        shares: Tensor,
        unblurred: Tensor | None = None,
        is_read: Tensor | None = None,
    ) -> Tensor:
        """Let the deblurring refiner change restored photos (B, 3, H, W) by their shares (B, K) of blur.

        Of photos whose blur was read, (B,) 1 or 0 (None: of all), it sees the `unblurred` ones as well.
        """
        share = self._share(DeblurringRefiner.kind, shares)
        if self.deblurring_refiner is None or share is None:
            return restored
        change = self.deblurring_refiner(photos, restored.clamp(0, 1), unblurred, is_read)
        return restored + share[:, None, None, None] * change

    def _refine_colours(self, photos: Tensor, restored: Tensor, shares: Tensor, decisions: Decisions) -> Tensor:
        """Refine restored photos (B, 3, H, W) by their shares (B, K) of haze and darkness, and keep their detail."""
        share = self.share(AffineRefiner.kind, shares)
        certainty = decisions.affine_certainty(share, self.config.affine_from)
        if self.affine_refiner is None or not certainty.any():
            return restored
        colours = self.affine_refiner.colours(photos, restored, share, certainty)
        names = self.config.degradations
        hazy, dark = (
            certainty.new_tensor([part(names, row[None, None]) for row in shares])
            for part in (decisions.haziness, decisions.darkness)
        )
        with torch.autocast(photos.device.type, enabled=False):
            return refine(photos, restored, colours, certainty * hazy, dark, (photos.shape[-2], photos.shape[-1]))

    @staticmethod
    def _given_or_even(logits: Tensor, ingredients: Tensor | None) -> Tensor:
        """Return the ingredients (B, K) in force where there is no meta-prior block."""
        if ingredients is None:
            return logits.softmax(dim=1)
        rows = _last(ingredients)
        return torch.where(rows.any(dim=1, keepdim=True), rows, logits.softmax(dim=1))

    def finish(
        self,
        degraded: Tensor,
        encoder1: Tensor,
        decoder2: Tensor,
        ingredients: Tensor,
        prior_block: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> Tensor:
        """Return restored photos (B, 3, H, W), but not deblurred yet, from the features of encoder 1 and decoder 2.

        `ingredients` (B, K) are those that were last in force, `prior_block` is that of decoder 1, if it has one.
        Per-operation convolutions do not look at `encoder1`: it is known by now what to undo.
        """
        operation_shares = self.shares(ingredients)

        def top(layers: nn.Module, x: Tensor) -> Tensor:
            return through(layers, x, operation_shares)

        if self.additive_refiner is not None and (share := self._share(AdditiveRefiner.kind, ingredients)) is not None:
            decoder2 = decoder2.lerp(self.additive_refiner(decoder2), share[:, None, None, None].to(decoder2.dtype))
        if self.config.per_operation_top:
            encoder1 = top(self.detail, F.pixel_unshuffle(degraded, self.config.stem_stride))
        decoder1 = top(self.reduce[0], torch.cat([top(self.up[0], decoder2), encoder1], 1))
        decoder1 = prior_block(top(self.blocks["decoder1"], decoder1))
        change = top(self.output, top(self.refinement, decoder1))
        return degraded + F.pixel_shuffle(change, self.config.stem_stride)

    def share(self, operation: Operation, ingredients: Tensor) -> Tensor:
        """Return how much of ingredients (..., K) such an operation undoes, (...)."""
        marks = getattr(self, operation)
        return ingredients[..., : len(marks)] @ marks

    def _share(self, operation: Operation, ingredients: Tensor) -> Tensor | None:
        """Return `share` of ingredients (B, K); None where that is 0 and what is unused is left out."""
        share = self.share(operation, ingredients)
        return None if self.skip_unused and not bool(share.any()) else share

    def read_blur(self, crops: Tensor) -> Blur | None:
        """Return what one photo was blurred by, read from crops (N, 3, H, W) of it, in fp32."""
        return None if self.blur_kernel_estimator is None else self.blur_kernel_estimator(correlate(crops)[None])

    def colours(self, thumbnails: Tensor, ingredients: Tensor, certainty: Tensor) -> Colours | None:
        """Return what `affine.refine` is to change of what `forward` makes of photos, for thumbnails (B, 3, h, w).

        `ingredients` (B, M, K) are the photos', h and w multiples of `affine.MULTIPLE`; `certainty` (B,) in [0, 1] is
        how far the affine refiner counts. None if the network has none.
        """
        if self.affine_refiner is None:
            return None
        share = self.share(AffineRefiner.kind, ingredients[:, -1])
        restored = self(thumbnails, ingredients).restored.clamp(0, 1)
        return self.affine_refiner.colours(thumbnails, restored, share, certainty)

    def grow(self, wanted: ModelConfig) -> None:
        """Add the parts that a configuration has and this network lacks; they change nothing yet.

        Those are a top of per-operation convolutions, refiners of what the network knows, and the estimator of blur
        kernels.
        """
        if wanted.per_operation_top and not self.config.per_operation_top:
            self._split_top()
        missing = [name for name in REFINERS if getattr(wanted, name) and not getattr(self.config, name)]
        self.config = dataclasses.replace(self.config, **{name: getattr(wanted, name) for name in missing})
        if "denoiser" in missing and "noise" in self.config.known:
            self.denoiser = Denoiser(*self.config.denoiser)
        if "additive_refiner" in missing and any(self._marks(AdditiveRefiner.kind)):
            self.additive_refiner = AdditiveRefiner(2 * self.config.dim, self.config.additive_refiner)
        if "deblurring_refiner" in missing and any(self._marks(DeblurringRefiner.kind)):
            self.deblurring_refiner = DeblurringRefiner(*self.config.deblurring_refiner)
        if "blur_kernel_estimator" in missing and self.deblurring_refiner is not None:
            self.blur_kernel_estimator = BlurKernelEstimator(*self.config.blur_kernel_estimator)
            self.deblurring_refiner.see_unblurred()
        if "affine_refiner" in missing and any(self._marks(AffineRefiner.kind)):
            self.affine_refiner = AffineRefiner(*self.config.affine_refiner)

    def _split_top(self) -> None:
        """Give what is behind the last meta-prior block weights of their own for each operation.

        They start as those of all, and those that look at the photo again as the stem's and encoder level 1's.
        """
        self.config = dataclasses.replace(self.config, per_operation_top=True)
        split = functools.partial(
            per_operation,
            num_operations=len(self.config.operation_kinds),
            num_added=len(self.config.added),
        )
        self.detail = split(nn.Sequential(self.stem, *self.blocks["encoder1"].children()))
        self.up[0], self.reduce[0] = split(self.up[0]), split(self.reduce[0])
        self.blocks["decoder1"] = split(self.blocks["decoder1"])
        self.refinement, self.output = split(self.refinement), split(self.output)

    def _marks(self, operation: Operation) -> list[bool]:
        """Tell of each known degradation whether such an operation undoes it; `clean` needs none."""
        return [name != "clean" and self.config.operation_of(name) == operation for name in self.config.known]

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


def _last(ingredients: Tensor) -> Tensor:
    """Return those last in force, (B, K), of ingredients (B, M, K) or (B, K)."""
    return ingredients[:, -1] if ingredients.ndim == 3 else ingredients


def _network_output(restored: Tensor, logits: Tensor, outputs: Sequence[PriorOutput]) -> NetworkOutput:
    """Return restored photos (B, 3, H, W) with what the routers (B, M, K) and the meta-prior blocks said and gave."""
    sides = [output.side_image for output in outputs if output.side_image is not None]
    return NetworkOutput(restored, logits, sides, [output.latents for output in outputs])


def ingredient_hub(config: ModelConfig) -> IngredientHub:
    """Return a hub of the second stage, of the sizes that a configuration has; all zeros."""
    sizes = len(config.known), config.num_priors, config.prior_width, len(config.added), config.num_ingredients
    return IngredientHub(*sizes)
