"""What the service keeps on the disk: one folder that ends with its process, and a count of its bytes."""

import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing tells there whose process is dead, so nothing is removed
    fcntl = None  # type: ignore[assignment]

PREFIX = "idrestore-web-"
LOCK = "lock"
"""A file in each folder that is locked for as long as its process lives."""


class StorageFull(OSError):  # noqa: N818 (no error: it is what a bound is for)
    """As much is kept as may be kept."""


class Storage:
    """A folder for uploads and results, and the bytes that they take; threads may share it."""

    def __init__(self, folder: Path, max_bytes: int = 2_000_000_000) -> None:
        """Keep at most `max_bytes` in `folder`, uploads that are still arriving counted."""
        self.folder = folder
        self.max_bytes = max_bytes
        self.used = 0
        self._lock = threading.Lock()

    def take(self, count: int) -> None:
        """Count bytes that are about to be kept; raise `StorageFull`."""
        with self._lock:
            if self.used + count > self.max_bytes:
                raise StorageFull(f"{self.used:,} of {self.max_bytes:,} bytes are taken: try again later")
            self.used += count

    def give_back(self, count: int) -> None:
        """Count bytes that are kept no more."""
        with self._lock:
            self.used -= count


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give a folder for this process, removed at the end; remove those of killed processes before."""
    remove_abandoned(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with (folder / "unlocked").open("w") as lock:
            if fcntl:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Only now does it get its name, or another start could take the lock in between.
            (folder / "unlocked").rename(folder / LOCK)
            yield folder


def remove_abandoned(parent: Path) -> None:
    """Remove the folders of this user's services whose process is dead; leave all else alone."""
    for folder in parent.glob(f"{PREFIX}*") if fcntl else ():
        with suppress(OSError):
            if _is_ours(folder) and _is_unlocked(folder / LOCK):
                shutil.rmtree(folder)


def _is_ours(folder: Path) -> bool:
    """Tell whether it is a true folder, no link, that belongs to this user."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _is_unlocked(path: Path) -> bool:
    """Tell whether nobody holds the lock; raise `OSError` where there is none."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
