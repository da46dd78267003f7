"""What a restoration network looks like: one frozen configuration, three presets."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

from idrestore.configuration import check_kind, check_known, check_one_of, tuples
from idrestore.degradations import FIVE, NAMES, Operation, operation_of

Backbone = Literal["transformer", "convolution"]
Placement = Literal["2E+1D", "3E", "3D", "none"]
Attention = Literal["degraded", "clean", "none"]
Operations = Literal["physics", "additive"]
OperationsBy = Literal["physics", "degradation"]
Routing = Literal["learned", "even"]
Predictor = Literal["separate", "shared"]
Integration = Literal["exact", "pca", "random", "frozen", "none"]
Pooling = Literal["mean", "mean_and_deviation"]

PLACEMENTS: dict[Placement, tuple[str, ...]] = {
    "2E+1D": ("encoder2", "encoder3", "decoder2"),
    "3E": ("encoder1", "encoder2", "encoder3"),
    "3D": ("decoder3", "decoder2", "decoder1"),
    "none": (),
}
"""Where the meta-prior blocks sit, in the order in which a photo meets them (supplement, Table 2); `none` leaves the
backbone alone (ablation)."""


MOST_BLOCKS, MOST_CHANNELS = 64, 4096
MOST: dict[str, int] = {
    "dim": 1024,
    "refinement": MOST_BLOCKS,
    "stem_stride": 8,
    "query_stride": 64,
    "num_priors": 8 * 1024,
}
"""Largest numbers that are believed: a model file that claims more would take forever to build, or all memory."""


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a `RestorationNetwork`; the defaults are those of the paper (supplement, Sec. 3)."""

    backbone: Backbone = "transformer"
    """Blocks of every level: Restormer's transformer blocks, or residual blocks of dense 3x3 convolutions."""
    dim: int = 32
    """Channels of level 1; every level below doubles them."""
    depths: tuple[int, ...] = (2, 3, 3, 4)
    """Blocks of levels 1 to 4; the decoder's levels 1 to 3 repeat the encoder's."""
    refinement: int = 2
    """Blocks after decoder level 1."""
    heads: tuple[int, ...] = (1, 2, 4, 8)
    """Attention heads of levels 1 to 4, in transformer blocks and in hub attention."""
    expansion: float = 2.66
    """Hidden width of a feed-forward, in multiples of its input."""
    stem_stride: int = 1
    """The photo is pixel-unshuffled by this much before level 1: 2 quarters the cost of everything after."""
    double_top: bool = True
    """Decoder level 1 keeps the concatenated skip's doubled width, as Restormer does."""
    per_operation_top: bool = False
    """Decoder level 1 and what follows have weights of their own for each operation, mixed by the ingredients
    (`model/per_operation.py`), and look at the photo again instead of at what encoder level 1 saw; for
    `convolution` only."""
    additive_refiner: tuple[int, ...] = ()
    """Channels, at a half, a quarter and an eighth of the photo's size, of what takes noise off a photo, and of what
    takes off rain, in place of all the rest where nothing else is wrong (`model/refiners/additive.py`); empty: none."""
    deblurring_refiner: tuple[int, ...] = ()
    """Channels, at a quarter and at an eighth of the photo's size, of what refines blurred photos
    (`model/refiners/convolutive.py`); empty: none."""
    blur_kernel_estimator: tuple[int, ...] = ()
    """Channels, near and far, of what reads a photo's blur kernel, so that the deblurring refiner sees the photo with
    its blur undone as well (`model/refiners/blur_kernel.py`); empty: none."""
    affine_from: tuple[float, float] = (0.02, 0.1)
    """Shares of haze and darkness between which the affine refiner learned to count; `Rules` decides by them."""
    affine_refiner: tuple[int, ...] = ()
    """Channels, at a quarter, an eighth and a sixteenth of a thumbnail's size, of what refines hazy and dark
    photos by a thumbnail of the whole (`model/refiners/affine.py`); empty: none."""
    haze_classifier: tuple[int, ...] = ()
    """Channels, at a quarter, an eighth and a sixteenth of a thumbnail's size, of what tells by a thumbnail of the
    whole whether a photo is hazy (`model/classifiers.py`); empty: the routers alone tell."""
    rain_classifier: tuple[int, ...] = ()
    """As those of `haze_classifier`, at parts of the photo's own size, of what tells by crops at full resolution
    whether it rains in a photo; empty: the routers alone tell."""
    degradations: tuple[str, ...] = FIVE
    """Names from `idrestore.degradations`, in label order: one prior hub and one router output each."""
    added: tuple[tuple[str, Operation], ...] = ()
    """The last of `degradations`, if they are in no table but were learned later, and what undoes them: (name,
    operation). What is learned for them is apart from the rest, which stays as it was."""
    placement: Placement = "2E+1D"
    """Meta-prior blocks in the encoder (E) and decoder (D)."""
    num_priors: int = 24
    """Priors per hub: L here, N in the paper (supplement, Table 3); 0: no hub, operations see features alone."""
    attention: Attention = "degraded"
    """What supervises the degradation attention's side image; `clean` is the released research code's way."""
    stop_gradient: bool = True
    """Stop gradients on the features that enter the degradation attention (supplement, Sec. 2)."""
    operations: Operations = "physics"
    """`additive` gives every degradation the same generic operation (ablation)."""
    operations_by: OperationsBy = "physics"
    """One operation a physics, on the sum of its degradations' shares, so that only the hub tells noise from rain and
    haze from low light, as published; or one a degradation (ablation, and models made before there was a choice). It
    holds for `per_operation_top` too."""
    routing: Routing = "learned"
    """`even` has no routers: all degradations have the same share unless ingredients are given (ablation)."""
    predictor: Predictor = "separate"
    """One parameter predictor an operation (paper), or one trunk with a light head each."""
    query_stride: int = 1
    """Hub attention asks one query per this many pixels of a level, each way; 1 is the paper's."""
    integration: Integration = "pca"
    """How `integrate` starts the ingredient hub. It has L ingredients, or K·L by `exact`, and then forgets nothing."""
    pooling: Pooling = "mean"
    """What routers see of a feature map: channel means, or means and standard deviations."""

    def __post_init__(self) -> None:
        self._check_kinds()
        self._check_sizes()
        self._check_refiners()
        self._check_degradations()

    def _check_kinds(self) -> None:
        """Check each field by itself, and make tuples of lists."""
        for field in fields(self):
            value = tuples(getattr(self, field.name))
            object.__setattr__(self, field.name, value)
            least = 0 if field.name in ("refinement", "num_priors") else 1
            most = MOST.get(field.name, MOST_CHANNELS)
            if field.type is int and (type(value) is not int or not least <= value <= most):
                raise ValueError(f"{field.name}: got {value!r}, expected a whole number from {least} to {most}")
            check_kind(field.name, value, field.type)

    def _check_sizes(self) -> None:
        """Check how large the network is."""
        for name, most in (("depths", MOST_BLOCKS), ("heads", 8 * MOST["dim"])):
            value = getattr(self, name)
            if len(value) != 4 or min(value) < 1 or max(value) > most:
                raise ValueError(f"{name}: got {value!r}, expected 4 numbers from 1 to {most}, one a level")
        if self.stem_stride & (self.stem_stride - 1):
            raise ValueError(f"stem_stride: got {self.stem_stride!r}, expected 1, 2, 4 or 8")
        if not 1 <= self.expansion < 100:
            raise ValueError(f"expansion: got {self.expansion!r}, expected a number from 1 to 100")
        if self.dim % 2:
            raise ValueError(f"dim: got {self.dim}, expected an even number")
        if self.num_priors and not PLACEMENTS[self.placement]:
            raise ValueError(f"num_priors: got {self.num_priors}, expected 0 where no meta-prior block asks a hub")
        if self.num_priors > self.prior_width:
            raise ValueError(f"num_priors: got {self.num_priors}, expected at most 8 dim = {self.prior_width}")
        if any((self.dim << level) % heads for level, heads in enumerate(self.heads)):
            raise ValueError(f"heads: got {self.heads}, expected divisors of each level's channels")

    def _check_refiners(self) -> None:
        """Check what is for a single degradation, or kind of them."""
        if not 0 <= self.affine_from[0] < self.affine_from[1] <= 1:
            raise ValueError(f"affine_from: got {self.affine_from!r}, expected two rising numbers in [0, 1]")
        sizes = dict.fromkeys(("additive_refiner", "affine_refiner", "haze_classifier", "rain_classifier"), 3)
        sizes |= {"deblurring_refiner": 2, "blur_kernel_estimator": 2}
        for name, number in sizes.items():
            value = getattr(self, name)
            if len(value) not in (0, number) or not all(1 <= width <= MOST_CHANNELS for width in value):
                raise ValueError(f"{name}: got {value!r}, expected none, or {number} numbers from 1 to {MOST_CHANNELS}")
        if self.blur_kernel_estimator and not self.deblurring_refiner:
            raise ValueError(
                f"blur_kernel_estimator: got {self.blur_kernel_estimator!r}"
                " without a deblurring_refiner to look at what it undoes"
            )
        if self.per_operation_top and self.backbone != "convolution":
            raise ValueError(f"per_operation_top: got true with the backbone {self.backbone!r}, expected 'convolution'")

    def _check_degradations(self) -> None:
        """Check the degradations that the network knows."""
        if len(self.added) > MOST_BLOCKS:
            raise ValueError(f"added: got {len(self.added)} degradations, expected at most {MOST_BLOCKS}")
        if set(dict(self.added)) & set(NAMES):
            raise ValueError(f"added: got {self.added}, expected names that are none of {NAMES}")
        distinct, known = set(self.degradations), {*NAMES, *dict(self.added)}
        if not distinct or distinct - known or len(distinct) < len(self.degradations):
            raise ValueError(f"degradations: got {self.degradations}, expected different names among {NAMES}")
        if not self.known or (*self.known, *dict(self.added)) != self.degradations:
            raise ValueError(f"added: got {self.added}, expected the last of the degradations {self.degradations}")

    @property
    def prior_width(self) -> int:
        """Width D of a prior (C_d in the paper): the channels of level 4, so that one hub serves every level."""
        return 8 * self.dim

    @property
    def known(self) -> tuple[str, ...]:
        """Those of `degradations` that were not added later."""
        return self.degradations[: len(self.degradations) - len(self.added)]

    @property
    def size_multiple(self) -> int:
        """Heights and widths must be multiples of this."""
        return 8 * self.stem_stride

    @property
    def is_integrated(self) -> bool:
        """Whether the second stage reformulates the hub."""
        return self.integration != "none" and self.num_priors > 0

    @property
    def num_ingredients(self) -> int:
        """Ingredients of an integrated hub."""
        return self.num_priors * (len(self.known) if self.integration == "exact" else 1)

    @property
    def num_rows(self) -> int:
        """Rows M of a photo's ingredients: one a meta-prior block, or a single one where there is no block."""
        return max(1, len(PLACEMENTS[self.placement]))

    @property
    def operation_kinds(self) -> tuple[Operation, ...]:
        """The O operations of a meta-prior block, one a physics or one a known degradation (`operations_by`)."""
        kinds = tuple(map(self.operation_of, self.known))
        return kinds if self.operations_by == "degradation" else tuple(dict.fromkeys(kinds))

    @property
    def membership(self) -> tuple[tuple[float, ...], ...]:
        """Which of the O operations undoes which of the K known degradations: K rows, each of one 1."""
        if self.operations_by == "degradation":
            return tuple(tuple(float(one == other) for other in self.known) for one in self.known)
        return tuple(
            tuple(float(kind == self.operation_of(name)) for kind in self.operation_kinds) for name in self.known
        )

    @property
    def taken_off(self) -> tuple[str, ...]:
        """The known degradations for which there is an additive refiner."""
        additive = (name for name in self.known if name != "clean" and self.operation_of(name) == "additive")
        return tuple(additive) if self.additive_refiner else ()

    def operation_of(self, name: str) -> Operation:
        """Return what undoes a degradation: by its physics, or all in the same way (ablation)."""
        if self.operations == "additive":
            return "additive"
        return dict(self.added).get(name) or operation_of(name)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Build from a file's table, as `changed` does from the defaults."""
        return cls().changed(values)

    def changed(self, values: Mapping[str, Any]) -> Self:
        """Return this configuration with a recipe's settings; `preset` among them names another one to start from.

        Raises `ValueError` for an unknown key (naming the nearest one) or an impossible value.
        """
        values = dict(values)
        preset = values.pop("preset", None)
        if preset is not None:
            check_one_of("preset", preset, tuple(PRESETS))
        check_known(values, [field.name for field in fields(self)], what="model setting")
        start = PRESETS[preset] if preset is not None else self
        return dataclasses.replace(start, **values)  # type: ignore[return-value]


