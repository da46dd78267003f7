"""Every page of a TIFF restored: files made by tifffile, results read by tifffile and Pillow."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image

from idrestore.batch import Job, Settings, process, restore_files
from idrestore.files import exif, image, pages
from idrestore.files.image import ImageError
from idrestore.model.checkpoint import Model
from idrestore.restoration.results import Result

ALL = Settings(pages="all", provenance=False)
RNG = np.random.default_rng(0)
PAGES = (
    RNG.integers(0, 200, (20, 30, 3), dtype=np.uint8),
    RNG.integers(0, 60000, (12, 40), dtype=np.uint16),
    RNG.integers(0, 60000, (33, 9, 3), dtype=np.uint16),
)
TEXTS = ("first", "second", "a third page")


class Adder:
    """A restorer that adds to every sample; to the photos of `spared` heights nothing."""

    def __init__(self, *spared: int) -> None:
        self.model = Model(None, {}, Path("adder.safetensors"), "0" * 64)
        self.spared = spared

    def restore(self, pixels, strength=1.0, only=None, ingredients=None, progress=lambda done, total: None, mask=None):
        progress(1, 1)
        changed = len(pixels) not in self.spared
        return Result(pixels + changed, {"noise": 1.0} if changed else {"clean": 1.0}, changed=changed)


def tiff(order="<", big=False, pages=PAGES, **options) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file, byteorder=order, bigtiff=big) as writer:
        for number, (page, text) in enumerate(zip(pages, TEXTS, strict=True)):
            colours = "rgb" if page.ndim == 3 else "minisblack"
            tags = [(315, "s", 0, text, True), (297, "H", 2, (number, 3), True)]
            about = {"photometric": colours, "extratags": tags, "metadata": None, "description": text}
            writer.write(page, **about, **options, resolution=(100 + number, 100), resolutionunit="INCH")
    return file.getvalue()


def restored(data: bytes, restorer=None, name="b.tif", settings=ALL, **rest):
    return process(restorer or Adder(), Job(Path("a.tif"), Path(name)), data, settings, **rest)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}], ids=["", "zlib", "tiles"])
def test_each_page_is_restored_and_keeps_what_is_its_own(order, big, options):
    made = restored(tiff(order, big, **options))
    assert made.notes == ("3 pages were restored",)
    with tifffile.TiffFile(io.BytesIO(made.data)) as file:
        assert len(file.pages) == 3
        for number, (page, before, text) in enumerate(zip(file.pages, PAGES, TEXTS, strict=True)):
            np.testing.assert_array_equal(page.asarray(), before + 1)
            assert page.dtype == before.dtype
            assert (page.tags[270].value, page.tags[315].value) == (text, text)
            assert page.tags[297].value == (number, 3)
            assert page.tags[282].value[0] / page.tags[282].value[1] == pytest.approx(100 + number)
    with Image.open(io.BytesIO(made.data)) as picture:
        for number, before in enumerate(PAGES):
            picture.seek(number)
            assert picture.size == before.shape[1::-1]
    assert image.read(made.data).notes == ("only the first of several pages was read (--pages all restores all)",)


def test_by_default_the_first_page_is_restored():
    made = restored(tiff(), settings=Settings(provenance=False))
    assert made.notes == ("only the first of several pages was read (--pages all restores all)",)
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(made.data)), PAGES[0] + 1)


def test_exif_and_profile_of_each_page_stay():
    block = exif.packed({exif.EXIF_POINTER: {34855: exif.Value(3, 1, b"\x20\3")}})
    photo = image.Photo(PAGES[0], format="TIFF", metadata={"icc-profile-data": _profile(), "exif-data": block})
    one, _ = image.encode(PAGES[0], "a.tif", photo)
    made = restored(pages.joined([(one, pages.kept(one))] * 2))
    with Image.open(io.BytesIO(made.data)) as picture:
        for number in range(2):
            picture.seek(number)
            assert picture.info["icc_profile"] == _profile()
    with tifffile.TiffFile(io.BytesIO(made.data)) as file:
        assert [page.tags[34665].value["ISOSpeedRatings"] for page in file.pages] == [800, 800]


def test_every_result_says_how_it_was_made():
    made = restored(tiff(), settings=Settings(pages="all"))
    with tifffile.TiffFile(io.BytesIO(made.data)) as file:
        assert all(b"urn:idrestore:provenance" in page.tags[700].value for page in file.pages)
        assert all(page.tags[305].value.startswith("idrestore") for page in file.pages)


@pytest.mark.parametrize("quality", [None, 80])
def test_a_file_of_which_no_page_changes_stays_byte_for_byte(quality):
    data = tiff()
    made = restored(data, Adder(20, 12, 33), settings=Settings(pages="all", quality=quality))
    assert made.unchanged
    assert made.data == data


def test_a_page_that_does_not_change_stays_beside_those_that_do():
    made = restored(tiff(), Adder(12))
    with tifffile.TiffFile(io.BytesIO(made.data)) as file:
        np.testing.assert_array_equal(file.pages[1].asarray(), PAGES[1])
        np.testing.assert_array_equal(file.pages[2].asarray(), PAGES[2] + 1)
    assert made.ingredients == pytest.approx({"noise": 2 / 3, "clean": 1 / 3})


def test_a_mask_is_kept_as_it_is():
    file, mask = io.BytesIO(), RNG.integers(0, 256, (20, 30), dtype=np.uint8)
    with tifffile.TiffWriter(file) as writer:
        writer.write(PAGES[0], photometric="rgb", metadata=None)
        writer.write(mask, photometric="minisblack", subfiletype=2, metadata=None)
    kind = struct.pack("<HHI", 254, 4, 1)  # which tifffile writes for 1 bit only
    made = restored(file.getvalue().replace(kind + b"\2", kind + b"\4"))
    assert made.notes == ("2 pages were restored", "page 2: a mask was kept as it is")
    with tifffile.TiffFile(io.BytesIO(made.data)) as result:
        np.testing.assert_array_equal(result.pages[1].asarray(), mask)
        assert result.pages[1].tags[254].value == 4


def test_notes_name_their_page():
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(PAGES[0], photometric="rgb", metadata=None)
        infrared = np.dstack([PAGES[0], PAGES[0][..., 0]])
        writer.write(infrared, photometric="rgb", extrasamples=["unspecified"], metadata=None)
    count, infrared = restored(file.getvalue()).notes
    assert count == "2 pages were restored"
    assert infrared.startswith("page 2: a channel that is not transparency")


def test_progress_runs_through_all_pages():
    seen = []
    restored(tiff(), progress=lambda done, total: seen.append(done / total))
    assert seen == sorted(seen)
    assert seen[-1] == 1


@pytest.mark.parametrize("name", ["b.png", "b.jpg"])
def test_a_result_that_holds_one_page_is_refused(name):
    with pytest.raises(ImageError, match=f"a.tif has 3 pages, and {name} holds one: expected a result that ends in"):
        restored(tiff(), name=name)


def test_all_pages_together_have_a_limit():
    pixels = sum(page.shape[0] * page.shape[1] for page in PAGES)
    restored(tiff(), settings=Settings(pages="all", max_pixels=pixels))
    with pytest.raises(ImageError, match=rf"a.tif has 3 pages of {pixels:,} pixels in all: expected at most"):
        restored(tiff(), settings=Settings(pages="all", max_pixels=pixels - 1))


def test_a_page_that_is_missing_is_no_result():
    data = tiff()
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        place = file.pages[2].offset
    with pytest.raises(ImageError, match="damaged or cut short"):
        restored(data[:place])


def test_other_formats_and_single_pages_are_as_before():
    png, _ = image.encode(PAGES[0], "a.png", image.Photo(PAGES[0]))
    one, _ = image.encode(PAGES[0], "a.tif", image.Photo(PAGES[0]))
    for data, name in ((png, "b.png"), (one, "b.tif"), (one, "b.png")):
        assert restored(data, name=name).data == restored(data, name=name, settings=Settings(provenance=False)).data


def test_a_run_writes_all_pages(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff())
    jobs = [Job(tmp_path / "a.tif", tmp_path / "b.tif"), Job(tmp_path / "a.tif", tmp_path / "b.png")]
    done, failed = restore_files(Adder(), jobs, ALL)
    assert (done.status, failed.status) == ("done", "failed")
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert len(file.pages) == 3
    assert "holds one" in failed.error


def _profile() -> bytes:
    return bytes(pyvips.Image.profile_load("p3"))
