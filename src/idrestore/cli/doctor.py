"""`idrestore doctor`: what this machine has, what works on it, and how fast it is."""

import os
import platform
from collections.abc import Callable
from importlib.util import find_spec
from json import dumps
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from idrestore.cli.console import DONE, SOME_FAILED, complain, say, say_row
from idrestore.configuration import one_line
from idrestore.extras import how_to_install

if TYPE_CHECKING:
    from idrestore.files.formats import Format

EXTRAS = {"HEIC": ("pillow_heif", "heif"), "raw": ("rawpy", "raw")}
"""Formats that an extra reads: its module, and its name"""
LOADERS = {"GIF": "gifload", "JPEG XL": "jxlload"}
"""Formats that libvips reads if it was built so, and with what"""
SIDE = 1000
"""A photo of one megapixel."""
UNITS = ("avx2", "avx512_f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_fp16", "sve", "sve_bf16")
"""What torch says that a processor has, and that decides how fast a network is."""


def doctor_command(
    json: Annotated[bool, typer.Option("--json", help="The same as one JSON object, for other programs.")] = False,
) -> None:
    """Say what this machine has, read and write each format, and restore one megapixel to see how long it takes."""
    import psutil
    import pyvips
    import torch

    import idrestore
    from idrestore.model.inference import arithmetic
    from idrestore.restoration import memory

    rows: dict[str, str] = {}
    tell = rows.__setitem__ if json else say_row
    tell("idrestore", f"{idrestore.__version__}, Python {platform.python_version()}, {platform.platform()}")
    tell("processor", f"{_processor()}, {os.cpu_count()} threads; units: {', '.join(_units()) or 'unknown'}")
    free = memory.available() / 1e9
    tell("memory", f"{free:.1f} GB free of {psutil.virtual_memory().total / 1e9:.1f} GB")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none that this torch can use"
    tell("torch", f"{torch.__version__}, {torch.get_num_threads()} threads; GPU: {gpu}")
    tell("computing", str(arithmetic()))
    tell("libvips", f"{pyvips.version(0)}.{pyvips.version(1)}.{pyvips.version(2)}, pyvips {pyvips.__version__}")
    looks = {"writes": _written, "reads": _read, "model": _model, "speed": _speed}
    errors = {label: error for label, look in looks.items() if (error := _checked(label, look, tell))}
    if json:
        say(dumps(rows | {"errors": errors}))
    raise typer.Exit(SOME_FAILED if errors else DONE)


def _checked(label: str, look: Callable[[], str], tell: Callable[[str, str], None]) -> str:
    """Tell what a look at something gives; if it fails, complain, and return why."""
    try:
        tell(label, look())
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        reason = one_line(error)
        complain(f"{label}: {reason}")
        return reason
    return ""


def _processor() -> str:
    """Return the processor's name, which Linux alone keeps in a file."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _units() -> list[str]:
    import torch

    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return [unit for unit in UNITS if capabilities.get(unit)]


def _written() -> str:
    """Write and read a small picture in each format; raise `RuntimeError` if one does not come back."""
    from idrestore.files.formats import FORMATS

    rows = [row for row in FORMATS if row.saver]
    if broken := [row.name for row in rows if not _works(row)]:
        raise RuntimeError(f"{', '.join(broken)} cannot be written and read again: reinstall pyvips[binary]")
    return f"{', '.join(row.name for row in rows)} (and reads them)"


def _read() -> str:
    """Say what else is read here, and how to get what is not."""
    from idrestore.files.formats import FORMATS

    advice = {row.name: _missing(row.name) for row in FORMATS if not row.saver}
    there = ", ".join(name for name, missing in advice.items() if not missing)
    return "; ".join(filter(None, (there, *(f"not {name}: {missing}" for name, missing in advice.items() if missing))))


def _missing(name: str) -> str:
    """Return how to get the decoder of a format; nothing if it is there."""
    import pyvips
    from PIL import features

    if name in EXTRAS:
        module, extra = EXTRAS[name]
        return "" if find_spec(module) else how_to_install(extra)
    if name in LOADERS:
        return "" if pyvips.type_find("VipsOperation", LOADERS[name]) else "this libvips lacks it"
    if name == "JPEG 2000" and not features.check("jpg_2000"):
        return "this Pillow lacks it"
    return ""


def _works(row: "Format") -> bool:
    """Tell whether a picture in that format comes back at its size."""
    import numpy as np

    from idrestore.files import image

    pixels = np.full((16, 16, 3), 128, np.uint8)
    try:
        data, _ = image.encode(pixels, Path(f"a{row.suffixes[0]}"), image.Photo(pixels))
        return image.read(data).pixels.shape == pixels.shape
    except (ValueError, OSError, RuntimeError):
        return False


def _model() -> str:
    from idrestore.model import checkpoint
    from idrestore.model.shipped import SHIPPED

    return ", ".join(f"{name} is whole (SHA-256 {checkpoint.load(name).sha256[:12]}…)" for name in SHIPPED)


def _speed() -> str:
    """Restore a noisy megapixel by the clock, after a small photo that loads what is needed."""
    import numpy as np

    import idrestore

    photo = np.random.default_rng(0).integers(90, 160, (SIDE, SIDE, 3), np.uint8)
    restorer = idrestore.load()
    restorer.restore(photo[:256, :256])
    start = perf_counter()
    restorer.restore(photo, ingredients={"noise": 1.0})  # told, there is no second pass
    return f"a noisy megapixel in {perf_counter() - start:.1f} s"
