"""The whole network: the published one, and refiners beside it that each work where their operation is called for."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Protocol, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from idrestore.degradations import Operation
from idrestore.model.classifiers import HazeClassifier, RainClassifier, presence
from idrestore.model.config import ModelConfig
from idrestore.model.outputs import NetworkOutput, ReadBlur, Routed
from idrestore.model.per_operation import per_operation, through
from idrestore.model.published import PublishedNetwork, last_in_force
from idrestore.model.refiners.additive import AdditiveRefiner, additive_part
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

CLASSIFIERS = "haze_classifier", "rain_classifier"
REFINERS = (
    "additive_refiner",
    "deblurring_refiner",
    "blur_kernel_estimator",
    "affine_refiner",
    *CLASSIFIERS,
)
"""Settings of `ModelConfig` that refiners and the like come from, in the order in which they are added."""


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


def where_it_counts(counts: Tensor, refined: Callable[..., Tensor], restored: Tensor, *others: Tensor) -> Tensor:
    """Return restored photos (B, 3, H, W), `refined` where that counts for more than nothing, (B,).

    It sees those alone, and what belongs to them of `others`, (B, ...) each.
    """
    places = counts.nonzero()[:, 0]
    if len(places) == len(counts):
        return refined(restored, *others)
    if not len(places):
        return restored
    return restored.index_copy(0, places, refined(*(each[places] for each in (restored, *others))))


class RestorationNetwork(PublishedNetwork):
    """The published network and its refiners; behind the last meta-prior block, each operation may have its weights."""

    skip_unused = False
    """Whether refiners are left out where their shares are 0, the additive ones where noise and rain are not most of
    what is wrong, and all else where they are all."""
    only_classify = ""
    """Which of the `CLASSIFIERS` alone works where whole photos are restored, for it to learn; empty: all does."""
    additive: Tensor
    affine: Tensor
    convolutive: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        for operation in get_args(Operation):
            self.register_buffer(operation, torch.tensor(self._marks(operation)).float(), persistent=False)
        self.additive_refiner: nn.ModuleDict | None = None
        """One for each degradation that lies over a photo"""
        self.deblurring_refiner: DeblurringRefiner | None = None
        self.blur_kernel_estimator: BlurKernelEstimator | None = None
        self.affine_refiner: AffineRefiner | None = None
        self.haze_classifier: HazeClassifier | None = None
        self.rain_classifier: RainClassifier | None = None
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
        if ingredients is not None and self._is_additive_alone(ingredients):
            return self._refined_alone(tiles, ingredients, routed)
        output, shares = self._undo(tiles, ingredients, routed)
        unblurred = None if deconvolution is None else deconvolve(tiles, deconvolution).clamp(0, 1)
        restored = self._deblur(tiles, output.restored, shares, unblurred)
        return output._replace(restored=self._take_off(restored, tiles, shares))

    def restore_whole(self, photos: Tensor, decisions: Decisions, ingredients: Tensor | None = None) -> NetworkOutput:
        """Restore whole photos (B, 3, H, W) in [0, 1], as they are seen in training; `ingredients` as in `forward`.

        What is read once of a photo, blur and colour grid, is read from each for which that is decided.
        """
        if self.only_classify:
            return self._classified(photos)
        if ingredients is not None and self._is_additive_alone(ingredients):
            return self._refined_alone(photos, ingredients)
        output, shares = self._undo(photos, ingredients)
        blur = self._read_each(photos, shares, decisions)
        restored = self._deblur(photos, output.restored, shares, *self._unblurred(photos, blur))
        restored = where_it_counts(self._additive_part(shares), self._take_off, restored, photos, shares)
        restored = self._refine_colours(photos, restored, shares, decisions)
        return output._replace(restored=restored, blur=blur)

    def _classified(self, photos: Tensor) -> NetworkOutput:
        """Return photos (B, 3, H, W) as they are, and what a classifier says of them, the routers nothing."""
        rows = photos.new_zeros(len(photos), self.config.num_rows, len(self.config.degradations))
        return NetworkOutput.of(photos, rows, [])._replace(classified=self._learning_classifier()(photos))

    def _learning_classifier(self) -> HazeClassifier | RainClassifier:
        """Return the classifier that learns alone."""
        classifier = getattr(self, self.only_classify)
        assert isinstance(classifier, HazeClassifier | RainClassifier)
        return classifier

    def presence(self, degraded: Tensor, clean: Tensor, ingredients: Tensor) -> Tensor | None:
        """Return what a classifier that learns alone should say of samples (B, 3, H, W), (B,); None: none does."""
        if not self.only_classify:
            return None
        classifier = self._learning_classifier()
        return presence(degraded, clean, self.named(classifier.degradation, ingredients), classifier.errors)

    def _additive_part(self, shares: Tensor) -> Tensor:
        """Return how far noise and rain are all that is wrong, (B,) in [0, 1], with photos of ingredients (B, K)."""
        if self.additive_refiner is None:
            return shares.new_zeros(len(shares))
        return additive_part(self.share(AdditiveRefiner.kind, shares), self.named("clean", shares))

    def _without_additive(self, photos: Tensor, shares: Tensor) -> Tensor:
        """Return photos (B, 3, H, W) of ingredients (B, K) without noise and rain, as far as they are not clean."""
        assert self.additive_refiner is not None
        wanted = (1 - self.named("clean", shares)) / self.share(AdditiveRefiner.kind, shares).clamp_min(1e-6)
        restored = photos
        for name, refiner in self.additive_refiner.items():
            share = self.named(name, shares)
            if not self.skip_unused or bool(share.any()):
                restored = restored + (wanted * share)[:, None, None, None] * refiner(photos)
        return restored

    def _take_off(self, restored: Tensor, photos: Tensor, shares: Tensor) -> Tensor:
        """Let what additive refiners make take the place of all else's, as far as noise and rain are all."""
        part = self._additive_part(shares)
        if self.additive_refiner is None or (self.skip_unused and not bool(part.any())):
            return restored
        return restored.lerp(self._without_additive(photos, shares), part[:, None, None, None])

    def _is_additive_alone(self, ingredients: Tensor) -> bool:
        """Tell whether photos of given ingredients are noisy and rainy, no more, and what is unused is left out."""
        return self.skip_unused and bool(self._additive_part(last_in_force(ingredients)).eq(1).all())

    def _refined_alone(self, photos: Tensor, ingredients: Tensor, routed: Routed | None = None) -> NetworkOutput:
        """Return what additive refiners make of such photos, and what is known of them already."""
        restored = self._without_additive(photos, last_in_force(ingredients))
        if routed is not None:
            return NetworkOutput.of(restored, routed.logits, routed.outputs)
        rows = ingredients.new_zeros(len(photos), self.config.num_rows, ingredients.shape[-1])
        return NetworkOutput.of(restored, rows, [])

    def named(self, name: str, shares: Tensor) -> Tensor:
        """Return the share (B,) of a degradation in ingredients (B, K); 0 of one that the network does not know."""
        names = self.config.known
        return shares[:, names.index(name)] if name in names else shares.new_zeros(len(shares))

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
        if self.affine_refiner is None:
            return restored
        refined = functools.partial(self._with_colours, decisions)
        return where_it_counts(certainty, refined, restored, photos, shares, share, certainty)

    def _with_colours(
        self, decisions: Decisions, restored: Tensor, photos: Tensor, shares: Tensor, share: Tensor, certainty: Tensor
    ) -> Tensor:
        """Refine restored photos (B, 3, H, W), of ingredients (B, K), as `_refine_colours` does."""
        assert self.affine_refiner is not None
        colours = self.affine_refiner.colours(photos, restored, share, certainty)
        names = self.config.degradations
        hazy, dark = (
            certainty.new_tensor([part(names, row[None, None]) for row in shares])
            for part in (decisions.haziness, decisions.darkness)
        )
        with torch.autocast(photos.device.type, enabled=False):
            return refine(photos, restored, colours, certainty * hazy, dark, (photos.shape[-2], photos.shape[-1]))

    def _top(self, ingredients: Tensor) -> Callable[[nn.Module, Tensor], Tensor]:
        """As that of `PublishedNetwork`, by weights of each operation where there are such."""
        return functools.partial(through, shares=self.shares(ingredients))

    def _into_top(
        self, degraded: Tensor, encoder1: Tensor, decoder2: Tensor, ingredients: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As that of `PublishedNetwork`.

        Per-operation convolutions look at the photo again instead of at `encoder1`: it is known by now what to undo.
        """
        if self.config.per_operation_top:
            photo = F.pixel_unshuffle(degraded, self.config.stem_stride)
            encoder1 = self._top(ingredients)(self.detail, photo)
        return encoder1, decoder2

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

    def classify_haze(self, thumbnails: Tensor) -> Tensor | None:
        """Return logits (B,) of haze in photos, from thumbnails (B, 3, h, w), in fp32.

        h and w are multiples of `thumbnail.MULTIPLE`. None if the network has no classifier.
        """
        return None if self.haze_classifier is None else self.haze_classifier(thumbnails)

    def classify_rain(self, crops: Tensor) -> Tensor | None:
        """Return logits (N,) of rain in crops (N, 3, h, w) of photos, in fp32; None if there is no classifier."""
        return None if self.rain_classifier is None else self.rain_classifier(crops)

    def colours(self, thumbnails: Tensor, ingredients: Tensor, certainty: Tensor) -> Colours | None:
        """Return what `affine.refine` is to change of what `forward` makes of photos, for thumbnails (B, 3, h, w).

        `ingredients` (B, M, K) are the photos', h and w multiples of `thumbnail.MULTIPLE`; `certainty` (B,) in [0, 1]
        is how far the affine refiner counts. None if the network has none.
        """
        if self.affine_refiner is None:
            return None
        share = self.share(AffineRefiner.kind, ingredients[:, -1])
        restored = self(thumbnails, ingredients).restored.clamp(0, 1)
        return self.affine_refiner.colours(thumbnails, restored, share, certainty)

    def grow(self, wanted: ModelConfig) -> None:
        """Add the parts that a configuration has and this network lacks; they change nothing yet.

        Those are a top of per-operation convolutions, refiners of what the network knows, the estimator of blur
        kernels, and the classifiers of haze and rain.
        """
        if wanted.per_operation_top and not self.config.per_operation_top:
            self._split_top()
        missing = [name for name in REFINERS if getattr(wanted, name) and not getattr(self.config, name)]
        self.config = dataclasses.replace(self.config, **{name: getattr(wanted, name) for name in missing})
        if "additive_refiner" in missing and (names := self.config.taken_off):
            refiners = {name: AdditiveRefiner(*self.config.additive_refiner) for name in names}
            self.additive_refiner = nn.ModuleDict(refiners)
        if "deblurring_refiner" in missing and any(self._marks(DeblurringRefiner.kind)):
            self.deblurring_refiner = DeblurringRefiner(*self.config.deblurring_refiner)
        if "blur_kernel_estimator" in missing and self.deblurring_refiner is not None:
            self.blur_kernel_estimator = BlurKernelEstimator(*self.config.blur_kernel_estimator)
            self.deblurring_refiner.see_unblurred()
        if "affine_refiner" in missing and any(self._marks(AffineRefiner.kind)):
            self.affine_refiner = AffineRefiner(*self.config.affine_refiner)
        if "haze_classifier" in missing and "haze" in self.config.known:
            self.haze_classifier = HazeClassifier(*self.config.haze_classifier)
        if "rain_classifier" in missing and "rain" in self.config.known:
            self.rain_classifier = RainClassifier(*self.config.rain_classifier)

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
