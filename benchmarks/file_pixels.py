"""Cases for `files.py`: the pixels of each format, and which way up they are."""

import functools
import io
import itertools
from collections.abc import Iterator

import numpy as np
import tifffile
from file_makers import (
    ALPHA,
    COLUMNS,
    DEEP,
    DEEP_ALPHA,
    DEEP_GREY,
    GREY,
    LOSSY,
    PIXELS,
    ROWS,
    Case,
    Result,
    avif,
    dng,
    exif,
    heic,
    jpeg,
    png,
    saved,
    three,
    tiff,
)  # fmt: skip
from PIL import Image, ImageCms, JpegImagePlugin


def pixel_cases() -> Iterator[Case]:
    """Make them all."""
    for make in (of_jpeg, of_png, of_webp, of_tiff, of_avif, of_heic, of_others, orientations):
        yield from make()


def of_jpeg() -> Iterator[Case]:
    """Encoded in all ways, in colour and grey, CMYK."""
    for quality, sampling, progressive in itertools.product((75, 80, 85, 92, 97), (0, 1, 2), (False, True)):
        data = saved(PIXELS, "JPEG", quality=quality, subsampling=sampling, progressive=progressive)
        name = f"{quality} {('4:4:4', '4:2:2', '4:2:0')[sampling]} {progressive}"
        yield Case("JPEG", "8 bits", name, data, ".jpg", PIXELS, LOSSY)
        alike = functools.partial(encoded_as, data)
        yield Case("JPEG", "quality, chroma sampling, progressive", name, data, ".jpg", PIXELS, LOSSY, alike)
    for quality in (75, 92):
        data = saved(GREY, "JPEG", quality=quality)
        yield Case("JPEG", "grey", str(quality), data, ".jpg", three(GREY), LOSSY, lambda r: r.picture.mode == "L")
    yield Case("JPEG", "8 bits", "restarts", jpeg(restart_marker_blocks=2), ".jpg", PIXELS, LOSSY)
    cmyk = Image.fromarray(PIXELS).convert("CMYK")
    yield Case("JPEG", "CMYK", "", saved(cmyk, "JPEG"), ".jpg", None, note="CMYK was converted")
    lone = jpeg().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c")
    yield Case("JPEG", "12 bits", "", lone, ".jpg", None, note="JPEG of 12 bits")


def encoded_as(before: bytes, result: Result) -> bool:
    """Tell whether a JPEG has tables, sampling and order of scans as another."""
    first, second = Image.open(io.BytesIO(before)), result.picture
    return (
        isinstance(first, JpegImagePlugin.JpegImageFile)
        and isinstance(second, JpegImagePlugin.JpegImageFile)
        and JpegImagePlugin.get_sampling(first) == JpegImagePlugin.get_sampling(second)
        and first.info.get("progressive") == second.info.get("progressive")
        and first.quantization == second.quantization
    )


def of_png() -> Iterator[Case]:
    """All kinds of samples, by Pillow and by hand."""
    yield Case("PNG", "8 bits", "", png(), ".png", PIXELS)
    yield Case("PNG", "8 bits", "Pillow", saved(PIXELS, "PNG"), ".png", PIXELS)
    yield Case("PNG", "16 bits", "", png(DEEP), ".png", DEEP)
    for name, grey in (("8", GREY), ("16", DEEP_GREY)):
        yield Case("PNG", "grey", name, png(grey), ".png", three(grey), proof=lambda r: r.tags["PNG:ColorType"] == 0)
    for name, pixels, alpha in (("8", PIXELS, ALPHA), ("16", DEEP, DEEP_ALPHA)):
        whole = np.dstack([pixels, alpha])
        yield Case("PNG", "transparency", name, png(whole), ".png", whole)
        both = np.dstack([three(pixels[..., 1]), alpha])
        yield Case("PNG", "transparency", f"grey {name}", png(np.dstack([pixels[..., 1], alpha])), ".png", both)
    for colours in (2, 4, 16, 200):
        palette = Image.fromarray(PIXELS).quantize(colours)
        yield Case(
            "PNG", "palette colours", str(colours), saved(palette, "PNG"), ".png", np.asarray(palette.convert("RGB"))
        )
        clear = np.asarray(palette.convert("RGBA")).copy()
        clear[np.asarray(palette) == 0, 3] = 0
        data = saved(palette, "PNG", transparency=0)
        yield Case("PNG", "palette colours", f"{colours} and one clear", data, ".png", clear)
    black = Image.fromarray(GREY > 90)
    yield Case("PNG", "1 bit a pixel", "", saved(black, "PNG"), ".png", three(np.asarray(black.convert("L"))))


