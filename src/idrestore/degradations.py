"""The one table of degradations: their names, their order in labels, the operation that removes each.

Everything that speaks of a degradation by name or by position (the network's hubs and routers, the synthesis in
`data/`, recipes, reports, flags) reads this table.
"""

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

Operation = Literal["additive", "affine", "convolutive"]


class Degradation(NamedTuple):
    """A way for a photo to go wrong, and the operation that its physics prescribes for the cure."""

    name: str
    """Lower-case identifier, used in files and flags."""
    operation: Operation
    """What undoes it: x + r, (1 + Δγ)·x + β, or a kernel per pixel; see `model/operations.py`."""
    words: str
    """What it is called in a sentence."""
    also: tuple[str, ...] = ()
    """Other words that people use for it, understood by commands and calls; recipes and model files have names."""
    strength: tuple[float, float] = (1.0, 1.0)
    """Beta distribution of its strength in training; input PSNR is spread about that of the test sets."""
    stages: tuple[tuple[int, str], ...] = ()
    """How it is synthesised: (place, function in `data/physics`) each. Places go from the scene to the file: 0 and 1
    the air, 2 the light, 3 and 4 the lens, 5 to 7 the sensor; they also seed the random numbers."""


DEGRADATIONS: tuple[Degradation, ...] = (
    Degradation("noise", "additive", "noise", ("noisy", "grain", "grainy"), (1.6, 1.0), ((7, "noise.noise"),)),
    Degradation("rain", "additive", "rain", ("rainy",), (1.9, 2.1), ((0, "rain.rain"),)),
    Degradation("haze", "affine", "haze", ("hazy", "fog", "foggy", "mist", "misty"), (1.8, 1.6), ((1, "haze.haze"),)),
    Degradation(
        "blur", "convolutive", "blur", ("blurred", "blurry", "shake", "shaky"), (2.2, 1.2), ((3, "blur.blur"),)
    ),
    Degradation(
        "low_light",
        "affine",
        "low light",
        ("dark", "night", "dim"),
        (2.3, 1.3),
        ((2, "light.darken"), (5, "light.sensor")),
    ),
    Degradation("clean", "additive", "nothing"),
)
"""Label order. The first five are the paper's; `clean` is its optional sixth prior (supplement, Table 1)."""

OTHERS: tuple[Degradation, ...] = (
    Degradation("under_display", "convolutive", "a display", stages=((4, "panel.panel"), (6, "light.sensor"))),
)
"""Degradations that can be synthesised for tests of generalisation, but that no shipped model is trained on."""
UNSEEN: tuple[str, ...] = tuple(degradation.name for degradation in OTHERS)
SYNTHESISED: tuple[Degradation, ...] = tuple(row for row in (*DEGRADATIONS, *OTHERS) if row.stages)
"""What `data/` knows how to make."""

NAMES: tuple[str, ...] = tuple(degradation.name for degradation in DEGRADATIONS)
FIVE: tuple[str, ...] = NAMES[:5]
"""The paper's five."""

ALIASES = {word: degradation.name for degradation in DEGRADATIONS for word in degradation.also}
"""What people call them besides, and the name of each."""


def canonical(word: str) -> str:
    """Return the name of the degradation that people mean by a word; a word that is none comes back as a name.

    >>> canonical("Foggy"), canonical("low light"), canonical("scratches")
    ('haze', 'low_light', 'scratches')
    """
    name = word.strip().lower().replace("-", "_").replace(" ", "_")
    return ALIASES.get(name, name)


def check_known(names: Collection[str], what: str, got: Collection[str]) -> None:
    """Raise `ValueError`, which begins with `what` was wished, for names that are none of a model's."""
    if unknown := set(got) - set(names):
        raise ValueError(f"{what}: got {', '.join(sorted(unknown))}, expected some of {', '.join(names)}")


def operation_of(name: str) -> Operation:
    """Return the operation that removes degradation `name`; raise `KeyError` for a name not in the table.

    >>> operation_of("haze")
    'affine'
    """
    return {degradation.name: degradation.operation for degradation in DEGRADATIONS}[name]


def percentages(shares: Mapping[str, float], least: float = 0.005) -> str:
    """Write shares as percentages; what has less than `least` is left out.

    >>> percentages({"haze": 0.9, "clean": 0.1, "rain": 0.001})
    'haze 90%, clean 10%'
    """
    return ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if share >= least)
