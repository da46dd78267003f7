"""Whole files for `fuzz.py`: small, of each kind that a container has, with metadata."""

import base64
import io
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
import tifffile
from PIL import Image

KINDS = ("jpg", "png", "webp", "tif", "pages", "avif", "heic", "gif", "bmp", "jp2", "raw", "safetensors")
Y, X = np.mgrid[:24, :32]
COLOUR = np.stack([X * 8, Y * 10, (X * Y) % 256], axis=2).astype(np.uint8)
DEEP = np.dstack([COLOUR, COLOUR[..., 0]]).astype(np.uint16) * 257
CHROMATICITIES = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6"/></x:xmpmeta>'
# Two tiles of 64 x 64 and one colour, made with avifenc --grid 2x1.
GRID_AVIF = base64.b64decode(
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUEAAAF/bWV0YQAAAAAAAAAoaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAGxpYmF2aWYA"
    "AAAADnBpdG0AAAAAAAEAAAA6aWxvYwAAAABEAAADAAEAAAABAAABpwAAAAgAAgAAAAEAAAGvAAAAJAADAAAAAQAAAa8AAAAkAAAAXGlpbmYAAAAA"
    "AAMAAAAaaW5mZQIAAAAAAQAAZ3JpZENvbG9yAAAAABppbmZlAgAAAQACAABhdjAxQ29sb3IAAAAAGmluZmUCAAABAAMAAGF2MDFDb2xvcgAAAAAc"
    "aXJlZgAAAAAAAAAQZGltZwABAAIAAgADAAAAi2lwcnAAAABfaXBjbwAAABRpc3BlAAAAAAAAAIAAAABAAAAAEHBpeGkAAAAAAwgICAAAABNjb2xy"
    "bmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAAAxhdjFDgSAAAAAAACRpcG1hAAAAAAAAAAMAAQMBAgMAAgQEAoUDAAMEBAKFAwAAADRt"
    "ZGF0AAAAAQCAAEASAAoJOBV//YQENBpAMhUWQAYYYYQAwbY/dV4HrmnYVNvwR2A="
)


def whole_files() -> dict[str, list[bytes]]:
    """Make them: for each kind, all that its container may hold."""
    makers = (jpegs, pngs, webps, tiffs, pages, avifs, heics, gifs, bmps, jpeg_2000s, raws, models)
    return {kind: make() for kind, make in zip(KINDS, makers, strict=True)}


def jpegs() -> list[bytes]:
    plain = by_vips(COLOUR, ".jpg")
    several = plain + by_pillow(COLOUR, "JPEG")  # as in a multi-picture file
    return [
        plain,
        several,
        by_vips(COLOUR[..., 1], ".jpg"),
        by_vips(COLOUR, ".jpg", interlace=True, subsample_mode="off", optimize_coding=True),
        by_pillow(np.dstack([COLOUR, COLOUR[..., :1]]), "JPEG", mode="CMYK"),
        by_pillow(COLOUR, "JPEG", restart_marker_blocks=2, comment=b"a comment"),
        by_pillow(COLOUR, "JPEG", subsampling=1, exif=exif(), xmp=XMP),
    ]


def pngs() -> list[bytes]:
    plain = by_vips(COLOUR, ".png")
    texts = chunk(b"zTXt", b"key\0\0" + zlib.compress(b"text " * 400)) + chunk(b"tEXt", b"Title\0the pond")
    texts += chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP)) + chunk(
        b"gAMA", struct.pack(">I", 45455)
    )
    texts += chunk(b"cHRM", struct.pack(">8I", *CHROMATICITIES))
    texts += chunk(b"cICP", bytes((12, 13, 0, 1)))
    gamma = chunk(b"gAMA", struct.pack(">I", 55000)) + chunk(b"cHRM", struct.pack(">8I", *CHROMATICITIES))
    grey = by_pillow(COLOUR[..., 0], "PNG")
    hexadecimal = f"\nexif\n{len(exif())}\n{exif().hex()}\n".encode()
    return [
        plain,
        plain[:33] + texts + plain[33:],
        grey[:33] + gamma + chunk(b"eXIf", exif()) + grey[33:],
        grey[:33] + chunk(b"sRGB", b"\1") + grey[33:],
        plain[:-12] + chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(hexadecimal)) + plain[-12:],
        by_vips(DEEP, ".png", interlace=True),
        by_vips(COLOUR, ".png", palette=True),
        by_vips(COLOUR[..., 0], ".png", bitdepth=1),
    ]


