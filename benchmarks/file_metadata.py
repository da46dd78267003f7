"""Cases for `files.py`: what a file says beside its pixels, what else is in it, and what is wrong with it."""

import functools
import hashlib
import io
import itertools
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from file_makers import (
    DEEP,
    GREY,
    LOSSY,
    NOTE,
    PIXELS,
    PLAIN_XMP,
    SRGB,
    XMP,
    Case,
    Proof,
    Result,
    avif,
    chunk,
    dng,
    exif,
    heic,
    jpeg,
    png,
    saved,
    segment,
    three,
    tiff,
    tiff_with_exif,
)  # fmt: skip
from PIL import Image, ImageCms, PngImagePlugin

WRITERS = {"JPEG": ".jpg", "PNG": ".png", "WebP": ".webp", "TIFF": ".tif", "AVIF": ".avif"}
"""Formats that results have"""
P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
"""Red, green and blue of Display P3 (SMPTE EG 432-1), x and y"""
D65 = (0.3127, 0.3290)


def metadata_cases() -> Iterator[Case]:
    """Make them all."""
    for make in (
        profiles,
        large_profiles,
        profiles_of_hdr,
        halved,
        numbers,
        exif_blocks,
        packets,
        packets_of_png,
        texts,
        several,
        phones,
        resolutions,
        damaged,
        moved,
    ):
        yield from make()


def case(kind: str, feature: str, variant: str, data: bytes, proof: Proof, note: str = "") -> Case:
    """Return a case of `PIXELS`, in whichever format."""
    ending = {**WRITERS, "HEIC": ".heic", "GIF": ".gif", "JPEG 2000": ".jp2", "raw": ".dng"}[kind]
    exact = kind in ("PNG", "TIFF", "JPEG 2000")
    pixels = None if kind in ("raw", "GIF") else PIXELS
    return Case(kind, feature, variant, data, ending, pixels, 0 if exact else LOSSY, proof, note)


# Colours


def profile() -> bytes:
    """Return a profile of no usual colours, as lcms writes it."""
    return SRGB.replace(b"sRGB", b"mine")


def profiles() -> Iterator[Case]:
    """ICC profiles, which every format holds."""
    held = profile()
    yield case("JPEG", "ICC profile", "", saved(PIXELS, "JPEG", icc_profile=held, quality=95), has_profile)
    yield case("PNG", "ICC profile", "", png(PIXELS, (b"iCCP", b"mine\0\0" + zlib.compress(held))), has_profile)
    yield case("WebP", "ICC profile", "", saved(PIXELS, "WEBP", icc_profile=held), has_profile)
    yield case("TIFF", "ICC profile", "", tiff(iccprofile=held), has_profile)
    yield case("AVIF", "ICC profile", "", saved(PIXELS, "AVIF", icc_profile=held, quality=95), has_profile)
    yield case("HEIC", "ICC profile", "", heic(icc_profile=held), has_profile)
    yield case("JPEG 2000", "ICC profile", "", with_jp2_profile(saved(PIXELS, "JPEG2000"), held), has_profile)


def large_profiles() -> Iterator[Case]:
    """Profiles that do not fit in one segment of a JPEG, as those of printers."""
    held = large_profile()
    webp, tiff_ = saved(PIXELS, "WEBP", icc_profile=held, quality=95), tiff(iccprofile=held)
    made = {
        "JPEG": saved(PIXELS, "JPEG", icc_profile=held, quality=95),
        "PNG": png(PIXELS, (b"iCCP", b"mine\0\0" + zlib.compress(held))),
        "WebP": webp,
        "TIFF": tiff_,
        "AVIF": saved(PIXELS, "AVIF", icc_profile=held, quality=95),
        "HEIC": heic(icc_profile=held),
    }
    for kind, data in made.items():
        yield case(kind, "ICC profile", "of 200 kB", data, functools.partial(has_profile, held=held))


@functools.cache
def large_profile() -> bytes:
    """Return a profile of 200 kB, most of which nobody reads."""
    return with_tag(profile(), b"priv", b"data" + bytes(4) + np.random.default_rng(0).bytes(200_000))


def with_tag(base: bytes, kind: bytes, held: bytes) -> bytes:
    """Return a profile with a tag more."""
    (number,) = struct.unpack_from(">I", base, 128)
    table = bytearray(base[128 : 132 + 12 * number])
    struct.pack_into(">I", table, 0, number + 1)
    for each in range(number):
        (place,) = struct.unpack_from(">I", table, 8 + 12 * each)
        struct.pack_into(">I", table, 8 + 12 * each, place + 12)
    table += struct.pack(">4sII", kind, len(base) + 12, len(held))
    whole = base[4:128] + table + base[132 + 12 * number :] + held
    return struct.pack(">I", len(whole) + 4) + whole


def profiles_of_hdr() -> Iterator[Case]:
    """Profiles that say by codes that values are PQ or HLG, as browsers and cutting programs write them."""
    for transfer, name in ((16, "PQ"), (18, "HLG")):
        held = with_tag(profile(), b"cicp", b"cicp" + bytes((0, 0, 0, 0, 9, transfer, 0, 1)))
        made = {
            "JPEG": saved(PIXELS, "JPEG", icc_profile=held),
            "PNG": png(DEEP, (b"iCCP", b"mine\0\0" + zlib.compress(held))),
            "WebP": saved(PIXELS, "WEBP", icc_profile=held),
            "TIFF": tiff(DEEP, iccprofile=held),
            "AVIF": saved(PIXELS, "AVIF", icc_profile=held),
            "HEIC": heic(icc_profile=held),
        }
        for kind, data in made.items():
            yield case(kind, "ICC profile of PQ, HLG", name, data, never, rf"HDR \({name}\)")


