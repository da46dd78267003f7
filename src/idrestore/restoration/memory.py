"""How much memory there is, and how much a network's work takes of it."""

import ctypes
import re
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CONTROL_GROUP = Path("/sys/fs/cgroup")
"""Where Linux tells a container the limits that are set for it."""
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's settings: how much freed memory is kept, and from which size on all is given back at once."""
UNITS = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def parse_bytes(text: str) -> int:
    """Read an amount of memory; raise `ValueError`.

    >>> parse_bytes("1.5G"), parse_bytes("800 MB")
    (1500000000, 800000000)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT])B?", text.strip(), re.IGNORECASE)
    if not found:
        raise ValueError(f"memory: got {text!r}, expected a number with K, M, G or T, such as 1.5G")
    return int(float(found[1]) * UNITS[found[2].upper()])


def keep_freed() -> None:
    """Let the C library keep up to 256 MiB that is freed, but for pieces of 32 MiB, for what is needed next.

    Otherwise the system clears page after page for every tensor anew, which is a seventh of a network's time in bf16.
    It is a setting of the whole process: commands make it, a library leaves it to its user.
    """
    _glibc("mallopt", TRIM_THRESHOLD, 1 << 28)
    _glibc("mallopt", MMAP_THRESHOLD, 1 << 25)


def available() -> int:
    """Return the bytes that this process may still take: free in the machine, and in its container (cgroup v2)."""
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        limit, used = (int((CONTROL_GROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        caches = re.search(r"^inactive_file (\d+)", (CONTROL_GROUP / "memory.stat").read_text(), re.MULTILINE)
        free = min(free, limit - used + int(caches[1] if caches else 0))
    return free


def resident() -> int:
    """Return the bytes that this process holds, having given back what it has freed."""
    _glibc("malloc_trim", 0)
    return int(psutil.Process().memory_info().rss)


def left(device: torch.device, budget: int | None = None) -> int:
    """Return the bytes that may be taken now: of a GPU's own memory, else free ones that a budget leaves, if given."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch's own, to use again
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    held = resident()  # first: what it gives back is available
    return available() if budget is None else min(available(), budget - held)


def peak_of(work: Callable[[], Any]) -> int:
    """Return the most bytes that tensors made by `work`, and still in use, take at a time."""
    counter = _Counter()
    with counter:
        work()
    return counter.peak


def _glibc(function: str, *numbers: int) -> None:
    """Call a function about memory that the C library has if it is glibc; others have no such function."""
    with suppress(AttributeError, OSError, TypeError):
        getattr(ctypes.CDLL(None), function)(*numbers)


class _Counter(TorchDispatchMode):
    """Adds up the storage of new tensors, until nobody holds it any more."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: set[int] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say that torch need not load its compiler, which takes a second, to keep it away from this."""
        return False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in _tensors((args, kwargs)):  # what is there already, such as a network's weights, is not new
            self._meet(tensor, 0)
        made = function(*args, **(kwargs or {}))
        for tensor in _tensors(made):
            self._meet(tensor, tensor.untyped_storage().nbytes())
        self.peak = max(self.peak, self.now)
        return made

    def _meet(self, tensor: Tensor, size: int) -> None:
        storage = tensor.untyped_storage()
        if id(storage) not in self._known:
            self._known.add(id(storage))
            self.now += size
            weakref.finalize(storage, self._forget, id(storage), size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]
