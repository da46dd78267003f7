"""Sidecars and dates go along with a result, and replace nothing."""

import os

import pytest

from idrestore.files.companions import accompany

XMP = b'<rdf:Description tiff:Orientation="6" xmp:Rating="3"/>'


@pytest.fixture
def photo(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "a.jpg").write_bytes(b"photo")
    (tmp_path / "out/a-restored.jpg").write_bytes(b"result")
    return tmp_path / "a.jpg", tmp_path / "out/a-restored.jpg"


@pytest.mark.parametrize(
    ("sidecar", "copy"), [("a.xmp", "a-restored.xmp"), ("a.XMP", "a-restored.XMP"), ("a.jpg.xmp", "a-restored.jpg.xmp")]
)
def test_a_sidecar_is_copied_under_the_name_of_the_result(photo, sidecar, copy):
    source, target = photo
    source.with_name(sidecar).write_bytes(XMP)
    assert accompany(source, target, keep_dates=False) == (f"the sidecar {sidecar} was copied",)
    assert target.with_name(copy).read_bytes() == XMP.replace(b"6", b"1")
    assert accompany(source, target, keep_dates=False) == ()  # it is there


def test_no_other_sidecar_is_replaced(photo):
    source, target = photo
    source.with_name("a.xmp").write_bytes(XMP)
    target.with_name("a-restored.xmp").write_bytes(b"edited")
    (note,) = accompany(source, target, keep_dates=False)
    assert note == "the sidecar a.xmp was not copied: a-restored.xmp is there already"
    assert target.with_name("a-restored.xmp").read_bytes() == b"edited"


def test_a_photo_without_a_sidecar_gets_none(photo):
    assert accompany(*photo, keep_dates=False) == ()
    assert len(list(photo[1].parent.iterdir())) == 1


@pytest.mark.parametrize("keep", [False, True])
def test_dates_are_kept_if_asked_for(photo, keep):
    source, target = photo
    os.utime(source, ns=(10**18, 11 * 10**17))
    accompany(source, target, keep_dates=keep)
    assert (target.stat().st_mtime_ns == 11 * 10**17) == keep