def has_profile(result: Result, held: bytes = b"") -> bool:
    """Tell whether a picture has that profile."""
    return result.picture.info.get("icc_profile") == (held or profile())


def with_jp2_uuid(name: bytes, held: bytes) -> bytes:
    """Return a JPEG 2000 file with a box of this name, before its code stream."""
    data = saved(PIXELS, "JPEG2000")
    place = data.index(b"jp2c") - 4
    return data[:place] + struct.pack(">I4s16s", 24 + len(held), b"uuid", name) + held + data[place:]


def with_jp2_profile(data: bytes, held: bytes) -> bytes:
    """Return a JPEG 2000 file with a profile in its colour box (ITU-T T.800, I.5.3.3)."""
    place = data.index(b"colr") - 4
    (size,) = struct.unpack_from(">I", data, place)
    box = struct.pack(">I", 11 + len(held)) + b"colr\2\0\0" + held
    header = data.index(b"jp2h") - 4
    (whole,) = struct.unpack_from(">I", data, header)
    grown = struct.pack(">I", whole + len(box) - size)
    return data[:header] + grown + data[header + 4 : place] + box + data[place + size :]


def numbers() -> Iterator[Case]:
    """Colours that are described by numbers, and which of several descriptions counts."""
    gamma, srgb = (b"gAMA", struct.pack(">I", 100000 * 10 // 18)), (b"sRGB", b"\0")
    p3, usual = (b"cICP", bytes((12, 13, 0, 1))), (b"cICP", bytes((1, 13, 0, 1)))
    primaries = (b"cHRM", struct.pack(">8I", *(round(each * 100000) for each in (*D65, *P3))))
    icc = (b"iCCP", b"mine\0\0" + zlib.compress(profile()))
    chunks: dict[str, tuple[tuple[tuple[bytes, bytes], ...], Proof, str]] = {
        "CICP: Display P3": ((p3,), functools.partial(shows, P3, curve), "described by a profile"),
        "CICP: BT.2020": (
            ((b"cICP", bytes((9, 14, 0, 1))),),
            functools.partial(shows, BT2020, bt709),
            "described by a profile",
        ),
        "CICP: PQ, HLG": (((b"cICP", bytes((9, 16, 0, 1))),), never, r"HDR \(PQ\)"),
        "gAMA and cHRM": ((gamma, primaries), functools.partial(shows, P3, power(1.8)), "described by a profile"),
        "gAMA alone": ((gamma,), functools.partial(shows, BT709, power(1.8)), "described by a profile"),
        "sRGB": ((srgb, gamma, primaries), lambda r: "PNG:SRGBRendering" in r.tags and is_srgb(r), ""),
        "iCCP before sRGB, gAMA": ((icc, gamma, primaries), has_profile, ""),
        "cICP before iCCP": ((usual, icc, gamma), is_srgb, "profile of the file was left out|profile"),
    }
    for feature, (held, proof, note) in chunks.items():
        for name, pixels in (("8", PIXELS), ("16", DEEP)):
            yield Case("PNG", feature, name, png(pixels, *held), ".png", pixels, proof=proof, note=note)
    flat = png(GREY, gamma)
    grey_note = "described by a profile"
    grey_proof = functools.partial(shows_grey, power(1.8))
    yield Case("PNG", "gAMA alone", "grey", flat, ".png", three(GREY), proof=grey_proof, note=grey_note)
    yield case("PNG", "CICP: PQ, HLG", "HLG", png(PIXELS, (b"cICP", bytes((9, 18, 0, 1)))), never, r"HDR \(HLG\)")
    made: dict[str, tuple[str, Proof, str]] = {
        "CICP: Display P3": ("12/13/1", functools.partial(shows, P3, curve), "described by a profile"),
        "CICP: BT.2020": ("9/14/9", functools.partial(shows, BT2020, bt709), "described by a profile"),
        "CICP: PQ, HLG": ("9/16/9", never, r"HDR \(PQ\)"),
    }
    for feature, (cicp, proof, note) in made.items():
        for bits in (8, 10):
            data = avif(DEEP if bits > 8 else PIXELS, "--cicp", cicp, "-d", str(bits))
            yield case("AVIF", feature, str(bits), data, proof, note)
            data = with_nclx(heic(DEEP if bits > 8 else PIXELS, bits=bits), *map(int, cicp.split("/")[:2]))
            yield case("HEIC", feature, str(bits), data, proof, note)
    yield case("AVIF", "CICP: PQ, HLG", "HLG", avif(DEEP, "--cicp", "9/18/9", "-d", "10"), never, r"HDR \(HLG\)")


def never(result: Result) -> bool:
    """Tell that what cannot be kept was not."""
    return False


def with_nclx(data: bytes, primaries: int, transfer: int) -> bytes:
    """Return a HEIC whose colours are described by other numbers; those of its YCbCr stay."""
    place = data.index(b"nclx") + 4
    return data[:place] + struct.pack(">HH", primaries, transfer) + data[place + 4 :]


BT709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
BT2020 = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046)


def curve(value: np.ndarray) -> np.ndarray:
    """Return the light of a value in sRGB (IEC 61966-2-1), 0 to 1 both."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def bt709(value: np.ndarray) -> np.ndarray:
    """Return the light of a value in BT.709 and BT.2020, 0 to 1 both."""
    return np.where(value < 0.0812, value / 4.5, ((value + 0.0993) / 1.0993) ** (1 / 0.45))


def power(gamma: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return a curve that is a power."""
    return lambda value: value**gamma


def is_srgb(result: Result) -> bool:
    """Tell whether a picture says nothing of its colours, or that they are sRGB."""
    return result.picture.info.get("icc_profile") is None or shows(BT709, curve, result)


COLOURS = np.array([[[200, 90, 60], [60, 200, 90], [90, 60, 200], [128, 128, 128], [250, 250, 250]]], np.uint8)


def shows(primaries: tuple[float, ...], light: Callable[[np.ndarray], np.ndarray], result: Result) -> bool:
    """Tell whether lcms takes colours for what primaries and a curve make of them; differences in CIELAB, D50."""
    held = result.picture.info.get("icc_profile")
    if held is None:
        return False
    lab = ImageCms.createProfile("LAB")
    found = ImageCms.buildTransform(io.BytesIO(held), lab, "RGB", "LAB").apply(Image.fromarray(COLOURS))
    expected = in_lab(light(COLOURS[0] / 255) @ matrix(primaries).T)
    got = np.stack([np.asarray(found.getchannel(each)).astype(float)[0] for each in range(3)], axis=1)
    got = np.stack([got[:, 0] / 2.55, got[:, 1] - 128, got[:, 2] - 128], axis=1)
    return bool(np.abs(got - expected).max() < 1.5)


def shows_grey(light: Callable[[np.ndarray], np.ndarray], result: Result) -> bool:
    """Tell whether lcms takes greys for what a curve makes of them."""
    held = result.picture.info.get("icc_profile")
    if held is None:
        return False
    levels = np.array([[20, 90, 128, 200, 250]], np.uint8)
    lab = ImageCms.createProfile("LAB")
    found = ImageCms.buildTransform(io.BytesIO(held), lab, "L", "LAB").apply(Image.fromarray(levels))
    expected = in_lab(light(levels[0] / 255)[:, None] * WHITE)[:, 0]
    return bool(np.abs(np.asarray(found.getchannel(0))[0] / 2.55 - expected).max() < 1.5)


WHITE = np.array([0.9642, 1, 0.8249])
"""D50, of profiles"""


def matrix(primaries: tuple[float, ...]) -> np.ndarray:
    """Return what makes XYZ (D50) of light in such primaries and D65, adapted by Bradford (ICC.1, E.3)."""
    x, y = np.array(primaries).reshape(3, 2).T
    columns = np.stack([x / y, np.ones(3), (1 - x - y) / y])
    white = np.array([D65[0] / D65[1], 1, (1 - sum(D65)) / D65[1]])
    columns = columns * np.linalg.solve(columns, white)
    cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    adapted: np.ndarray = np.linalg.inv(cone) @ np.diag((cone @ WHITE) / (cone @ white)) @ cone @ columns
    return adapted


def in_lab(xyz: np.ndarray) -> np.ndarray:
    """Return CIELAB (N, 3) of XYZ (N, 3), D50."""
    f = np.cbrt(xyz / WHITE)
    f = np.where(xyz / WHITE > 0.008856, f, 7.787 * xyz / WHITE + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


# What is said in words


def halved() -> Iterator[Case]:
    """All that a JPEG of 4:2:2 says, which another encoder writes."""
    record = b"8BIM\x04\x04\0\0\0\0\0\x0c\x1c\x02\x05\0\7a title"
    said: dict[str, tuple[bytes, bytes, bytes, Proof]] = {
        "EXIF": (exif(), b"", b"", has_exif),
        "ICC profile": (b"", b"", large_profile(), functools.partial(has_profile, held=large_profile())),
        "XMP": (b"", PLAIN_XMP, b"", has_xmp),
        "IPTC": (b"", b"", b"", functools.partial(says, "IPTC:ObjectName", "a title")),
        "resolution": (b"", b"", b"", functools.partial(says_dots, 300)),
    }
    for feature, (block, packet, held, proof) in said.items():
        options = {"exif": b"Exif\0\0" + block} if block else {}
        options |= {"xmp": packet} if packet else {}
        options |= {"icc_profile": held} if held else {}
        data = saved(PIXELS, "JPEG", quality=90, subsampling=1, dpi=(300, 300), **options)
        iptc = segment(0xED, b"Photoshop 3.0\0" + record)
        yield case("JPEG", feature, "4:2:2", data[:2] + iptc + data[2:], proof)


def exif_blocks() -> Iterator[Case]:
    """EXIF of a camera, in both orders of bytes; maker notes; the thumbnail."""
    for order in "<>":
        block, late = exif(order=order), exif(order=order, thumbnail=True)
        made = {
            "JPEG": saved(PIXELS, "JPEG", exif=b"Exif\0\0" + block, quality=95),
            "PNG": png(PIXELS, (b"eXIf", block if order == "<" else b"Exif\0\0" + block)),  # some programs err
            "WebP": saved(PIXELS, "WEBP", exif=block if order == "<" else b"Exif\0\0" + block, quality=95),
            "TIFF": tiff_with_exif(order),
            "AVIF": saved(PIXELS, "AVIF", exif=block, quality=95),
            "HEIC": heic(exif=b"Exif\0\0" + block),
            "raw": raw_with_exif(),
            "JPEG 2000": with_jp2_uuid(b"JpgTiffExif->JP2", block),
        }
        for kind, data in made.items():
            yield case(kind, "EXIF", order, data, has_exif)
            yield case(kind, "maker notes", order, data, functools.partial(has_notes, data), "maker notes")
        for kind, data in {
            "JPEG": saved(PIXELS, "JPEG", exif=b"Exif\0\0" + late, quality=95),
            "PNG": png(PIXELS, (b"eXIf", late)),
            "WebP": saved(PIXELS, "WEBP", exif=late, quality=95),
        }.items():
            yield stale(case(kind, "EXIF's thumbnail", order, data, lambda r: "IFD1:ThumbnailLength" in r.tags))
    behind = png()[:-12] + chunk(b"eXIf", exif()) + png()[-12:]
    yield case("PNG", "EXIF", "behind the pixels", behind, has_exif)


def stale(one: Case) -> Case:
    """Return a case of what has to be gone."""
    return replace(one, stale=True)


def raw_with_exif() -> bytes:
    """Return a DNG with directories of EXIF and GPS, which are those of `exif` with their places moved."""
    block = exif()
    (first,) = struct.unpack_from("<I", block, 4)
    (number,) = struct.unpack_from("<H", block, first)
    rows = [block[first + 2 + 12 * each : first + 14 + 12 * each] for each in range(number)]
    pointers = {struct.unpack_from("<H", row)[0]: struct.unpack_from("<I", row, 8)[0] for row in rows}
    base = dng(
        extra=[
            (271, "s", 0, "Camera", True),
            (272, "s", 0, "Model 7", True),
            (18246, "H", 1, 4, True),
            (64665, "I", 1, 7, True),  # tifffile writes no pointers: these get their names below
            (64853, "I", 1, 8, True),
        ]
    )
    start = len(base) + len(base) % 2
    moved_block = bytearray(block)
    for place in (pointers[34665], pointers[34853]):
        (count,) = struct.unpack_from("<H", block, place)
        for at in range(place + 2, place + 2 + 12 * count, 12):
            _, kind, many, where = struct.unpack_from("<HHII", block, at)
            if {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 10: 8}[kind] * many > 4:
                struct.pack_into("<I", moved_block, at + 8, where + start)
    whole = bytearray(base.ljust(start, b"\0") + moved_block)
    for tag in (34665, 34853):
        entry = whole.index(struct.pack("<HHI", tag + 30000, 4, 1))
        struct.pack_into("<HHII", whole, entry, tag, 4, 1, pointers[tag] + start)
    return bytes(whole)


def has_exif(result: Result) -> bool:
    """Tell whether exiftool reads in a result what a camera said."""
    tags = result.tags
    said = tags.get("IFD0:Make"), tags.get("IFD0:Model"), tags.get("ExifIFD:ISO"), tags.get("IFD0:Rating")
    size = tags.get("ExifIFD:ExifImageWidth"), tags.get("ExifIFD:ExifImageHeight")
    if size not in ((None, None), result.picture.size):
        return False
    return said == ("Camera", "Model 7", 800, 4) and abs(float(tags.get("GPS:GPSLatitude", 0)) - 47.369) < 0.001


def has_notes(source: bytes, result: Result) -> bool:
    """Tell whether maker notes stand where they stood in their block of EXIF, to which their own pointers refer."""
    there, here = (each[begin(each) :] for each in (source, result.data))
    return there.find(NOTE) == here.find(NOTE) > 0


def begin(data: bytes) -> int:
    """Return where a file's EXIF begins, or the file itself, if it is a TIFF."""
    return [found.start() for found in re.finditer(rb"II\*\0|MM\0\*", data)][-1]


def packets() -> Iterator[Case]:
    """XMP, plain, long, and with what would be wrong in the result."""
    for kind, data in with_packet(PLAIN_XMP).items():
        yield case(kind, "XMP", "", data, has_xmp, "XMP")
    wrong = XMP % b' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"'
    for kind, data in with_packet(wrong).items():
        proof = functools.partial(says, "XMP-tiff:Orientation", 6)
        if kind not in ("raw", "HEIC"):  # pillow-heif turns by what XMP says, and leaves it out
            yield stale(case(kind, "XMP that says the picture is turned", "", data, proof))
    yield case("JPEG", "XMP of more than 64 kB", "", jpeg(*long_packet()), has_long_xmp)
    long = XMP % (b' photoshop:Instructions="' + b"x" * 70_000 + b'"')
    for kind, data in with_packet(long).items():
        if kind not in ("JPEG", "raw"):
            yield case(kind, "XMP of more than 64 kB", "", data, has_long_xmp, "XMP was not kept")


def packets_of_png() -> Iterator[Case]:
    """XMP that is compressed, behind the pixels, or written as ImageMagick writes it; EXIF as that writes it."""
    plain = b"XML:com.adobe.xmp\0\0\0\0\0" + PLAIN_XMP
    packed = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(PLAIN_XMP)
    for name, held in (("plain", plain), ("compressed", packed)):
        yield case("PNG", "XMP", name, png(PIXELS, (b"iTXt", held)), has_xmp)
        behind = png()[:-12] + chunk(b"iTXt", held) + png()[-12:]
        yield case("PNG", "XMP", f"{name}, behind the pixels", behind, has_xmp)
    for name, proof, held in (("exif", has_exif, b"Exif\0\0" + exif()), ("xmp", has_xmp, PLAIN_XMP)):
        text = f"\n{name}\n{len(held):8}\n".encode() + b"\n".join(
            held[start : start + 36].hex().encode() for start in range(0, len(held), 36)
        )
        keyword = b"Raw profile type " + name.encode() + b"\0"
        for kind, held in ((b"tEXt", text + b"\n"), (b"zTXt", b"\0" + zlib.compress(text + b"\n"))):
            data = png(PIXELS, (kind, keyword + held))
            yield case("PNG", name.upper(), f"as ImageMagick writes it, {kind.decode()}", data, proof)


def with_packet(packet: bytes) -> dict[str, bytes]:
    """Return a file of each format with a packet of XMP."""
    webp, avif_ = functools.partial(saved, kind="WEBP", quality=95), functools.partial(saved, kind="AVIF", quality=95)
    text = (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)
    return {
        "PNG": png(PIXELS, text),
        "WebP": webp(PIXELS, xmp=packet),
        "TIFF": tiff(extratags=[(700, 1, len(packet), packet, True)]),
        "AVIF": avif_(PIXELS, xmp=packet),
        "HEIC": heic(xmp=packet),
        "raw": dng(extra=[(700, 1, len(packet), packet, True)]),
        "JPEG 2000": with_jp2_uuid(bytes.fromhex("be7acfcb97a942e89c71999491e3afac"), packet),
    } | ({"JPEG": saved(PIXELS, "JPEG", xmp=packet, quality=95)} if len(packet) < 60_000 else {})


def long_packet() -> tuple[bytes, ...]:
    """Return the segments of XMP that does not fit in one (XMP specification, part 3, 1.1.3.1)."""
    rest = XMP % (b' photoshop:Instructions="' + b"x" * 70_000 + b'"')
    rest = rest[rest.index(b"<x:xmpmeta") : rest.index(b"<?xpacket end")]
    guid = hashlib.md5(rest, usedforsecurity=False).hexdigest().upper().encode()
    first = XMP % (b' xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="' + guid + b'"')
    head = b"http://ns.adobe.com/xmp/extension/\0" + guid
    pieces = [rest[start : start + 65_000] for start in range(0, len(rest), 65_000)]
    extended = [
        segment(0xE1, head + struct.pack(">II", len(rest), 65_000 * number) + piece)
        for number, piece in enumerate(pieces)
    ]
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + first), *extended


def says(key: str, value: object, result: Result) -> bool:
    """Tell whether exiftool reads this."""
    return bool(result.tags.get(key) == value)


def has_xmp(result: Result) -> bool:
    """Tell whether exiftool reads what the packet says, letters beyond ASCII included."""
    return says("XMP-photoshop:City", "Zürich", result) and says("XMP-xmp:Rating", 4, result)


def has_long_xmp(result: Result) -> bool:
    """Tell whether exiftool reads all of a long packet."""
    return len(str(result.tags.get("XMP-photoshop:Instructions", ""))) == 70_000


def texts() -> Iterator[Case]:
    """Comments, IPTC, texts, and what applications note in formats of their own."""
    record = b"\x1c\x02\x05\0\x05title\x1c\x02\x78\0\x07caption"
    photoshop = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(record)) + record + bytes(len(record) % 2)
    has_iptc = functools.partial(says, "IPTC:ObjectName", "title")
    yield case("JPEG", "IPTC", "", jpeg(segment(0xED, b"Photoshop 3.0\0" + photoshop)), has_iptc)
    yield case("TIFF", "IPTC", "33723", tiff(extratags=[(33723, 1, len(record), record, True)]), has_iptc)
    inside = tiff(extratags=[(34377, 1, len(photoshop), photoshop, True)])
    yield case("TIFF", "IPTC", "34377", inside, lambda r: photoshop in r.data)
    for number, comment in enumerate(("a comment", "Grüße", "x" * 60_000)):
        proof = functools.partial(says, "File:Comment", comment)
        yield case("JPEG", "comments", str(number), jpeg(segment(0xFE, comment.encode())), proof)
    for number, held in enumerate((b"Ducky\0\1\0\4\0\0\0\x50\0", b"own\0" + bytes(range(99)))):
        marker = (0xEC, 0xE6)[number]
        proof = functools.partial(holds, segment(marker, held))
        yield case("JPEG", "segments of applications", str(number), jpeg(segment(marker, held)), proof)
    gif = saved(Image.fromarray(PIXELS).quantize(64), "GIF", comment=b"a comment")
    yield case("GIF", "comments", "", gif, functools.partial(says, "GIF:Comment", "a comment"), "comment")
    yield from texts_of_png()
    place = saved(PIXELS, "JPEG2000").index(b"jp2c") - 4
    for number, box in enumerate((b"xml <gml/>", b"uuid" + bytes(16) + b"own")):
        data = saved(PIXELS, "JPEG2000")
        data = data[:place] + struct.pack(">I", 4 + len(box)) + box + data[place:]
        note = "what applications noted in the JPEG 2000"
        yield case("JPEG 2000", "segments of applications", str(number), data, never, note)
    plain = saved(Image.fromarray(PIXELS).quantize(64), "GIF")
    first = 13 + (3 << (plain[10] & 7) + 1)  # behind the table of colours
    trailer = b"\1" + bytes(range(255, -1, -1)) + b"\0"
    with_xmp = plain[:first] + b"\x21\xff\x0bXMP DataXMP" + PLAIN_XMP + trailer + plain[first:]
    yield case("GIF", "XMP", "", with_xmp, has_xmp, "what applications noted in the GIF")
    tags = {
        "artist": ([(315, "s", 0, "Zoe", True)], "IFD0:Artist", "Zoe"),
        "copyright": ([(33432, "s", 0, "all rights", True)], "IFD0:Copyright", "all rights"),
        "date": ([(306, "s", 0, "2024:05:06 07:08:09", True)], "IFD0:ModifyDate", "2024:05:06 07:08:09"),
        "description": ([(270, "s", 0, "the pond", True)], "IFD0:ImageDescription", "the pond"),
    }
    for (name, (extra, key, value)), order in itertools.product(tags.items(), "<>"):
        data = tiff(extratags=extra, byteorder=order)
        yield case("TIFF", "tags of its own, GeoTIFF", f"{name} {order}", data, functools.partial(says, key, value))
    geo = [(33550, "d", 3, (10.0, 10.0, 0.0), True), (34735, "H", 4, (1, 1, 0, 0), True)]
    for order, big in itertools.product("<>", (False, True)):
        data = tiff(extratags=geo, byteorder=order, bigtiff=big)
        proof = functools.partial(says, "IFD0:PixelScale", "10 10 0")
        yield case("TIFF", "tags of its own, GeoTIFF", f"{order} {big}", data, proof)


