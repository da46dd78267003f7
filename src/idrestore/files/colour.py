"""What the numbers of a picture mean as colours, and how they become RGB."""

import pyvips

from idrestore.files.containers import UnsupportedError

CHANNELS = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb16": 3, "cmyk": 4}
"""Channels of colour of each of libvips' interpretations that can be read."""

_HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273
_SAME = {(1, 1), (1, 6), (1, 13), (1, 2), (2, 2)}
"""Primaries and transfer that are sRGB, or taken for it by every viewer: BT.709 and unknown"""
_DISPLAY_P3 = (12, 13)


def described(cicp: tuple[int, int] | None, profile: bytes | None) -> tuple[bytes | None, tuple[str, ...]]:
    """Return the profile that says in any format what primaries and transfer (ITU-T H.273) say, and notes.

    Raise `UnsupportedError` for PQ and HLG, whose numbers mean brightness of another kind.
    """
    if cicp is None or cicp in _SAME:
        return profile, ()
    if cicp[1] in _HDR:
        raise UnsupportedError(f"is HDR ({_HDR[cicp[1]]}), which is not restored: save it as SDR first")
    if profile is not None:
        return profile, ()
    if cicp == _DISPLAY_P3:
        return pyvips.Image.profile_load("p3"), ("its colours, Display P3, are described by a profile",)
    return None, (f"its colours (CICP {cicp[0]}/{cicp[1]}) are not described in the result",)


def is_known(image: pyvips.Image) -> bool:
    """Tell whether the samples are 8- or 16-bit grey, RGB or CMYK, with or without alpha."""
    colours = image.bands - image.hasalpha()
    return image.format in ("uchar", "ushort") and CHANNELS.get(image.interpretation) == colours


def without_cmyk(image: pyvips.Image) -> pyvips.Image:
    """Return a CMYK picture in sRGB, and any other as it is."""
    if image.interpretation != "cmyk":
        return image
    depth = 16 if image.format == "ushort" else 8
    # The file's own profile or, without one, libvips' generic CMYK.
    return image.icc_transform("srgb", embedded=True, input_profile="cmyk", depth=depth)
