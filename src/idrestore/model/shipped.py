"""Which file a model's name means: the shipped models, with their hashes. Asking costs no torch."""

from pathlib import Path
from typing import NamedTuple

WEIGHTS_FOLDER = Path(__file__).parents[1] / "weights"


class Shipped(NamedTuple):
    """A model inside the package."""

    file: str
    sha256: str


SHIPPED: dict[str, Shipped] = {
    "fast": Shipped("fast.safetensors", "7917943f3463c6a31e2272173f9cd34aded51e8bb4fbe595b387c0ccf935f691"),
}
"""Name to file and hash; the file's own card has data, recipe, licence and results."""


class CheckpointError(ValueError):
    """A model file that cannot be used; the message is one line for people.

    >>> try:
    ...     resolve("missing.safetensors")
    ... except CheckpointError as error:
    ...     print(error)
    no model 'missing.safetensors': expected one of fast or the path of a .safetensors file
    """


def resolve(name_or_path: str | Path) -> Path:
    """Return the file of a shipped model's name or of a path; raise `CheckpointError` if there is none."""
    if str(name_or_path) in SHIPPED:
        return WEIGHTS_FOLDER / SHIPPED[str(name_or_path)].file
    path = Path(name_or_path)
    if not path.is_file():
        raise CheckpointError(
            f"no model {str(name_or_path)!r}: expected one of {', '.join(SHIPPED) or '(none shipped)'}"
            " or the path of a .safetensors file"
        )
    return path
