"""What reading refuses, what it does not, and what it costs; files are made by Pillow, tifffile and by hand."""

import io
import json
import os
import re
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import pyvips
import tifffile

from idrestore.files import image
from idrestore.files.containers import DamagedError
from idrestore.files.image import ImageError
from idrestore.files.jpeg import mended

Image = pytest.importorskip("PIL.Image", reason="Pillow makes the files")

ROWS, COLUMNS = np.mgrid[:96, :128]
NOISE = np.random.default_rng(0).integers(0, 16, (96, 128, 3))
PIXELS = (np.stack([ROWS, COLUMNS, ROWS + COLUMNS], axis=2) + NOISE).astype(np.uint8)
PLANES = np.ascontiguousarray(PIXELS.transpose(2, 0, 1))
LZW_TILES = {"compression": "lzw", "tile": True, "tile_width": 32, "tile_height": 32}


def tiff(pixels=PIXELS, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **{"photometric": "rgb", **options})
    return file.getvalue()


def jpeg(**options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", **{"quality": 87, **options})
    return file.getvalue()


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    return file.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def patched(data: bytes, tag: int, value: int) -> bytes:
    """Return a little-endian classic TIFF with another first value of a tag."""
    data = bytearray(data)
    (place,) = struct.unpack_from("<I", data, 4)
    for at in range(place + 2, place + 2 + 12 * struct.unpack_from("<H", data, place)[0], 12):
        found, kind, count, where = struct.unpack_from("<HHII", data, at)
        if found == tag:
            form = {3: "<H", 4: "<I"}[kind]
            elsewhere = count * struct.calcsize(form) > 4
            struct.pack_into(form, data, where if elsewhere else at + 8, value)
    return bytes(data)


LAYOUTS = {
    "strips": tiff(rowsperstrip=16),
    "one strip": tiff(),
    "planar strips": tiff(PLANES, planarconfig="separate", rowsperstrip=16),
    "deflated strips": tiff(rowsperstrip=16, compression="zlib"),
    "tiles": tiff(tile=(32, 32)),
    "deflated tiles": tiff(tile=(32, 32), compression="zlib"),
    "BigTIFF": tiff(tile=(32, 32), bigtiff=True),
    "big-endian tiles": tiff(tile=(32, 32), byteorder=">"),
    "pages": tiff(np.stack([PIXELS, PIXELS]), tile=(32, 32))[:-7],  # what is missing is of the second
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tiff_is_read_whole_or_not_at_all(layout):
    whole = LAYOUTS[layout]
    np.testing.assert_array_equal(image.read(whole).pixels, PIXELS)
    cuts = (1 / 3,) if layout == "pages" else (0.3, 0.5, 0.9, 1 - 1 / len(whole))
    for share in cuts:
        with pytest.raises(ImageError, match="damaged or cut short"):
            image.read(whole[: int(len(whole) * share)])


@pytest.mark.parametrize(("layout", "tag"), [("strips", 279), ("tiles", 325), ("strips", 273), ("tiles", 324)])
def test_a_strip_or_tile_that_is_nowhere_is_missed(layout, tag):
    with pytest.raises(ImageError, match=r"1 of .* strips or tiles are missing"):
        image.read(patched(LAYOUTS[layout], tag, 0))


def test_a_tile_that_cannot_be_decoded_is_not_black():
    data = bytearray(pyvips.Image.new_from_array(PIXELS).tiffsave_buffer(**LZW_TILES))
    middle = len(data) // 2
    data[middle : middle + 40] = b"\xff" * 40
    with pytest.raises(ImageError, match="damaged"):
        image.read(bytes(data))


@pytest.mark.parametrize(
    ("data", "used"),
    [
        (tiff(compression="lzma"), "LZMA compression"),
        (patched(tiff(), 259, 50000), "Zstandard compression"),
        (patched(tiff(), 259, 34712), "JPEG 2000 compression"),
        (patched(tiff(tile=(32, 32)), 259, 6), "old-style JPEG compression"),
        (tiff(PLANES, planarconfig="separate", tile=(32, 32)), "tiles with a plane for each channel"),
        (tiff(photometric="cielab"), "CIELAB of 8 bits"),
        (patched(patched(tiff(), 259, 7), 258, 12), "JPEG of 12 bits"),
        (jpeg().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"), "JPEG of 12 bits"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_sound_and_not_read_is_named(data, used):
    with pytest.raises(ImageError, match=f"is a (TIFF of )?{used}, which is not read: save it as") as caught:
        image.read(data)
    assert "damaged" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_without_its_end_marker_has_all_its_pixels(progressive, missing):
    whole = jpeg(progressive=progressive)
    photo = image.read(whole[:-missing])
    np.testing.assert_array_equal(photo.pixels, image.read(whole).pixels)
    assert photo.notes == ("the end of the file is missing; every pixel is there",)
    for ended in (whole, whole + bytes(3 << 20)):  # a film may hang behind
        assert image.read(ended).notes == ()


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_cut_inside_its_scan_is_refused(progressive):
    whole = jpeg(progressive=progressive)
    for length in (len(whole) - 6, len(whole) // 2, whole.index(b"\xff\xda") + 30):
        with pytest.raises(ImageError, match="damaged or cut short"):
            image.read(whole[:length])


def test_a_progressive_jpeg_without_its_last_scans_is_refused():
    """Cut between two scans it decodes without a complaint, only coarser."""
    whole = jpeg(progressive=True)
    scans = [found.start() for found in re.finditer(b"\xff\xda", whole)]
    for start in scans[1:]:
        with pytest.raises(ImageError, match="its last scans are missing"):
            image.read(whole[:start])


def test_a_jpeg_with_a_hole_is_refused_and_one_with_a_tail_is_not():
    whole = jpeg()
    middle = len(whole) // 2
    with pytest.raises(ImageError, match="damaged or cut short"):
        image.read(whole[:middle] + whole[middle + 200 :])
    for harmless in (whole + b"a film" * 100, whole[:-2] + b"\x12\x34" + whole[-2:]):
        photo = image.read(harmless)
        np.testing.assert_array_equal(photo.pixels, image.read(whole).pixels)
        assert photo.notes == ()


def test_a_png_without_its_end_chunk_is_read_with_a_note():
    photo = image.read(png()[:-12])
    np.testing.assert_array_equal(photo.pixels, PIXELS)
    assert photo.notes == ("the end of the file is missing; every pixel is there",)


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_a_webp_or_avif_cut_short_is_refused(kind):
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind)
    for length in (len(file.getvalue()) - 2, len(file.getvalue()) // 2):
        with pytest.raises(ImageError, match="damaged or cut short"):
            image.read(file.getvalue()[:length])


def bombs() -> dict[str, bytes]:
    """Return small pictures, each with more metadata than a photo has; the PNGs' are compressed."""
    large, mega = bytes(80 << 20), 1 << 20
    packed = zlib.compress(bytes(mega))
    texts = b"".join(png_chunk(b"zTXt", b"key%d\0\0" % number + packed) for number in range(120))
    unicode = b"".join(png_chunk(b"iTXt", b"key%d\0\1\0\0\0" % number + packed) for number in range(120))
    profile = png_chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(120 * mega), 1))
    segment = b"\xff\xe5\xff\xff" + bytes(65533)
    webp = io.BytesIO()
    Image.fromarray(PIXELS).save(webp, "WEBP", xmp=b"<x/>", lossless=True)
    riff = webp.getvalue() + b"EXIF" + struct.pack("<I", len(large)) + large
    avif = io.BytesIO()
    Image.fromarray(PIXELS).save(avif, "AVIF", exif=b"II*\0" + large)
    return {
        "zTXt": png()[:33] + texts + png()[33:],
        "iTXt": png()[:33] + unicode + png()[33:],
        "iTXt behind": png()[:-12] + unicode + png()[-12:],
        "iCCP": png()[:33] + profile + png()[33:],
        "JPEG": jpeg()[:2] + segment * 1200 + jpeg()[2:],
        "TIFF": tiff(extratags=[(65000, 1, len(large), large, True)]),
        "WebP": riff[:4] + struct.pack("<I", len(riff) - 8) + riff[8:],
        "AVIF": avif.getvalue(),
    }


PROGRAM = """
import json, os, resource, sys
from idrestore.files import image

image.read(sys.argv[1])
said = {}
for name in sys.argv[1:]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        image.read(name)
        said[name] = ["read"]
    except image.ImageError as error:
        said[name] = [str(error)]
    said[name].append((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
print(json.dumps(said))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts kilobytes there")
def test_memory_is_bounded_by_what_is_looked_at_first(tmp_path):
    """The order matters: memory is counted at its highest."""
    (tmp_path / "sound").write_bytes(LAYOUTS["tiles"])
    (tmp_path / "sparse").write_bytes(LAYOUTS["tiles"])
    os.truncate(tmp_path / "sparse", 6 << 30)
    made = bombs()
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    command = [sys.executable, "-c", PROGRAM, "sound", "sparse", *made]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    said = json.loads(done.stdout)
    assert said.pop("sound")[0] == said.pop("sparse")[0] == "read"
    for name, (line, _) in said.items():
        assert line.startswith(f"{name} holds more than 64 MiB of metadata: remove them first"), line
    grown = [mebibytes for _, mebibytes in json.loads(done.stdout).values()]
    assert sum(grown) < 150


@pytest.mark.parametrize(
    "head",
    [b"GIF89a", b"\xff\x0a", b"\0\0\0\x0cjP  \r\n\x87\n", b"RIFF....WEBP", b"....ftypavif", b"....ftypheic", b"IIRO"],
)
def test_what_a_decoder_holds_as_a_whole_has_a_gigabyte_at_most(tmp_path, head):
    (tmp_path / "large").write_bytes(head)
    os.truncate(tmp_path / "large", (1 << 30) + 1)
    with pytest.raises(ImageError, match=r"large is larger than 1 GiB: save it as TIFF or PNG first"):
        image.read(tmp_path / "large")


def test_much_text_is_read(tmp_path):
    """A photo with 10 MiB of text, as some editors keep in XMP."""
    text = png_chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(10 << 20)))
    np.testing.assert_array_equal(image.read(png()[:33] + text + png()[33:]).pixels, PIXELS)


@pytest.mark.parametrize("made", [tiff, jpeg, png])
def test_a_header_tells_size_and_depth_without_pixels(made):
    header = image.inspect(made()[: len(made()) * 9 // 10] if made is not tiff else made())
    assert (header.format.lower(), header.width, header.height, header.depth) == (made.__name__, 128, 96, 8)


def test_a_header_tells_sixteen_bits_and_how_it_is_held():
    header = image.inspect(tiff(PIXELS.astype(np.uint16) * 257, metadata=None, extratags=[(274, "H", 1, 6, True)]))
    assert (header.width, header.height, header.depth) == (96, 128, 16)


def test_a_complaint_that_is_no_text_does_not_spoil_the_next_photo():
    """libvips quotes the property's name, and pyvips would raise the same for each failure from then on."""
    picture = pyvips.Image.new_from_array(np.dstack([PIXELS, PIXELS[..., 0]]))
    with pytest.raises(ImageError, match="damaged or cut short"):
        image.read(picture.heifsave_buffer(compression="av1").replace(b"auxC", b"au_\xcb"))
    with pytest.raises(ImageError, match="damaged or cut short"):
        image.read(jpeg()[:500])
    np.testing.assert_array_equal(image.read(png()).pixels, PIXELS)


def test_a_complaint_of_which_nothing_is_left_is_damage_too():
    """Another thread may have read what libvips had to say."""
    with pytest.raises(DamagedError, match="its data are wrong"):
        mended(io.BytesIO(), "")
