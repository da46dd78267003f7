"""XMP (ISO 16684-1), put right where it would contradict the restored picture; all else stays as it was."""

import re

_NAME = rb"[\w.-]+"
_ABOUT_OTHERS = (rb"hdrgm", rb"HDRGainMap", rb"GContainer", rb"Container", rb"Item")
"""Prefixes of properties that describe a gain map or other pictures of the same file, which the result has not"""
_MOTION = rb"(?:GCamera|Camera):(?:MicroVideo|MotionPhoto)\w*"


def consistent(packet: bytes) -> bytes:
    """Return a packet that says of the picture what is true of an upright one that stands alone in its file."""
    turned = rb"(tiff:Orientation(?:\s*=\s*[\"']|>))[2-8]"
    packet = re.sub(turned, rb"\g<1>1", packet)
    for prefix in _ABOUT_OTHERS:
        packet = _without(packet, prefix + b":" + _NAME)
    return _without(packet, _MOTION)


def has_gain_map(packet: bytes) -> bool:
    """Tell whether the packet speaks of an HDR gain map."""
    return b"hdrgm:Version" in packet or b"HDRGainMap:" in packet


def has_video(packet: bytes) -> bool:
    """Tell whether the packet speaks of a video behind the picture."""
    return re.search(_MOTION + rb"(?:\s*=\s*[\"']|>)1", packet) is not None


def _without(packet: bytes, name: bytes) -> bytes:
    """Leave out properties of such a name, as attributes and as elements."""
    # The blanks that an editor leaves for more would take time by their square without the first condition.
    packet = re.sub(rb"(?<!\s)\s+" + name + rb"\s*=\s*(?:\"[^\"]*\"|'[^']*')", b"", packet)
    packet = re.sub(rb"<(" + name + rb")(?:\s[^>]*)?(?<!/)>.*?</\1\s*>", b"", packet, flags=re.DOTALL)
    return re.sub(rb"<" + name + rb"(?:\s[^>]*)?/>", b"", packet)