def of_webp() -> Iterator[Case]:
    """Lossy and lossless, with and without transparency."""
    both = np.dstack([PIXELS, ALPHA])
    for quality in (80, 95):
        yield Case("WebP", "8 bits", str(quality), saved(PIXELS, "WEBP", quality=quality), ".webp", PIXELS, LOSSY)
        yield Case("WebP", "transparency", str(quality), saved(both, "WEBP", quality=quality), ".webp", both, LOSSY)
    for name, pixels in (("", PIXELS), ("and transparency", both)):
        data = saved(pixels, "WEBP", lossless=True, exact=True)
        yield Case("WebP", "lossless", name, data, ".webp", pixels, proof=lambda r: b"VP8L" in r.data)


def of_tiff() -> Iterator[Case]:
    """Orders of bytes, kinds of file, depths, channels, layouts, compressions."""
    kinds = {"grey": (GREY, DEEP_GREY), "colour": (PIXELS, DEEP)}
    kinds["transparency"] = np.dstack([PIXELS, ALPHA]), np.dstack([DEEP, DEEP_ALPHA])
    for order, big, bits, kind, tiled, packed in itertools.product(
        "<>", (False, True), (8, 16), kinds, (False, True), (None, "zlib")
    ):
        pixels = kinds[kind][bits == 16]
        layout = {"tile": (16, 16)} if tiled else {"rowsperstrip": 10}
        extra = {"extrasamples": ["unassalpha"]} if kind == "transparency" else {}
        data = tiff(pixels, byteorder=order, bigtiff=big, compression=packed, **layout, **extra)
        feature = f"{bits} bits" if kind == "colour" else kind
        expected = three(pixels) if kind == "grey" else pixels
        yield Case("TIFF", feature, f"{order} {big} {bits} {tiled} {packed}", data, ".tif", expected)
    for order, bits in itertools.product("<>", (8, 16)):
        pixels = (PIXELS, DEEP)[bits == 16]
        planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        data = tiff(planes, byteorder=order, planarconfig="separate", rowsperstrip=5)
        yield Case("TIFF", f"{bits} bits", f"planes {order}", data, ".tif", pixels)
    for compression in ("tiff_lzw", "packbits", "tiff_adobe_deflate"):
        data = saved(PIXELS, "TIFF", compression=compression)
        yield Case("TIFF", "8 bits", compression, data, ".tif", PIXELS)
    yield Case("TIFF", "8 bits", "JPEG", saved(PIXELS, "TIFF", compression="jpeg"), ".tif", PIXELS, LOSSY)
    palette = Image.fromarray(PIXELS).quantize(64)
    yield Case("TIFF", "palette colours", "", saved(palette, "TIFF"), ".tif", np.asarray(palette.convert("RGB")))
    black = Image.fromarray(GREY > 90)
    for packed in (None, "group4"):
        data = saved(black, "TIFF", compression=packed)
        yield Case("TIFF", "1 bit a pixel", str(packed), data, ".tif", three(np.asarray(black.convert("L"))))
    cmyk = Image.fromarray(PIXELS).convert("CMYK")
    yield Case("TIFF", "CMYK", "", saved(cmyk, "TIFF"), ".tif", None, note="CMYK was converted")
    yield from unusual_tiffs()


