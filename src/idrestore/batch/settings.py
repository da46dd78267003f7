"""All that a run is told, in one place, and a hash of what makes two results the same."""

import dataclasses
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from idrestore.configuration import check_at_least
from idrestore.files.image import MAX_PIXELS

HOW = {"how": True}
"""Marks a field that says how a run goes about its work: another value gives the same pictures."""


@dataclass(frozen=True)
class Settings:
    """The settings of a run; a field counts as part of what a result is made with unless marked `HOW`."""

    strength: float | Mapping[str, float] = 1.0
    """How much to do, 0 to 1; or of single degradations; as `Restorer.restore` takes it, and so the next two"""
    only: Collection[str] | None = None
    """Degradations to remove; None: all"""
    ingredients: Mapping[str, float] | None = None
    """What is wrong, in the place of what the routers find"""
    guard: bool = True
    """Leave alone what looks redacted on purpose"""
    protect: Path | None = None
    """A picture of the photos' size; what is white in it is left alone"""
    provenance: bool = True
    """Write into the results' metadata that, and how, they were restored"""
    pages: Literal["first", "all"] = "first"
    """Which of the pages of a TIFF are restored"""
    quality: int | None = None
    """Of lossy formats, 1 to 100; None: as `image.write` chooses"""
    max_pixels: int = dataclasses.field(default=MAX_PIXELS, metadata=HOW)
    """Refuse larger photos before decoding them"""
    keep_dates: bool = dataclasses.field(default=False, metadata=HOW)
    """Give results the dates of their photos' files"""
    overwrite: bool = dataclasses.field(default=False, metadata=HOW)
    """Replace files that an earlier run did not make"""
    retry_failed: bool = dataclasses.field(default=False, metadata=HOW)
    """Try again what failed in an earlier run"""
    workers: int = dataclasses.field(default=1, metadata=HOW)
    """Threads that read and write beside the network; with Ray, processes"""

    def __post_init__(self) -> None:
        check_at_least(self, workers=1)
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ValueError(f"quality: got {self.quality}, expected 1 to 100")

    @property
    def steering(self) -> dict[str, Any]:
        """What is asked of the restorer, by the names of its arguments."""
        return {"strength": self.strength, "only": self.only, "ingredients": self.ingredients}

    @cached_property
    def sha256(self) -> str:
        """Hash of the fields that decide what a result looks like."""
        fields = [field for field in dataclasses.fields(self) if field.metadata != HOW]
        kept = {field.name: getattr(self, field.name) for field in fields}
        return hashlib.sha256(json.dumps(kept, sort_keys=True, default=_plain).encode()).hexdigest()

    @cached_property
    def sha256_with_limits(self) -> str:
        """Hash of the fields that decide whether a photo can be restored."""
        return hashlib.sha256(f"{self.sha256} {self.max_pixels}".encode()).hexdigest()


def parse_steering(strength: str, only: str, ingredients: str) -> dict[str, Any]:
    """Read what people write, such as "haze=0.5" or "60%", "rain,fog" and "rain=0.7", as `Settings` takes it.

    Raise `ValueError`.

    >>> parse_steering("60%", "rain, fog", "")["strength"]
    0.6
    """
    parsed: dict[str, Any] = {"only": {name.strip() for name in only.split(",")} if only else None}
    try:
        parsed["strength"] = parse_amount(strength)
    except ValueError:
        if "=" not in strength:
            raise ValueError(f"strength: got {strength!r}, expected 0 to 1, 60%, or NAME=NUMBER") from None
        parsed["strength"] = _parse_shares("strength", strength)
    return parsed | {"ingredients": _parse_shares("ingredients", ingredients) if ingredients else None}


def parse_amount(text: str) -> float:
    """Read a number from 0 to 1, or a percentage; raise `ValueError`.

    >>> parse_amount("0.6"), parse_amount("60 %")
    (0.6, 0.6)
    """
    number = text.strip()
    amount = float(number[:-1]) / 100 if number.endswith("%") else float(number)
    if not 0 <= amount <= 1:
        raise ValueError(f"got {text!r}, expected 0 to 1, or 0% to 100%")
    return amount


def _parse_shares(what: str, text: str) -> dict[str, float]:
    """Read NAME=NUMBER,NAME=NUMBER..."""
    shares = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        try:
            shares[name.strip()] = parse_amount(number)
        except ValueError:
            raise ValueError(f"{what}: got {part!r}, expected NAME=NUMBER, 0 to 1, such as haze=0.5") from None
    return shares


def _plain(value: Path | Collection[str]) -> object:
    """Return a mapping or a set as JSON has them, in an order of their own, and a file as the hash of what it holds."""
    if isinstance(value, Path):
        return hashlib.sha256(value.read_bytes()).hexdigest()
    return dict(value) if isinstance(value, Mapping) else sorted(value)
