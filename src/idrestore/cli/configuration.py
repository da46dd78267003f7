"""Defaults and presets of `idrestore restore`, from a TOML file.

quality = 92               # keys are the options' names

[presets.night]            # idrestore photo.jpg --preset night
low_light = true
strength = "80%"
"""

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import typer

from idrestore.configuration import nearest
from idrestore.degradations import FIVE, canonical

PRESETS = "presets"
NOT_HERE = {"help", "config", "preset", "photos", "folder"}
"""Parameters of the command that make no sense in its own defaults."""


def default_path() -> Path:
    """Return where the file of defaults lies: ~/.config/idrestore/config.toml, or where the system has such files."""
    return Path(typer.get_app_dir("idrestore")) / "config.toml"


def defaults(path: str | None, preset: str, known: Collection[str]) -> dict[str, Any]:
    """Return defaults by the names of parameters; raise `ValueError` with one line for what cannot be used.

    Without a path it is `default_path`, which need not be there.
    """
    file = Path(path) if path else default_path()
    if not path and not file.is_file():
        if preset:
            raise ValueError(f"--preset: got {preset!r}, but there is no file {file}")
        return {}
    table = _read(file)
    presets = table.pop(PRESETS, {})
    if not isinstance(presets, Mapping):
        raise ValueError(f"{file}: {PRESETS}: expected tables such as [presets.night]")
    if preset and preset not in presets:
        raise ValueError(f"--preset: got {preset!r}, expected one of {', '.join(presets) or 'none'} in {file}")
    allowed = sorted(set(known) - NOT_HERE)
    wishes = _checked(file, "", table, allowed)
    for name, values in presets.items():
        if not isinstance(values, Mapping):
            raise ValueError(f"{file}: {PRESETS}.{name}: expected a table")
        chosen = _checked(file, f"{PRESETS}.{name}.", values, allowed)
        if name == preset:
            wishes |= chosen
    return wishes


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"--config: {file} cannot be read ({error.strerror})") from None
    except ValueError as error:  # no TOML, or no UTF-8
        raise ValueError(f"--config: {file} is no TOML file ({error})") from None


def _checked(file: Path, where: str, table: Mapping[str, Any], allowed: Collection[str]) -> dict[str, Any]:
    """Return a table's values as options take them; raise `ValueError` for an unknown key, naming the nearest."""
    wishes: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        name = canonical(name) if canonical(name) in FIVE else name
        if name not in allowed:
            close = nearest(name, allowed)
            raise ValueError(f"{file}: unknown key {where + key!r}, the nearest one is {close!r}")
        if isinstance(value, list | dict):
            raise ValueError(f"{file}: {where}{key}: got {value!r}, expected one value")
        wishes[name] = str(float(value)) if name in FIVE and not isinstance(value, str) else value
    return wishes