def webps() -> list[bytes]:
    return [
        by_vips(COLOUR, ".webp"),
        by_vips(np.dstack([COLOUR, COLOUR[..., 0]]), ".webp"),
        by_vips(COLOUR, ".webp", lossless=True),
        by_pillow(COLOUR, "WEBP", save_all=True, append_images=[Image.fromarray(255 - COLOUR)]),
    ]


def tiffs() -> list[bytes]:
    tiles = {"tile": True, "tile_width": 16, "tile_height": 16}
    planes = np.ascontiguousarray(COLOUR.transpose(2, 0, 1))
    old_jpeg = by_vips(COLOUR, ".tif", compression="jpeg", **tiles).replace(
        struct.pack("<HHIHH", 259, 3, 1, 7, 0), struct.pack("<HHIHH", 259, 3, 1, 6, 0)
    )
    return [
        by_vips(COLOUR, ".tif", compression="lzw", predictor="horizontal"),
        by_vips(DEEP, ".tif", compression="deflate", **tiles),
        by_vips(COLOUR, ".tif", compression="jpeg", bigtiff=True, **tiles),
        old_jpeg,
        by_vips(COLOUR[..., 0], ".tif", compression="ccittfax4", bitdepth=1),
        by_tifffile(planes, photometric="rgb", planarconfig="separate", rowsperstrip=5),
        by_tifffile(planes, photometric="rgb", planarconfig="separate", tile=(16, 16)),
        by_tifffile(np.stack([COLOUR, COLOUR]), photometric="rgb", byteorder=">", bigtiff=True),
        by_tifffile((COLOUR / 255).astype(np.float32), photometric="rgb"),
        by_tifffile((COLOUR / 255).astype(np.float16), photometric="rgb", tile=(16, 16)),
        by_tifffile(COLOUR.astype(np.uint16), photometric="cielab"),
    ]


def pages() -> list[bytes]:
    several = np.stack([COLOUR, 255 - COLOUR, COLOUR])
    return [
        by_tifffile(several, photometric="rgb"),
        by_tifffile(several, photometric="rgb", byteorder=">", bigtiff=True, tile=(16, 16), compression="zlib"),
        by_tifffile(DEEP, photometric="rgb", extrasamples=["unassalpha"]),
    ]


def avifs() -> list[bytes]:
    deep = by_vips(DEEP, ".avif", compression="av1", bitdepth=10, effort=0)
    return [by_vips(COLOUR, ".avif", compression="av1", effort=0), deep, GRID_AVIF]


def heics() -> list[bytes]:
    import pillow_heif

    pillow_heif.register_heif_opener()
    whole = by_pillow(COLOUR, "HEIF", exif=exif(), xmp=XMP)
    deep = io.BytesIO()
    pillow_heif.encode("RGB;16", (32, 24), np.ascontiguousarray(DEEP[..., :3]).tobytes(), deep)
    pillow_heif.options.GRID_TILE_SIZE = 64
    grid = by_pillow(np.full((64, 128, 3), 90, np.uint8), "HEIF")
    pillow_heif.options.GRID_TILE_SIZE = 0
    return [whole, deep.getvalue(), grid]


def gifs() -> list[bytes]:
    plain = Image.fromarray(COLOUR).quantize(16)
    several = {"save_all": True, "append_images": [plain.rotate(180)]}
    return [saved(plain, "GIF"), saved(plain, "GIF", comment=b"note", xmp=XMP, loop=0, **several)]


def bmps() -> list[bytes]:
    palette = saved(Image.fromarray(COLOUR).quantize(16), "BMP")
    return [by_pillow(COLOUR, "BMP"), palette, saved(Image.fromarray(COLOUR[..., 0] > 99), "BMP")]


