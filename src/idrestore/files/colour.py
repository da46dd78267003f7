"""What the numbers of a picture mean as colours, and how they become RGB of integers."""

import pyvips

from idrestore.files import chromaticity
from idrestore.files.chromaticity import Colours
from idrestore.files.containers import UnsupportedError

CHANNELS = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb16": 3}
"""Channels of colour of each of libvips' interpretations that can be read"""
_MAX_OUTSIDE = 0.01
"""Share of floating-point samples beyond 0 to 1 that may be clipped; with more of them the picture has another range"""


def described(
    colours: Colours | None, over_profile: bool, profile: bytes | None, grey: bool
) -> tuple[bytes | None, tuple[str, ...]]:
    """Return the profile that says in any format what the file says of its colours, and notes.

    Numbers count where there is no profile, or `over_profile`. Raise `UnsupportedError` for PQ and HLG, whose numbers
    mean brightness of another kind.
    """
    counts = profile is not None and not over_profile
    if hdr := (colours.hdr if colours else "") or chromaticity.hdr(profile if counts and profile else b""):
        raise UnsupportedError(f"is HDR ({hdr}), which is not restored: save it as SDR first")
    if counts:
        return profile, ()
    unused = ("the ICC profile was left out: by the standard the file's cICP counts",) if profile is not None else ()
    if colours is None:
        return None, unused
    if not colours.curve:
        return None, (*unused, f"its colours ({colours.name}) are not described in the result")
    made = chromaticity.profile(colours, grey)
    return made, (*unused, f"its colours, {colours.name}, are described by a profile")


def as_rgb(image: pyvips.Image) -> tuple[pyvips.Image, tuple[str, ...]]:
    """Return a picture as 8- or 16-bit grey or RGB, and notes; raise `UnsupportedError` for other colours."""
    notes: tuple[str, ...] = ()
    if image.interpretation == "cmyk" and image.format in ("uchar", "ushort"):
        # The file's own profile or, without one, libvips' generic CMYK.
        depth = 16 if image.format == "ushort" else 8
        image = image.icc_transform("srgb", embedded=True, input_profile="cmyk", depth=depth)
        notes = ("CMYK was converted to sRGB",)
    elif image.interpretation == "labs":
        image = image.colourspace("lab").icc_export(output_profile="srgb", depth=16)
        notes = ("CIELAB was converted to sRGB",)
    elif image.format == "float" and image.interpretation in _OF_INTEGERS:
        image, notes = _of_integers(image)
    colours = image.bands - image.hasalpha()
    if image.format not in ("uchar", "ushort") or CHANNELS.get(image.interpretation) != colours:
        found = f"{image.bands} channels of {image.format} {image.interpretation}"
        raise UnsupportedError(f"holds {found}: expected 8- or 16-bit grey, RGB or CMYK; convert it first")
    return image, notes


_OF_INTEGERS = {"scrgb": "rgb16", "rgb16": "rgb16", "srgb": "rgb16", "b-w": "grey16", "grey16": "grey16"}
"""Interpretations of floating-point pictures, and of 16-bit ones"""


def _of_integers(image: pyvips.Image) -> tuple[pyvips.Image, tuple[str, ...]]:
    """Return a picture of floating-point numbers, 0 to 1, as one of 16 bits: values as they are, whatever they mean."""
    image = image.copy_memory()
    share = 1 - ((image >= 0) & (image <= 1)).avg() / 255
    if share > _MAX_OUTSIDE or (image != image).max():
        found = f"floating-point values of which {share:.0%} are none of 0 to 1"
        raise UnsupportedError(f"holds {found}: scale them to 0 to 1 first, and remove what is no number")
    whole = (image * 65535).rint().cast("ushort").copy(interpretation=_OF_INTEGERS[image.interpretation])
    return whole, ("floating-point values beyond 0 to 1 were clipped",) if share else ()
