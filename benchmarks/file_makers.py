"""Makers of small files of every kind that cameras, phones, scanners and programs make, for `files.py`.

They are made by Pillow, tifffile, pillow-heif and avifenc, and by hand where none of these writes what some device
does; no code of the package reads or writes here.
"""

import io
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from PIL import Image, ImageCms

ROWS, COLUMNS = np.mgrid[:32, :48]
PIXELS = np.stack([ROWS * 6 + 20, COLUMNS * 4 + 30, 220 - ROWS * 2 - COLUMNS * 2], axis=2).astype(np.uint8)
"""Smooth, so that every encoder stays close, and without any symmetry"""
DEEP = (PIXELS.astype(np.uint16) << 8) + np.arange(48, dtype=np.uint16)[:, None]
GREY, DEEP_GREY = PIXELS[..., 1], DEEP[..., 1]
ALPHA, DEEP_ALPHA = PIXELS[..., 0], DEEP[..., 0]
NOTE = b"MAKER\0\0\1" + bytes(range(200))
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    b' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"'
    b' xmp:Rating="4" photoshop:City="Z\xc3\xbcrich"%s/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
PLAIN_XMP = XMP % b""
LOSSY = 6.0
"""Mean difference, in steps of 8 bits, by which a lossy format may be off, coded twice"""


class Result(NamedTuple):
    """What became of a case: a file, the notes that were printed, and what exiftool reads in the file."""

    data: bytes
    notes: tuple[str, ...]
    tags: dict[str, Any]

    @property
    def picture(self) -> Image.Image:
        """The file as Pillow opens it."""
        return Image.open(io.BytesIO(self.data))


Proof = Callable[[Result], bool]
"""Whether a result holds a feature"""


@dataclass(frozen=True)
class Case:
    """A file, and how to tell what became of something that it holds."""

    format: str
    """Column of the table"""
    feature: str
    """Row of the table"""
    variant: str
    data: bytes
    ending: str
    """Of its name, such as .jpg"""
    pixels: np.ndarray | None
    """(H, W, 3 or 4) that an upright reading gives; None: not compared"""
    tolerance: float = 0.0
    """Mean difference in steps of 8 bits"""
    proof: Proof = lambda result: True
    note: str = ""
    """Regular expression of the note, or of the refusal, that is due where it does not, or holds it in another form"""
    target: str = ""
    """Ending of the result's name; empty: its own, or the substitute's"""
    all_pages: bool = False
    stale: bool = False
    """Whether the feature would be wrong in a result, and has to be gone"""