def unusual_tiffs() -> Iterator[Case]:
    """Floating point, CIELAB, and what is refused."""
    for order, bits in itertools.product("<>", (16, 32)):
        samples = (DEEP / 65535).astype(f"f{bits // 8}")
        data = tiff(samples, byteorder=order)
        stays = functools.partial(holds_float, bits)
        yield Case("TIFF", "floating point", f"{order} {bits}", data, ".tif", DEEP, 0.1, stays, "float")
        beyond = samples.copy()
        beyond[0, 0] = 2.5
        clipped = DEEP.copy()
        clipped[0, 0] = 65535
        data = tiff(beyond, byteorder=order)
        note = "float|values beyond 0 to 1"
        yield Case("TIFF", "floating point beyond 0 to 1", f"{order} {bits}", data, ".tif", clipped, 0.1, note=note)
    lab, rgb = cielab()
    yield Case(
        "TIFF", "CIELAB of 16 bits", "", tiff(lab, photometric="cielab"), ".tif", rgb, 1.0, note="(?i)cielab|labs"
    )
    eight = (lab >> 8).astype(np.uint8)
    yield Case("TIFF", "CIELAB of 8 bits", "", tiff(eight, photometric="cielab"), ".tif", None, note="CIELAB of 8 bits")
    yield Case("TIFF", "LZMA, Zstandard, JPEG 2000 inside", "", tiff(compression="lzma"), ".tif", None, note="LZMA")
    doubles = tiff(PIXELS / 255)
    yield Case(
        "TIFF", "64-bit and integer samples beyond 16 bits", "f8", doubles, ".tif", None, note="64|32 bits|range"
    )
    yield Case(
        "TIFF", "64-bit and integer samples beyond 16 bits", "u4", tiff(PIXELS.astype("u4")), ".tif", None, note="uint"
    )
    infrared = tiff(np.dstack([DEEP, DEEP_ALPHA]), extrasamples=["unspecified"])
    yield Case("TIFF", "infrared channel", "", infrared, ".tif", DEEP, proof=has_four, note="infrared")


def holds_float(bits: int, result: Result) -> bool:
    """Tell whether a TIFF holds floating-point numbers of so many bits."""
    with tifffile.TiffFile(io.BytesIO(result.data)) as file:
        return str(file.pages[0].dtype) == f"float{bits}"


def has_four(result: Result) -> bool:
    """Tell whether a picture has a fourth channel."""
    return bool(result.tags.get("IFD0:SamplesPerPixel") == 4)


def cielab() -> tuple[np.ndarray, np.ndarray]:
    """Return a picture as 16-bit CIELAB of TIFF, and in sRGB as lcms has it: 8 bits, shown as 16."""
    lightness, a, b = 30 + ROWS, COLUMNS / 2 - 12, ROWS / 2 - 8
    lab = np.stack([lightness * 655.35, a * 256, b * 256], axis=2).round().astype(np.int64)
    coarse = np.stack([lightness * 2.55, a + 128, b + 128], axis=2).round().astype(np.uint8)
    there = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    picture = Image.merge("LAB", [Image.fromarray(coarse[..., each]) for each in range(3)])
    rgb = np.asarray(ImageCms.profileToProfile(picture, *there, outputMode="RGB"))
    return (lab % 65536).astype(np.uint16), rgb.astype(np.uint16) * 257


def of_avif() -> Iterator[Case]:
    """Depths, chroma samplings, transparency."""
    for bits, sampling, clear in itertools.product((8, 10, 12), ("444", "422", "420", "400"), (False, True)):
        pixels, alpha = (PIXELS, ALPHA) if bits == 8 else (DEEP, DEEP_ALPHA)
        base = three(pixels[..., 1]) if sampling == "400" else pixels
        whole = np.dstack([base, alpha]) if clear else base
        feature = "transparency" if clear else "grey" if sampling == "400" else f"{bits} bits"
        data = avif(whole, "-d", str(bits), "-y", sampling)
        deep = functools.partial(has_depth, bits)
        yield Case("AVIF", feature, f"{bits} {sampling}", data, ".avif", whole, LOSSY, deep)


def has_depth(bits: int, result: Result) -> bool:
    """Tell whether an AVIF has so many bits."""
    return str(result.tags.get("Meta:ImagePixelDepth", "")).split()[:1] in ([str(bits)], [])