def holds(held: bytes, result: Result) -> bool:
    """Tell whether a file has these very bytes once."""
    return result.data.count(held) == 1


def texts_of_png() -> Iterator[Case]:
    """Of all kinds, before and behind the pixels."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "the pond")
    info.add_text("Comment", "y" * 3000, zip=True)
    info.add_itxt("Author", "Zoë 雪", lang="de", tkey="Autor")
    data = saved(PIXELS, "PNG", pnginfo=info)
    words = {"PNG:Title": "the pond", "PNG:Comment": "y" * 3000}
    for key, value in words.items():
        yield case("PNG", "texts", key, data, functools.partial(says, key, value))
    yield case("PNG", "texts", "Author", data, lambda r: r.picture.info.get("Author") == "Zoë 雪")
    late = png()[:-12] + chunk(b"tEXt", b"Title\0late") + png()[-12:]
    yield case("PNG", "texts", "behind", late, functools.partial(says, "PNG:Title", "late"))
    time = png(PIXELS, (b"tIME", struct.pack(">H5B", 2024, 5, 6, 7, 8, 9)))
    yield case("PNG", "texts", "tIME", time, functools.partial(says, "PNG:ModifyDate", "2024:05:06 07:08:09"))


# More than one picture, and more than pictures


def several() -> Iterator[Case]:
    """Pages, frames, pictures beside the picture."""
    other = Image.fromarray(255 - PIXELS)
    for kind, pillows in (("WebP", "WEBP"), ("PNG", "PNG"), ("GIF", "GIF")):
        first = Image.fromarray(PIXELS) if kind != "GIF" else Image.fromarray(PIXELS).quantize(64)
        data = saved(first, pillows, save_all=True, append_images=[other], duration=100)
        yield case(kind, "animation", "", data, is_animated, "first frame of an animation")
    data = saved(Image.fromarray(PIXELS), "AVIF", save_all=True, append_images=[other], quality=95)
    yield case("AVIF", "animation", "", data, is_animated, "first frame of an animation")
    pages = saved(Image.fromarray(PIXELS), "TIFF", save_all=True, append_images=[other])
    yield case("TIFF", "several pages", "", pages, is_animated, "first of several pages")
    all_of_them = case("TIFF", "several pages, with `--pages all`", "", pages, is_animated, "2 pages")
    yield replace(all_of_them, all_pages=True)
    mpo = saved(Image.fromarray(PIXELS), "MPO", save_all=True, append_images=[other], quality=95)
    yield case("JPEG", "other pictures (MPO)", "", mpo, is_animated, "other pictures in the file")
    import pillow_heif

    two = pillow_heif.from_pillow(Image.fromarray(PIXELS))
    two.add_from_pillow(other)
    file = io.BytesIO()
    two.save(file, quality=95, chroma=444)
    yield case("HEIC", "several pictures", "", file.getvalue(), is_animated, "first of several pictures")
    yield case("TIFF", "Photoshop's layers", "", tiff(extratags=[(37724, 7, 40, bytes(40), True)]), never, "layers")


def is_animated(result: Result) -> bool:
    """Tell whether a file has more pictures than one."""
    return getattr(result.picture, "n_frames", 1) > 1


def phones() -> Iterator[Case]:
    """Gain maps, films and data behind the picture, depth maps, content credentials."""
    google = XMP % b' xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"'
    apple = XMP % b' xmlns:HDRGainMap="http://ns.apple.com/HDRGainMap/1.0/" HDRGainMap:HDRGainMapVersion="65536"'
    second = saved(GREY, "JPEG")
    gain = {
        "Google's": saved(PIXELS, "JPEG", xmp=google, quality=95) + second,
        "Apple's": saved(PIXELS, "JPEG", xmp=apple, quality=95) + second,
        "ISO 21496-1": jpeg(segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4))) + second,
    }
    for name, data in gain.items():
        yield case("JPEG", "HDR gain map", name, data, functools.partial(holds, second), "gain map was left out")
    map_of_avif = saved(PIXELS, "AVIF", exif=exif(), quality=95)
    start = map_of_avif.index(b"Exif", map_of_avif.index(b"infe"))
    map_of_avif = map_of_avif[:start] + b"tmap" + map_of_avif[start + 4 :]
    yield case("AVIF", "HDR gain map", "", map_of_avif, never, "gain map was left out")
    yield case("HEIC", "HDR gain map", "", with_auxiliary(b"urn:com:apple:photo:2020:aux:hdrgainmap"), never, "gain")
    yield case("HEIC", "depth map", "", with_auxiliary(b"urn:mpeg:hevc:2015:auxid:2"), never, "depth map")
    film = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + b"\0\0\0\x10mdat12345678"
    motion = XMP % b' xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MotionPhoto="1"'
    videos = {
        "behind": jpeg() + film,
        "said": saved(PIXELS, "JPEG", xmp=motion, quality=95) + film,
        "far": jpeg() + bytes(1 << 20) + film,
    }
    for name, data in videos.items():
        yield case("JPEG", "video of a motion photo", name, data, functools.partial(holds, film), "video of a motion")
    samsung = jpeg() + b"SEFH" + bytes(20) + b"SEFT"
    yield case("JPEG", "Samsung's data behind", "", samsung, functools.partial(holds, b"SEFT"), "Samsung's data")
    jumb = segment(0xEB, b"JP\0\1\0\0\0\1\0\0\0\x10jumbc2pa")
    yield case("JPEG", "content credentials (C2PA)", "", jpeg(jumb), functools.partial(holds, jumb), "C2PA")
    plain_avif, plain_webp = saved(PIXELS, "AVIF", quality=95), saved(PIXELS, "WEBP", quality=95)
    manifest = (
        struct.pack(">I4s", 44, b"uuid") + bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + b"jumbc2pa" + bytes(12)
    )
    tag = [(52545, 7, 20, b"jumbc2pa" + bytes(12), True)]
    credentials = {
        "PNG": png(PIXELS, (b"caBX", b"jumbc2pa")),
        "WebP": with_riff(plain_webp, b"C2PA", b"jumbc2pa"),
        "TIFF": tiff(extratags=tag),
        "AVIF": plain_avif + manifest,
        "HEIC": heic() + manifest,
        "raw": dng(extra=tag),
    }
    for kind, data in credentials.items():
        yield case(kind, "content credentials (C2PA)", "", data, functools.partial(holds, b"jumbc2pa"), "C2PA")
    noted = with_riff(plain_webp, b"OWN ", b"own notes")
    yield case("WebP", "segments of applications", "", noted, functools.partial(holds, b"own notes"), "in the WebP")
    for kind, data in (("AVIF", plain_avif), ("HEIC", heic())):
        box = struct.pack(">I4s", 8 + len(film), b"mpvd") + film
        yield case(kind, "video of a motion photo", "", data + box, functools.partial(holds, film), "video of a motion")
        box = struct.pack(">I4s", 16, b"sefd") + b"Samsungs"
        yield case(kind, "Samsung's data behind", "", data + box, functools.partial(holds, box), "Samsung's data")


def with_riff(data: bytes, kind: bytes, held: bytes) -> bytes:
    """Return a WebP with a chunk more."""
    body = data[8:] + kind + struct.pack("<I", len(held)) + held + bytes(len(held) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def with_auxiliary(kind: bytes) -> bytes:
    """Return a HEIC with an auxiliary picture of this kind, in the place of a transparency."""
    data = heic(np.dstack([PIXELS, GREY]))
    place = data.index(b"auxC")
    start = place - 4
    (size,) = struct.unpack_from(">I", data, start)
    box = b"auxC" + bytes(4) + kind + b"\0"
    grown = struct.pack(">I", 4 + len(box)) + box
    return moved_boxes(data, start, size, grown)


def moved_boxes(data: bytes, start: int, size: int, box: bytes) -> bytes:
    """Return a HEIC with another box in the properties: the boxes around it grow, and pixels lie further behind."""
    more = len(box) - size
    changed = bytearray(data[:start] + box + data[start + size :])
    for around in (b"meta", b"iprp", b"ipco"):
        place = changed.index(around) - 4
        struct.pack_into(">I", changed, place, struct.unpack_from(">I", changed, place)[0] + more)
    place = changed.index(b"iloc") + 4
    version, sizes = changed[place], struct.unpack_from(">H", changed, place + 4)[0]
    at, count, base = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    if (version, at, count) not in ((0, 4, 4), (1, 4, 4)):
        raise ValueError(f"expected places as pillow-heif writes them, got {(version, at, count, base)}")
    number = struct.unpack_from(">H", changed, place + 6)[0]
    item = place + 8
    for _ in range(number):
        item += (6 if version else 4) + base
        (extents,) = struct.unpack_from(">H", changed, item)
        for each in range(extents):
            where = item + 2 + 8 * each
            struct.pack_into(">I", changed, where, struct.unpack_from(">I", changed, where)[0] + more)
        item += 2 + 8 * extents
    return bytes(changed)


def resolutions() -> Iterator[Case]:
    """Dots an inch, where a format has them."""
    for dots in (72, 300, 600):
        has_dots = functools.partial(says_dots, dots)
        yield case("JPEG", "resolution", str(dots), saved(PIXELS, "JPEG", dpi=(dots, dots), quality=95), has_dots)
        held = struct.pack(">IIB", round(dots / 0.0254), round(dots / 0.0254), 1)
        yield case("PNG", "resolution", str(dots), png(PIXELS, (b"pHYs", held)), has_dots)
        yield case("TIFF", "resolution", str(dots), tiff(resolution=(dots, dots), resolutionunit="INCH"), has_dots)
        metric = tiff(resolution=(dots / 2.54, dots / 2.54), resolutionunit="CENTIMETER")
        yield case("TIFF", "resolution", f"{dots}, a centimetre", metric, has_dots)
        jfif = jpeg(dpi=(100, 100))
        place = jfif.index(b"JFIF") + 7
        metric = jfif[:place] + struct.pack(">BHH", 2, round(dots / 2.54), round(dots / 2.54)) + jfif[place + 5 :]
        yield case("JPEG", "resolution", f"{dots}, a centimetre", metric, functools.partial(says_dots, dots))


def says_dots(dots: int, result: Result) -> bool:
    """Tell whether Pillow reads this resolution."""
    found = result.picture.info.get("dpi", (0, 0))
    return max(abs(float(each) - dots) for each in found) < 1.5  # JPEG has whole numbers


def damaged() -> Iterator[Case]:
    """Cut short, and without an end."""
    whole = {
        "JPEG": jpeg(),
        "PNG": png(),
        "WebP": saved(PIXELS, "WEBP"),
        "TIFF": tiff(),
        "AVIF": saved(PIXELS, "AVIF"),
        "HEIC": heic(),
        "raw": dng(),
        "GIF": saved(Image.fromarray(PIXELS).quantize(64), "GIF"),
        "BMP": saved(PIXELS, "BMP"),
        "JPEG 2000": saved(PIXELS, "JPEG2000"),
    }
    endings = {**WRITERS, "HEIC": ".heic", "raw": ".dng", "GIF": ".gif", "BMP": ".bmp", "JPEG 2000": ".jp2"}
    for kind, data in whole.items():
        for share in (0.4, 0.7, 0.9):
            cut = data[: int(len(data) * share)]
            yield Case(kind, "cut short", str(share), cut, endings[kind], None, note="damaged or cut short")
    yield case("JPEG", "the end marker is missing", "", jpeg()[:-2], never, "end of the file is missing")
    yield case("PNG", "the end marker is missing", "", png()[:-12], never, "end of the file is missing")


# From one format into another


def moved() -> Iterator[Case]:
    """What a JPEG or a PNG holds, written as each other format: a table of its own."""
    record = b"8BIM\x04\x04\0\0\0\0\0\x0c\x1c\x02\x05\0\7a title"
    held: dict[str, tuple[bytes, Proof, str]] = {
        "ICC profile": (saved(PIXELS, "JPEG", icc_profile=profile(), quality=95), has_profile, ""),
        "EXIF": (saved(PIXELS, "JPEG", exif=b"Exif\0\0" + exif(), quality=95), has_exif, ""),
        "XMP": (saved(PIXELS, "JPEG", xmp=PLAIN_XMP, quality=95), has_xmp, ""),
        "IPTC, comments": (
            jpeg(segment(0xED, b"Photoshop 3.0\0" + record), segment(0xFE, b"words")),
            functools.partial(says, "IPTC:ObjectName", "a title"),
            "what only JPEG holds",
        ),
        "Display P3 by numbers": (
            png(PIXELS, (b"cICP", bytes((12, 13, 0, 1)))),
            functools.partial(shows, P3, curve),
            "described by a profile",
        ),
        "16 bits": (png(DEEP), functools.partial(is_deep, 16), "of 16 bits"),
        "transparency": (
            png(np.dstack([PIXELS, GREY])),
            lambda r: r.picture.mode in ("RGBA", "LA"),
            "laid over white",
        ),
    }
    for (feature, (data, proof, note)), (kind, ending) in itertools.product(held.items(), WRITERS.items()):
        source = ".png" if data[:4] == b"\x89PNG" else ".jpg"
        if source != ending:
            yield Case(f"into {kind}", feature, "", data, source, None, LOSSY, proof, note, ending)


def is_deep(bits: int, result: Result) -> bool:
    """Tell whether a file has so many bits a sample."""
    tags = result.tags
    said = tags.get("PNG:BitDepth", tags.get("IFD0:BitsPerSample", tags.get("Meta:ImagePixelDepth", 8)))
    return str(said).split()[0] == str(bits)
