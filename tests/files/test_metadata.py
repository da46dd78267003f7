"""Metadata are copied, not rewritten: EXIF, comments, texts and tags, judged by Pillow, tifffile and exiftool."""

import io
import json
import shutil
import struct
import subprocess
import time
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from idrestore.files import exif, image, jpeg, raw, xmp
from idrestore.files.provenance import add_provenance

PIXELS = np.random.default_rng(0).integers(60, 180, (24, 40, 3), np.uint8)
NOTE = b"MAKER\0\0\1" + bytes(range(200))
SUFFIXES = [".jpg", ".png", ".webp", ".tif", ".avif"]
needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")


def values(order):
    """A camera's EXIF: names, a rating, a computer, a maker note, a size, a place."""
    short, rational = (lambda v: exif.Value(3, 1, struct.pack(order + "H", v))), struct.Struct(order + "6I")
    text = lambda s: exif.Value(2, len(s.encode()) + 1, s.encode() + b"\0")  # noqa: E731
    return {
        271: text("Camera"),
        272: text("Model 7"),
        274: short(6),
        316: text("a phone"),
        18246: short(4),
        33432: text("Zoë"),
        exif.EXIF_POINTER: {
            34855: short(800),
            37500: exif.Value(7, len(NOTE), NOTE),
            40962: exif.Value(4, 1, struct.pack(order + "I", 40)),
            40963: exif.Value(4, 1, struct.pack(order + "I", 24)),
        },
        exif.GPS_POINTER: {1: text("N"), 2: exif.Value(5, 3, rational.pack(47, 1, 22, 1, 8, 1))},
    }


def block(order="<"):
    return exif.packed(values(order), order)


def jpeg_of(*segments):
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", quality=92, dpi=(300, 300))
    data = file.getvalue()
    return data[:2] + b"".join(b"\xff" + jpeg.application(marker, held) for marker, held in segments) + data[2:]


def opened(path):
    """Open a picture from memory: Pillow would leave the file open."""
    return Image.open(io.BytesIO(path.read_bytes()))


def restored(data, folder, suffix, provenance=False):
    photo = image.read(data)
    if provenance:
        photo, _ = add_provenance(photo, "fast", "0" * 64, {"noise": 1.0})
    path = folder / f"restored{suffix}"
    path.unlink(missing_ok=True)
    losses = image.write(photo.pixels, path, like=photo)
    return path, losses


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("provenance", [False, True])
def test_maker_notes_keep_their_bytes_and_their_place(tmp_path, order, provenance):
    before = block(order)
    path, losses = restored(jpeg_of((0xE1, jpeg.EXIF + before)), tmp_path, ".jpg", provenance)
    after = opened(path).info["exif"].removeprefix(jpeg.EXIF)
    assert losses == ()
    assert after.find(NOTE) == before.find(NOTE) > 0
    changed = [place for place in range(len(before)) if before[place] != after[place]]
    assert len(changed) <= (3 if not provenance else 7)  # orientation, size; where the first directory is


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_of_a_jpeg_is_in_every_format(tmp_path, suffix, order):
    path, _ = restored(jpeg_of((0xE1, jpeg.EXIF + block(order))), tmp_path, suffix, provenance=True)
    after = opened(path).getexif()
    assert (after[271], after[272]) == ("Camera", "Model 7")
    assert after[316] == "a phone"
    assert after[18246] == 4
    assert after.get(274, 1) == 1
    assert after[305].startswith("idrestore")
    inner = after.get_ifd(exif.EXIF_POINTER)
    assert inner[34855] == 800
    assert inner[37500] == NOTE
    assert (inner[40962], inner[40963]) == (24, 40)  # turned upright
    assert after.get_ifd(exif.GPS_POINTER)[2] == (47, 22, 8)
    assert np.array(opened(path).convert("RGB")).shape == (40, 24, 3)


@needs_exiftool
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_exiftool_reads_all_of_it_without_a_warning(tmp_path, suffix):
    path, _ = restored(jpeg_of((0xE1, jpeg.EXIF + block())), tmp_path, suffix, provenance=True)
    found = subprocess.run(["exiftool", "-j", "-a", path], capture_output=True, text=True, check=True).stdout
    (tags,) = json.loads(found)
    assert {"Make": "Camera", "Rating": 4, "HostComputer": "a phone", "ISO": 800}.items() <= tags.items()
    assert tags["GPSLatitude"].startswith("47 deg 22'")
    assert tags.get("Warning") == "[minor] Unrecognized MakerNotes"  # as in the photo: no maker writes such


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif"])
def test_a_photo_without_exif_gets_no_colour_space(tmp_path, suffix):
    path, _ = restored(jpeg_of(), tmp_path, suffix, provenance=True)
    found = opened(path).getexif()
    assert set(found) <= {305, exif.EXIF_POINTER}
    assert not found.get_ifd(exif.EXIF_POINTER)


