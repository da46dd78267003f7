"""`idrestore doctor`: what this machine has, what works on it, and how fast it is."""

import os
import platform
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import typer

from idrestore.cli.console import DONE, SOME_FAILED, complain, say

if TYPE_CHECKING:
    from idrestore.files.formats import Format

LABEL = 14
SIDE = 1000
"""A photo of one megapixel."""
UNITS = ("avx2", "avx512_f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_fp16", "sve", "sve_bf16")
"""What torch says that a processor has, and that decides how fast a network is."""


def doctor_command() -> None:
    """Say what this machine has, read and write each format, and restore one megapixel to see how long it takes."""
    import psutil
    import pyvips
    import torch

    import idrestore
    from idrestore.model.inference import arithmetic
    from idrestore.restoration import memory

    _row("idrestore", f"{idrestore.__version__}, Python {platform.python_version()}, {platform.platform()}")
    _row("processor", f"{_processor()}, {os.cpu_count()} threads; units: {', '.join(_units()) or 'unknown'}")
    free = memory.available() / 1e9
    _row("memory", f"{free:.1f} GB free of {psutil.virtual_memory().total / 1e9:.1f} GB")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none that this torch can use"
    _row("torch", f"{torch.__version__}, {torch.get_num_threads()} threads; GPU: {gpu}")
    _row("computing", str(arithmetic()))
    _row("libvips", f"{pyvips.version(0)}.{pyvips.version(1)}.{pyvips.version(2)}, pyvips {pyvips.__version__}")
    checks = [_check("formats", _formats), _check("model", _model), _check("speed", _speed)]
    raise typer.Exit(DONE if all(checks) else SOME_FAILED)


def _check(label: str, look: Callable[[], str]) -> bool:
    """Print what a look at something gives; complain if it fails."""
    try:
        _row(label, look())
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        complain(f"{label}: {' '.join(str(error).split())}")
        return False
    return True


def _row(label: str, text: str) -> None:
    say(f"{label:<{LABEL}}{text}")


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


def _formats() -> str:
    """Write and read a small picture in each format; raise `RuntimeError` if one that should work does not."""
    from idrestore.files.formats import FORMATS

    works = {row.name: _works(row) for row in FORMATS}
    broken = [row.name for row in FORMATS if row.saver and not works[row.name]]
    if broken:
        raise RuntimeError(f"{', '.join(broken)} cannot be written and read again: reinstall pyvips[binary]")
    both = [row.name for row in FORMATS if row.saver]
    return f"{', '.join(both)} are read and written; {', '.join(set(works) - set(both))} read where a decoder is there"


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

    return ", ".join(f"{name} is whole (SHA-256 {checkpoint.load(name).sha256[:12]}…)" for name in checkpoint.SHIPPED)


def _speed() -> str:
    """Restore a noisy megapixel twice, the second time by the clock."""
    import numpy as np

    import idrestore

    photo = np.random.default_rng(0).integers(90, 160, (SIDE, SIDE, 3), np.uint8)
    restorer = idrestore.load()
    restorer.restore(photo[:256, :256])
    start = perf_counter()
    restorer.restore(photo, ingredients={"noise": 1.0})  # told, there is no second pass
    return f"a noisy megapixel in {perf_counter() - start:.1f} s"
