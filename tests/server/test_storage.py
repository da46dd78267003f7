"""The folder of a service: counted while it lives, and removed by the next one when its process was killed."""

import os
import signal
import subprocess
import sys

import pytest

storage = pytest.importorskip("idrestore.server.storage")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="locks files in another way")
HOLD = """
import sys, time
from idrestore.server.storage import temporary_folder
with temporary_folder() as folder:
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield
    monkeypatch.setattr("tempfile.tempdir", None)


def test_what_is_kept_is_bounded():
    kept = storage.Storage(None, 10)
    kept.take(10)
    with pytest.raises(storage.StorageFull, match="10 of 10 bytes are taken"):
        kept.take(1)
    kept.give_back(4)
    kept.take(4)


def test_the_folder_of_a_killed_process_is_removed_by_the_next_and_no_other(tmp_path):
    holding = [subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        killed, living = (tmp_path / process.stdout.readline().strip() for process in holding)
        (killed / "photo.png").write_bytes(b"x")
        holding[0].send_signal(signal.SIGKILL)
        holding[0].wait()
        (tmp_path / "idrestore-web-other").mkdir()  # has no lock: perhaps it is just being made
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere/lock").touch()
        (tmp_path / "idrestore-web-link").symlink_to(tmp_path / "elsewhere")
        with storage.temporary_folder() as folder:
            assert folder.is_dir()
            assert not killed.exists()
            assert living.is_dir()
            assert (tmp_path / "idrestore-web-other").is_dir()
            assert (tmp_path / "elsewhere/lock").exists()
        assert not folder.exists()
    finally:
        for process in holding:
            process.kill()
            process.wait()
            process.stdout.close()


def test_a_lock_that_is_a_pipe_or_a_link_is_not_waited_for(tmp_path):
    for name, make in (("a", os.mkfifo), ("b", lambda path: path.symlink_to("/dev/zero"))):
        (tmp_path / f"idrestore-web-{name}").mkdir()
        make(tmp_path / f"idrestore-web-{name}/lock")
    with storage.temporary_folder():
        assert (tmp_path / "idrestore-web-b").is_dir()