def test_what_applications_noted_in_a_jpeg_stays(tmp_path):
    extension = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + struct.pack(">II", 3, 0) + b"<x>"
    kept = [(0xFE, "Grüße".encode()), (0xFE, b"second"), (0xEC, b"Ducky\0\1\2"), (0xE1, extension), (0xE5, b"own")]
    photoshop = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0c\x1c\x02\x78\0\x07a title"
    gone = [(0xE2, b"MPF\0..."), (0xEB, b"JP\0\1jumb"), (0xE2, b"urn:iso:std:iso:ts:21496:-1\0...")]
    data = jpeg_of(*kept, (0xED, photoshop), *gone)
    assert set(image.read(data).notes) == {
        "other pictures in the file were left out",
        "the HDR gain map was left out",
        "content credentials (C2PA) were left out: they vouch for the original alone",
    }
    path, losses = restored(data, tmp_path, ".jpg", provenance=True)
    written = path.read_bytes()
    assert losses == ()
    for marker, held in [*kept, (0xED, photoshop)]:
        assert written.count(b"\xff" + jpeg.application(marker, held)) == 1
    assert not any(held in written for _, held in gone)
    assert opened(path).info["dpi"] == (300, 300)
    assert any("what only JPEG holds" in loss for loss in restored(data, tmp_path, ".png")[1])


def test_exif_too_long_for_a_jpeg_is_said_to_be_lost(tmp_path):
    file = io.BytesIO()
    info = PngImagePlugin.PngInfo()
    long = exif.packed({270: exif.Value(2, 70_000, b"x" * 69_999 + b"\0")})
    Image.fromarray(PIXELS).save(file, "PNG", exif=long, pnginfo=info)
    path, losses = restored(file.getvalue(), tmp_path, ".jpg", provenance=True)
    assert losses == ("EXIF was not kept: JPEG holds 64 kB of it",)
    assert not opened(path).getexif()
    assert opened(restored(file.getvalue(), tmp_path, ".png")[0]).getexif()[270] == "x" * 69_999


def test_texts_of_a_png_stay_before_and_behind_its_pixels(tmp_path):
    file = io.BytesIO()
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "the pond")
    info.add_text("Comment", "y" * 3000, zip=True)
    info.add_itxt("Author", "Zoë 雪", lang="de", tkey="Autor")
    Image.fromarray(PIXELS).save(file, "PNG", pnginfo=info)
    end = file.getvalue()[-12:]
    data = file.getvalue()[:-12] + chunk(b"tIME", struct.pack(">H5B", 2024, 5, 6, 7, 8, 9))
    data += chunk(b"tEXt", b"Late\0said at the end") + end
    path, _ = restored(data, tmp_path, ".png", provenance=True)
    picture = opened(path)
    picture.load()
    assert picture.text["Title"] == "the pond"
    assert picture.text["Comment"] == "y" * 3000
    assert (picture.text["Author"], picture.text["Author"].lang) == ("Zoë 雪", "de")
    assert picture.text["Late"] == "said at the end"
    assert path.read_bytes().count(b"tIME") == 1


def chunk(kind, held):
    return struct.pack(">I", len(held)) + kind + held + struct.pack(">I", zlib.crc32(kind + held))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_tags_of_a_tiff_stay(tmp_path, order, big):
    file = io.BytesIO()
    extra = [
        (315, "s", 0, "Zoe", True),
        (33432, "s", 0, "all rights", True),
        (33550, "d", 3, (10.0, 10.0, 0.0), True),
        (34735, "H", 4, (1, 1, 0, 0), True),
    ]
    tifffile.imwrite(file, PIXELS, byteorder=order, bigtiff=big, photometric="rgb", extratags=extra)
    path, losses = restored(file.getvalue(), tmp_path, ".tif", provenance=True)
    with tifffile.TiffFile(path) as after:
        tags = {tag.code: tag.value for tag in after.pages[0].tags.values()}
        assert np.array_equal(after.asarray(), PIXELS)
    assert (tags[315], tags[33432]) == ("Zoe", "all rights")
    assert tags[33550] == (10.0, 10.0, 0.0)
    assert tags[34735] == (1, 1, 0, 0)
    assert tags[305].startswith("idrestore")
    assert losses == ()


