"""What may be replaced: an original is known by every path that leads to it, and nothing else is taken for one."""

import os
import subprocess

import pytest

from idrestore.files import overwriting
from idrestore.files.overwriting import Originals, check_free


@pytest.fixture
def original(tmp_path):
    """Return the file in/a.png, beside which another lies."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/b.png").write_bytes(b"another")
    path = tmp_path / "in/a.png"
    path.write_bytes(b"precious")
    return path


def test_an_original_is_known_through_links_and_other_spellings_of_its_folder(tmp_path, original):
    (tmp_path / "folder").symlink_to(tmp_path / "in")
    (tmp_path / "link.png").symlink_to(original)
    os.link(original, tmp_path / "hard.png")
    paths = [original, tmp_path / "folder/a.png", tmp_path / "in/../in/a.png", tmp_path / "link.png"]
    for path in (*paths, tmp_path / "hard.png"):
        assert Originals([original]).met_by(path) == original
    for path in (tmp_path / "in/b.png", tmp_path / "in/c.png", tmp_path / "a.png"):
        assert Originals([original]).met_by(path) is None


def test_an_original_is_known_through_a_bind_mount(tmp_path, original):
    (tmp_path / "mounted").mkdir()
    mount = ["mount", "--bind", tmp_path / "in", tmp_path / "mounted"]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount, and not everywhere")
    try:
        assert Originals([original]).met_by(tmp_path / "mounted/a.png") == original
        assert Originals([original]).met_by(tmp_path / "mounted/b.png") is None
    finally:
        subprocess.run(["umount", tmp_path / "mounted"], check=True)


def test_an_original_that_was_saved_anew_meanwhile_is_still_known(tmp_path, original):
    originals = Originals([original])
    (tmp_path / "in/new").write_bytes(b"an editor writes beside, and renames")
    (tmp_path / "in/new").replace(original)
    assert originals.met_by(original) == original


def test_an_original_on_a_share_that_is_mounted_twice_is_known(tmp_path, original, monkeypatch):
    """Two mounts have two devices; a link to the folder stands for the second."""
    (tmp_path / "share").symlink_to(tmp_path / "in")
    (tmp_path / "other").mkdir()
    for name in ("share/A.PNG", "other/a.png"):
        (tmp_path / name).write_bytes(b"precious")
    monkeypatch.setattr(overwriting, "identity", lambda path: (hash(str(path)), 1))
    originals = Originals([original])
    assert originals.met_by(tmp_path / "share/A.PNG") == original  # as a disk says that ignores large letters
    assert originals.met_by(tmp_path / "share/b.png") is None
    assert originals.met_by(tmp_path / "other/a.png") is None
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == ["A.PNG", "a.png", "b.png"]


def test_disks_without_inodes_are_told_apart_by_name(tmp_path, original, monkeypatch):
    monkeypatch.setattr(overwriting, "identity", lambda path: None)
    originals = Originals([original])
    assert originals.met_by(original) == original
    assert originals.met_by(tmp_path / "in/b.png") is None


def test_what_is_there_is_free_only_with_leave_and_inputs_never(tmp_path, original):
    check_free([tmp_path / "new.json"])
    with pytest.raises(ValueError, match=r"a\.png exists already: pass --overwrite to replace it"):
        check_free([tmp_path / "new.json", original])
    check_free([original], overwrite=True)
    with pytest.raises(ValueError, match="is one of the inputs and stays as it is"):
        check_free([original], overwrite=True, inputs=[original])
    with pytest.raises(ValueError, match="is a folder"):
        check_free([tmp_path], overwrite=True)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="exists already: choose another folder"):
        check_free([tmp_path / "dangling"], advice="choose another folder")
