"""The tables of the guide, against what the program does with files of every kind: the small ones of benchmarks/."""

import importlib
import shutil
import sys
from pathlib import Path

import pytest

from idrestore.files.formats import FORMATS

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs/guide/files.md"
TOOLS = ("exiftool", "avifenc", "avifdec")


def test_the_guide_has_every_format_as_it_is():
    lines = GUIDE.read_text().split("|---|---|---|---|---|\n")[1].split("\n\n")[0].splitlines()
    found = [[cell.strip() for cell in line.split("|")[1:5]] for line in lines]
    expected = [[row.name, " ".join(row.suffixes), str(row.bits), row.written_as or "itself"] for row in FORMATS]
    assert found == expected


@pytest.fixture(scope="module")
def files():
    pytest.importorskip("pillow_heif", reason="the extra heif makes some of the files")
    pytest.importorskip("rawpy", reason="the extra raw develops some of the files")
    if missing := [name for name in TOOLS if shutil.which(name) is None]:
        pytest.skip(f"{', '.join(missing)} makes or judges the files")
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return importlib.import_module("files")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def found(files, tmp_path_factory):
    return files.judged(files.every_case(), tmp_path_factory.mktemp("files"))


def test_nothing_is_lost_in_silence(files, found):
    assert [each for each in found if each.verdict not in files.GOOD] == []
    assert len({each.case.data for each in found}) >= 350


def test_the_tables_of_the_guide_are_what_was_measured(files, found):
    assert files.in_page(GUIDE.read_text()) == files.tables(found)


def unrestored(self, pixels, *_):
    return importlib.import_module("files").Restored(pixels, {"noise": 1.0})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda made: made, "kept"),
        (lambda made: made._replace(data=made.data.replace(b"Camera\0", b"Camerb\0")), "LOST"),
        (lambda made: made._replace(data=made.data[: len(made.data) // 2]), "DAMAGED"),
        (lambda made: "photo.jpg is damaged", "FAILED"),
    ],
    ids=["sound", "another maker", "cut short", "refused"],
)
def test_the_judges_see_what_is_wrong(files, found, tmp_path, monkeypatch, change, expected):
    case = next(each.case for each in found if (each.case.format, each.case.feature) == ("JPEG", "EXIF"))
    make = files.restored
    monkeypatch.setattr(files, "restored", lambda case: change(make(case)))
    (judged,) = files.judged([case], tmp_path)
    assert judged.verdict == expected


def test_the_judges_see_a_photo_that_was_not_restored(files, found, tmp_path, monkeypatch):
    monkeypatch.setattr(files.StandIn, "restore", unrestored)
    for kind in ("JPEG", "PNG", "WebP", "TIFF", "AVIF", "HEIC"):
        case = next(each.case for each in found if (each.case.format, each.case.feature) == (kind, "8 bits"))
        (judged,) = files.judged([case], tmp_path)
        assert judged.verdict == "WRONG PIXELS"