def jpeg_2000s() -> list[bytes]:
    plain = by_pillow(COLOUR, "JPEG2000")
    place = plain.index(b"jp2c") - 4
    packet = box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + XMP)
    block = box(b"uuid", b"JpgTiffExif->JP2" + exif().removeprefix(b"Exif\0\0"))
    said = plain[:place] + packet + block + plain[place:]
    return [plain, said, by_pillow(COLOUR, "JPEG2000", no_jp2=True, tile_size=(16, 16))]


def raws() -> list[bytes]:
    """Return a DNG that can be developed, and of a CR3 and a RAF what is read before LibRaw has its say."""
    block = exif().removeprefix(b"Exif\0\0")
    canon = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
    parts = b"".join(box(kind, block) for kind in (b"CMT1", b"CMT2", b"CMT4"))
    cr3 = box(b"ftyp", b"crx \0\0\0\1") + box(b"moov", box(b"uuid", canon + parts))
    preview = by_pillow(COLOUR, "JPEG", exif=exif())
    raf = b"FUJIFILMCCD-RAW ".ljust(84, b"\0") + struct.pack(">II", 92, len(preview)) + preview
    return [raw(), cr3, raf]


def models() -> list[bytes]:
    from idrestore.model import checkpoint
    from idrestore.model.config import PRESETS
    from idrestore.model.network import RestorationNetwork

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.safetensors"
        checkpoint.save(path, RestorationNetwork(PRESETS["tiny"]), {"licence": "CC0"})
        return [path.read_bytes()]


def raw() -> bytes:
    """Return a DNG of 64 x 48 sensor pixels, red, green, green and blue in turn, as a camera's raw file."""
    sensor = ((np.mgrid[:48, :64].sum(axis=0) * 37) % 4000 + 100).astype(np.uint16)
    matrix = np.round(np.array([1.0, 0, 0, 0, 1, 0, 0, 0, 1]) * 10000).astype(int)
    rational = [each for value in matrix for each in (int(value), 10000)]
    tags = [
        (33421, "H", 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, "B", 4, bytes((0, 1, 1, 2)), True),  # CFAPattern
        (50706, "B", 4, bytes((1, 4, 0, 0)), True),  # DNGVersion
        (50708, "s", 0, "Camera 7", True),  # UniqueCameraModel
        (50717, "I", 1, 4095, True),  # WhiteLevel
        (50721, "2i", 9, rational, True),  # ColorMatrix1
        (50728, "2I", 3, (1, 2, 1, 1, 1, 2), True),  # AsShotNeutral
        (50778, "H", 1, 21, True),  # CalibrationIlluminant1: D65
    ]
    return by_tifffile(sensor, photometric="cfa", extratags=tags, metadata=None)


def by_vips(pixels: np.ndarray, suffix: str, **options: object) -> bytes:
    """Encode (H, W) or (H, W, C) with EXIF, XMP and a profile."""
    space = "rgb16" if pixels.dtype == np.uint16 else ("srgb" if pixels.ndim == 3 else "b-w")
    picture = pyvips.Image.new_from_array(pixels, interpretation=space).copy()
    picture.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Software", "Camera 7 (x)")
    picture.set_type(pyvips.GValue.blob_type, "xmp-data", XMP)
    if space == "srgb":
        picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", pyvips.Image.profile_load("p3"))
    data: bytes = picture.write_to_buffer(suffix, **options)
    return data


def by_pillow(pixels: np.ndarray, kind: str, mode: str | None = None, **options: object) -> bytes:
    """Encode an array with Pillow."""
    return saved(
        Image.fromarray(pixels) if mode is None else Image.frombytes(mode, pixels.shape[1::-1], pixels), kind, **options
    )


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    """Encode a picture of Pillow."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def by_tifffile(pixels: np.ndarray, **options: Any) -> bytes:
    """Encode an array with tifffile."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def exif() -> bytes:
    """Return EXIF with a maker and an orientation."""
    tags = Image.Exif()
    tags[0x010F], tags[0x0112] = "Camera", 6
    tags.get_ifd(0x8769)[37500] = b"maker's notes"
    return tags.tobytes()


def box(kind: bytes, content: bytes) -> bytes:
    """Return a box of JPEG 2000, or of a film."""
    return struct.pack(">I", 8 + len(content)) + kind + content


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
