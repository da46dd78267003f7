"""Files whole or not at all, and nothing left of those that were not."""

import os
import subprocess
import sys

import pytest

from idrestore import atomic


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_at_the_end(tmp_path):
    with atomic.replacing(tmp_path / "a") as file:
        file.write(b"new")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


def test_whatever_is_raised_leaves_all_as_it_was(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic.replacing(tmp_path / "a") as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_what_a_killed_writer_leaves_is_removed_and_nothing_else(tmp_path):
    """By a writer that is really killed; the leftover of another file, perhaps still at work, stays."""
    program = (
        "import os, signal, sys; from pathlib import Path; from idrestore import atomic\n"
        "with atomic.replacing(Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    for name in ("a", "b"):
        assert subprocess.run([sys.executable, "-c", program, tmp_path / name], check=False).returncode == -9
    (tmp_path / ".mine.part").touch()
    assert len(names(tmp_path)) == 3
    assert atomic.remove_leftovers([tmp_path / "a", tmp_path / "none" / "c"]) == 1
    assert len(names(tmp_path)) == 2
    assert ".mine.part" in names(tmp_path)


def test_checking_leaves_nothing_and_raises_where_nothing_can_be_made(tmp_path):
    atomic.check_writable(tmp_path / "a")
    assert names(tmp_path) == []
    with pytest.raises(OSError, match="No such file"):
        atomic.check_writable(tmp_path / "none" / "a")


def test_names_may_be_as_long_as_the_system_allows(tmp_path):
    name = "a" * os.pathconf(tmp_path, "PC_NAME_MAX")
    with atomic.replacing(tmp_path / name) as file:
        file.write(b"new")
    assert names(tmp_path) == [name]