PRESETS: dict[str, ModelConfig] = {
    "paper": ModelConfig(),
    "fast": ModelConfig(
        backbone="convolution",
        dim=32,
        depths=(2, 3, 3, 1),
        refinement=2,
        stem_stride=2,
        double_top=False,
        per_operation_top=True,
        additive_refiner=(40, 64, 92),
        deblurring_refiner=(32, 64),
        blur_kernel_estimator=(24, 48),
        affine_refiner=(24, 48, 80),
        degradations=NAMES,
        predictor="shared",
        query_stride=2,
        integration="exact",
        pooling="mean_and_deviation",
    ),
    "tiny": ModelConfig(
        backbone="convolution",
        dim=8,
        depths=(1, 1, 1, 1),
        refinement=1,
        heads=(1, 2, 2, 4),
        stem_stride=2,
        double_top=False,
        per_operation_top=True,
        deblurring_refiner=(6, 10),
        blur_kernel_estimator=(4, 6),
        affine_refiner=(6, 8, 10),
        degradations=NAMES,
        num_priors=4,
        predictor="shared",
        query_stride=2,
        integration="exact",
        pooling="mean_and_deviation",
    ),
}
"""`paper` for fidelity (the defaults of `ModelConfig`), `fast` for machines without a GPU, `tiny` for tests."""