def test_a_tag_that_libtiff_warns_of_is_no_damage(tmp_path):
    file = io.BytesIO()
    tifffile.imwrite(file, PIXELS, photometric="rgb", extratags=[(33432, 2, 4, b"a\0bc", True)])
    assert np.array_equal(image.read(file.getvalue()).pixels, PIXELS)


def test_exif_goes_from_tiff_to_tiff_and_to_jpeg(tmp_path):
    first, _ = restored(jpeg_of((0xE1, jpeg.EXIF + block())), tmp_path, ".tif")
    data = first.read_bytes()
    for suffix in (".tif", ".jpg"):
        path, losses = restored(data, tmp_path, suffix)
        inner = opened(path).getexif().get_ifd(exif.EXIF_POINTER)
        assert inner[34855] == 800
        assert inner[37500] == NOTE
        assert losses == ("the maker notes of EXIF were moved, and may not be readable",)


def test_xmp_says_what_is_true_of_the_result():
    packet = (
        b'<rdf:Description tiff:Orientation="6" hdrgm:Version="1.0" hdrgm:GainMapMax="2.1" dc:format="image/jpeg" '
        b"GCamera:MicroVideo='1' GCamera:MicroVideoOffset=\"123\"><xmp:Rating>3</xmp:Rating>"
        b"<Container:Directory><rdf:Seq><rdf:li>x</rdf:li></rdf:Seq></Container:Directory>"
        b"<GCamera:MotionPhoto>1</GCamera:MotionPhoto><tiff:Orientation>8</tiff:Orientation></rdf:Description>"
    )
    assert xmp.has_gain_map(packet) and xmp.has_video(packet)
    assert xmp.consistent(packet) == (
        b'<rdf:Description tiff:Orientation="1" dc:format="image/jpeg"><xmp:Rating>3</xmp:Rating>'
        b"<tiff:Orientation>1</tiff:Orientation></rdf:Description>"
    )


def test_any_bytes_are_no_error():
    rng = np.random.default_rng(1)
    sound = block()
    for _ in range(3000):
        damaged = bytearray(sound[: rng.integers(0, len(sound) + 1)])
        for place in rng.integers(0, max(1, len(damaged)), 4):
            if damaged:
                damaged[place] = rng.integers(0, 256)
        changed = exif.with_software(exif.upright(bytes(damaged), 5, 6), "idrestore")
        exif.software(changed)
        exif.unpacked(changed)


def test_much_room_in_xmp_takes_no_time():
    """By its square it would be a minute; the limit is what a slow machine needs a hundred times over."""
    packet = b"<x:xmpmeta>" + b" " * 60_000 + b"</x:xmpmeta>"
    start = time.process_time()
    assert xmp.consistent(packet) == packet
    assert time.process_time() - start < 2


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_of_raw_files_that_are_no_tiff(order):
    """Of Canon's CR3 and Fujifilm's RAF the containers alone, made by hand; there are no pixels in them."""
    directories = values(order)
    inner, place = directories.pop(exif.EXIF_POINTER), directories.pop(exif.GPS_POINTER)
    parts = {b"CMT1": directories, b"CMT2": inner, b"CMT4": place}
    boxes = b"".join(box(kind, exif.packed(each, order)) for kind, each in parts.items())
    canon = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
    cr3 = box(b"ftyp", b"crx \0\0\0\1") + box(b"moov", box(b"uuid", canon + boxes))
    preview = jpeg_of((0xE1, jpeg.EXIF + block(order)))
    raf = b"FUJIFILMCCD-RAW ".ljust(84, b"\0") + struct.pack(">II", 100, len(preview)) + bytes(8) + preview
    for data in (cr3, raf):
        found = exif.unpacked(raw.look(io.BytesIO(data)).exif)
        assert found[272].data == b"Model 7\0"
        assert found[exif.EXIF_POINTER][34855] == inner[34855]
        assert found[exif.GPS_POINTER] == place
        for length in range(0, len(data), 7):
            raw.look(io.BytesIO(data[:length]))


def box(kind, held):
    return struct.pack(">I", 8 + len(held)) + kind + held