def saved(picture: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    """Return what Pillow makes of a picture."""
    file = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(file, kind, **options)
    return file.getvalue()


def tiff(pixels: np.ndarray = PIXELS, **options: Any) -> bytes:
    """Return what tifffile makes of an array."""
    file = io.BytesIO()
    colours = "rgb" if pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(file, pixels, **{"photometric": colours, "metadata": None, "software": False, **options})
    return file.getvalue()


def png(pixels: np.ndarray = PIXELS, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of (H, W) or (H, W, C), 8 or 16 bits, with chunks behind its header; Pillow writes no 16-bit RGB."""
    height, width, channels = np.atleast_3d(pixels).shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = np.atleast_3d(pixels).astype(pixels.dtype.newbyteorder(">")).reshape(height, -1)
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, pixels.itemsize * 8, kind, 0, 0, 0)
    ends = (b"IHDR", header), *chunks, (b"IDAT", zlib.compress(body)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in ends)


def chunk(kind: bytes, held: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(held)) + kind + held + struct.pack(">I", zlib.crc32(kind + held))


def avif(pixels: np.ndarray = PIXELS, *options: str) -> bytes:
    """Return what avifenc makes of an array."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "a.png", Path(folder) / "a.avif"
        source.write_bytes(png(pixels))
        command = ["avifenc", "-s", "10", "--min", "0", "--max", "8", *options, str(source), str(target)]
        subprocess.run(command, check=True, capture_output=True)
        return target.read_bytes()


def heic(pixels: np.ndarray = PIXELS, **options: Any) -> bytes:
    """Return what pillow-heif makes of an array of 8 bits, or of 16, of which it keeps 10 or 12."""
    import pillow_heif

    mode = {1: "L", 3: "RGB", 4: "RGBA"}[np.atleast_3d(pixels).shape[2]] + (";16" if pixels.itemsize == 2 else "")
    bits, file = options.pop("bits", 10), io.BytesIO()
    pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
    try:
        size = pixels.shape[1::-1]
        rows = np.ascontiguousarray(pixels).tobytes()
        pillow_heif.encode(mode, size, rows, file, **{"quality": 95, "chroma": 444, **options})
    finally:
        pillow_heif.options.SAVE_HDR_TO_12_BIT = False
    return file.getvalue()


def segment(marker: int, held: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(held) + 2) + held


def jpeg(*segments: bytes, **options: Any) -> bytes:
    """Return what Pillow makes of `PIXELS`, with segments behind its first marker."""
    data = saved(PIXELS, "JPEG", **{"quality": 92, "subsampling": 0, **options})
    return data[:2] + b"".join(segments) + data[2:]


def exif(orientation: int = 1, order: str = "<", thumbnail: bool = False) -> bytes:
    """Return a camera's EXIF: a TIFF header, and directories."""
    tags = Image.Exif()
    tags.endian = order
    tags[271], tags[272], tags[274], tags[316], tags[18246] = "Camera", "Model 7", orientation, "a phone", 4
    inner, place = tags.get_ifd(0x8769), tags.get_ifd(0x8825)
    inner[34855], inner[36867], inner[37500], inner[42036] = 800, "2024:05:06 07:08:09", NOTE, "35mm"
    inner[40962], inner[40963] = 48, 32
    place[1], place[2] = "N", (47.0, 22.0, 8.0)
    block = tags.tobytes().removeprefix(b"Exif\0\0")
    return with_thumbnail(block, order) if thumbnail else block


def with_thumbnail(block: bytes, order: str) -> bytes:
    """Return a block of EXIF with a second directory, of a small JPEG."""
    small = saved(Image.fromarray(PIXELS).resize((12, 8)), "JPEG")
    (first,) = struct.unpack_from(order + "I", block, 4)
    (number,) = struct.unpack_from(order + "H", block, first)
    link, second = first + 2 + 12 * number, len(block) + len(block) % 2
    entries = [(259, 3, 1, 6), (513, 4, 1, second + 2 + 3 * 12 + 4), (514, 4, 1, len(small))]
    rows = [
        struct.pack(order + "HHI", tag, kind, n) + struct.pack(order + ("H2x" if kind == 3 else "I"), value)
        for tag, kind, n, value in entries
    ]
    whole = bytearray(block.ljust(second, b"\0"))
    struct.pack_into(order + "I", whole, link, second)
    return bytes(whole) + struct.pack(order + "H", 3) + b"".join(rows) + bytes(4) + small


def tiff_with_exif(order: str, orientation: int = 1) -> bytes:
    """Return a TIFF that Pillow wrote the same EXIF into; Pillow writes it in the order of bytes of its own."""
    tags = Image.Exif()
    tags.load(exif(orientation, order))
    tags.endian = order
    return saved(PIXELS, "TIFF", exif=tags)


def dng(shape: tuple[int, int] = (48, 64), bits: int = 12, pattern: bytes = bytes((0, 1, 1, 2)), **tags: Any) -> bytes:
    """Return a raw file of a grey wall, as a camera sees it whose white is (1/2, 1, 1/2), with EXIF of its own."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    colour = np.frombuffer(pattern, np.uint8)[(rows % 2) * 2 + columns % 2]
    white = (1 << bits) - 1
    sensor = (np.where(colour == 1, 0.5, 0.25) * white * (0.3 + 0.6 * columns / shape[1])).astype(np.uint16)
    rational = [each for value in np.eye(3).ravel() for each in (int(value * 10000), 10000)]
    extra = [
        (33421, "H", 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, "B", 4, pattern, True),  # CFAPattern
        (50706, "B", 4, bytes((1, 4, 0, 0)), True),  # DNGVersion
        (50708, "s", 0, "Camera 7", True),  # UniqueCameraModel
        (50717, "I", 1, white, True),  # WhiteLevel
        (50721, "2i", 9, rational, True),  # ColorMatrix1
        (50728, "2I", 3, (1, 2, 1, 1, 1, 2), True),  # AsShotNeutral
        (50778, "H", 1, 21, True),  # CalibrationIlluminant1: D65
        *tags.pop("extra", ()),
    ]
    return tiff(sensor, photometric="cfa", extratags=extra, **tags)


def three(grey: np.ndarray) -> np.ndarray:
    """Return (H, W) as (H, W, 3)."""
    return np.repeat(grey[..., None], 3, axis=2)
