"""What the numbers of a picture mean as colours, and how they become RGB."""

import pyvips

CHANNELS = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb16": 3, "cmyk": 4}
"""Channels of colour of each of libvips' interpretations that can be read."""


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