def of_heic() -> Iterator[Case]:
    """Depths, chroma samplings, transparency; JPEG is what is written of its own accord."""
    for bits, sampling, clear in itertools.product((8, 10, 12), (444, 422, 420), (False, True)):
        pixels, alpha = (PIXELS, ALPHA) if bits == 8 else (DEEP, DEEP_ALPHA)
        whole = np.dstack([pixels, alpha]) if clear else pixels
        data = heic(whole, bits=bits, chroma=sampling)
        name, proof = f"{bits} {sampling}", functools.partial(has_depth, bits)
        if clear:
            yield Case("HEIC", "transparency, as PNG", name, data, ".heic", whole, LOSSY, target=".png")
            yield Case("HEIC", "transparency", name, data, ".heic", None, LOSSY, has_alpha, "laid over white")
        elif bits == 8:
            yield Case("HEIC", "8 bits", name, data, ".heic", whole, LOSSY)
        else:
            yield Case("HEIC", f"{bits} bits, as AVIF", name, data, ".heic", whole, LOSSY, proof, target=".avif")
            note = f"holds 8 of {bits} bits"
            yield Case("HEIC", f"{bits} bits", name, data, ".heic", whole, LOSSY, lambda r: False, note)
    yield Case("HEIC", "grey", "", heic(GREY), ".heic", three(GREY), LOSSY)


def has_alpha(result: Result) -> bool:
    """Tell whether a picture has transparency."""
    return result.picture.mode in ("RGBA", "LA")


def of_others() -> Iterator[Case]:
    """GIF, BMP, JPEG 2000 and raw files."""
    for colours in (2, 16, 256):
        palette = Image.fromarray(PIXELS).quantize(colours)
        expected = np.asarray(palette.convert("RGB"))
        yield Case("GIF", "palette colours", str(colours), saved(palette, "GIF"), ".gif", expected)
        yield Case("BMP", "palette colours", str(colours), saved(palette, "BMP"), ".bmp", expected)
    clear = np.dstack([PIXELS, np.where(GREY > 90, 255, 0)]).astype(np.uint8)
    data = saved(Image.fromarray(clear), "GIF")
    shown = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    yield Case("GIF", "transparency", "", data, ".gif", shown)
    yield Case("BMP", "8 bits", "", saved(PIXELS, "BMP"), ".bmp", PIXELS)
    dots = saved(PIXELS, "BMP", dpi=(300, 300))
    yield Case(
        "BMP", "resolution", "", dots, ".bmp", PIXELS, proof=lambda r: abs(r.picture.info.get("dpi", (0,))[0] - 300) < 1
    )
    yield Case("BMP", "grey", "", saved(GREY, "BMP"), ".bmp", three(GREY))
    black = Image.fromarray(GREY > 90)
    yield Case("BMP", "1 bit a pixel", "", saved(black, "BMP"), ".bmp", three(np.asarray(black.convert("L"))))
    both = np.dstack([PIXELS, ALPHA])
    yield Case("BMP", "8 bits", "32 of a pixel", saved(both, "BMP"), ".bmp", PIXELS)
    for bare in (False, True):
        name = "j2k" if bare else "jp2"
        code = functools.partial(saved, kind="JPEG2000", no_jp2=bare)
        yield Case("JPEG 2000", "8 bits", name, code(PIXELS), ".jp2", PIXELS)
        yield Case("JPEG 2000", "8 bits", f"{name} tiles", code(PIXELS, tile_size=(16, 16)), ".jp2", PIXELS)
        yield Case("JPEG 2000", "grey", name, code(GREY), ".jp2", three(GREY))
        yield Case("JPEG 2000", "grey", f"{name} 16", code(DEEP_GREY), ".jp2", three(DEEP_GREY))
        yield Case("JPEG 2000", "transparency", name, code(both), ".jp2", both)
    for bits, pattern in itertools.product((10, 12, 14, 16), ((0, 1, 1, 2), (2, 1, 1, 0), (1, 0, 2, 1), (1, 2, 0, 1))):
        data = dng(bits=bits, pattern=bytes(pattern))
        yield Case(
            "raw", "a sensor's samples", f"{bits} {pattern}", data, ".dng", None, proof=is_grey, note="developed"
        )


def is_grey(result: Result) -> bool:
    """Tell whether a 16-bit TIFF shows a grey wall: the camera's white balance was used."""
    pixels = tifffile.imread(io.BytesIO(result.data))[4:-4, 4:-4].astype(float)
    return pixels.dtype.kind == "f" and bool(np.ptp(pixels, axis=2).mean() < 0.03 * pixels.mean())


def orientations() -> Iterator[Case]:
    """All eight, by EXIF and by boxes of the container."""
    for orientation in range(1, 9):
        upright = turned(orientation)
        block = exif(orientation)
        name = str(orientation)
        made = {
            "JPEG": (".jpg", saved(PIXELS, "JPEG", exif=b"Exif\0\0" + block, quality=95), LOSSY),
            "PNG": (".png", png(PIXELS, (b"eXIf", block)), 0),
            "WebP": (".webp", saved(PIXELS, "WEBP", exif=block, lossless=True), 0),
            "TIFF": (".tif", tiff(extratags=[(274, "H", 1, orientation, True)]), 0),
            "AVIF": (".avif", avif(PIXELS, *BOXES[orientation]), LOSSY),
            "HEIC": (".heic", turned_heic(orientation), LOSSY),
            "raw": (".dng", dng(extra=[(274, "H", 1, orientation, True)]), 0),
        }
        for kind, (ending, data, tolerance) in made.items():
            sizes = functools.partial(is_upright, (upright if kind != "raw" else turned(orientation, DEEP)).shape)
            expected = None if kind == "raw" else upright
            proof = sizes if kind != "raw" else functools.partial(is_turned_raw, orientation)
            yield Case(kind, "orientation", name, data, ending, expected, tolerance, proof)


BOXES: dict[int, tuple[str, ...]] = {
    1: (), 2: ("--imir", "1"), 3: ("--irot", "2"), 4: ("--imir", "0"),
    5: ("--irot", "1", "--imir", "0"), 6: ("--irot", "3"), 7: ("--irot", "3", "--imir", "0"), 8: ("--irot", "1"),
}  # fmt: skip
"""What avifenc is told for each orientation of EXIF; it turns first, against the clock, then mirrors"""


def turned(orientation: int, pixels: np.ndarray = PIXELS) -> np.ndarray:
    """Return how a stored picture is shown (EXIF 2.32, tag 274)."""
    picture = Image.fromarray(np.arange(pixels.shape[0] * pixels.shape[1], dtype=np.int32).reshape(pixels.shape[:2]))
    how = Image.Transpose
    method = (
        how.FLIP_LEFT_RIGHT, how.ROTATE_180, how.FLIP_TOP_BOTTOM, how.TRANSPOSE, how.ROTATE_270, how.TRANSVERSE,
        how.ROTATE_90,
    )  # fmt: skip
    places = np.asarray(picture if orientation == 1 else picture.transpose(method[orientation - 2]))
    shown: np.ndarray = pixels.reshape(-1, pixels.shape[2])[places]
    return shown


def turned_heic(orientation: int) -> bytes:
    """Return a HEIC that pillow-heif turns by boxes of the container."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    return saved(PIXELS, "HEIF", exif=exif(orientation), quality=95, chroma=444)


def is_upright(shape: tuple[int, ...], result: Result) -> bool:
    """Tell whether a picture has this shape, and nothing asks to turn it."""
    tags = result.tags
    asked = [tags.get(key) for key in ("IFD0:Orientation", "QuickTime:Rotation", "Meta:Rotation")]
    size, said = (shape[1], shape[0]), (tags.get("ExifIFD:ExifImageWidth"), tags.get("ExifIFD:ExifImageHeight"))
    return result.picture.size == size and said in (size, (None, None)) and set(asked) <= {None, 1, 0}


def is_turned_raw(orientation: int, result: Result) -> bool:
    """Tell whether a developed raw file is upright: its wall gets lighter to the right as stored."""
    pixels = tifffile.imread(io.BytesIO(result.data)).mean(axis=2)
    shown = turned(orientation, np.repeat(np.arange(64.0)[None, :, None], 48, axis=0))[..., 0]
    alike = np.corrcoef(pixels.ravel(), shown.ravel())[0, 1] if pixels.shape == shown.shape else 0
    return bool(alike > 0.9) and result.tags.get("IFD0:Orientation", 1) == 1
