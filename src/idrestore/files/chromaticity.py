"""Colours that numbers in a file describe, and the ICC profile that says the same in every format.

The numbers are codes (CICP, ITU-T H.273) or, in PNG, chromaticities and an exponent (ISO/IEC 15948, 11.3.2).
"""

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_HDR = {16: "PQ", 18: "HLG"}
"""Transfers whose values mean brightness of another kind"""

_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
_BT709 = (0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
_BT601 = (0.630, 0.340, 0.310, 0.595, 0.155, 0.070)
_P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
_PRIMARIES = {
    1: ("BT.709", _D65, _BT709),
    4: ("BT.470 M", _C, (0.67, 0.33, 0.21, 0.71, 0.14, 0.08)),
    5: ("BT.601 of 625 lines", _D65, (0.64, 0.33, 0.29, 0.60, 0.15, 0.06)),
    6: ("BT.601 of 525 lines", _D65, _BT601),
    7: ("SMPTE 240M", _D65, _BT601),
    8: ("film", _C, (0.681, 0.319, 0.243, 0.692, 0.145, 0.049)),
    9: ("BT.2020", _D65, (0.708, 0.292, 0.170, 0.797, 0.131, 0.046)),
    11: ("DCI P3", _DCI, _P3),
    12: ("Display P3", _D65, _P3),
    22: ("EBU 3213-E", _D65, (0.630, 0.340, 0.295, 0.605, 0.155, 0.077)),
}  # H.273, table 2
_SRGB = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_VIDEO = (1 / 0.45, 1 / 1.0993, 0.0993 / 1.0993, 1 / 4.5, 0.0812)
_240M = (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0913)
_CURVES = {1: _VIDEO, 4: (2.2,), 5: (2.8,), 6: _VIDEO, 7: _240M, 8: (1.0,), 13: _SRGB, 14: _VIDEO, 15: _VIDEO}
"""H.273, table 3"""
_UNSPECIFIED = 2
_AS_SRGB = (1, 6, 13, 14, 15)
"""Transfers that every viewer takes for sRGB's, where the primaries are those of sRGB"""
_NEAR = 0.001
"""By which chromaticities, rounded by whoever wrote them, may differ from sRGB's"""
_D50 = np.array([0.9642, 1.0, 0.8249])
"""White of profiles, XYZ (ICC.1, 7.2.16)"""
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


class Colours(NamedTuple):
    """What numbers say of the colours in a file."""

    name: str
    white: tuple[float, ...]
    """Chromaticity x and y (CIE 1931), as of the primaries"""
    primaries: tuple[float, ...]
    """Of red, green and blue"""
    curve: tuple[float, ...]
    """Light Y of a value X: Y = X^g; or (g, a, b, c, d): Y = (aX + b)^g from d on, and cX below (ICC.1, 10.18).
    Empty if it cannot be said so"""
    hdr: str = ""
    """PQ or HLG, where they are"""


def coded(primaries: int, transfer: int) -> Colours | None:
    """Return what codes of CICP mean; None for sRGB, and what is taken for it."""
    primaries = 1 if primaries == _UNSPECIFIED else primaries
    transfer = 13 if transfer == _UNSPECIFIED else transfer
    if primaries == 1 and transfer in _AS_SRGB:
        return None
    name, white, corners = _PRIMARIES.get(primaries, (f"CICP {primaries}", (), ()))
    said = name if transfer in _AS_SRGB else f"{name}/{transfer}"
    return Colours(said, white, corners, _CURVES.get(transfer, ()) if corners else (), _HDR.get(transfer, ""))


def measured(gamma: float | None, chromaticities: tuple[float, ...]) -> Colours | None:
    """Return what an exponent of encoding and chromaticities of white and primaries mean; None for sRGB, or nothing."""
    values = chromaticities or (*_D65, *_BT709)
    usual_colours = max(abs(each - usual) for each, usual in zip(values, (*_D65, *_BT709), strict=True)) < _NEAR
    usual_curve = gamma is None or abs(gamma - 1 / 2.2) < _NEAR
    if (usual_colours and usual_curve) or gamma == 0 or not _span(values):
        return None
    curve = _SRGB if gamma is None or usual_curve else (1 / gamma,)
    said = ["gAMA"] * (gamma is not None) + ["cHRM"] * bool(chromaticities)
    return Colours(" and ".join(said), values[:2], values[2:], curve)


def _span(values: tuple[float, ...]) -> bool:
    """Tell whether a white, red, green and blue make colours: no two of the primaries are the same, nor on one line."""
    corners = np.array(values[2:]).reshape(3, 2)
    return all(values[1::2]) and abs(np.linalg.det(np.column_stack([corners, np.ones(3)]))) > _NEAR


def profile(colours: Colours, grey: bool = False) -> bytes:
    """Return an ICC profile (ICC.1:2010, version 4), of three channels or of one."""
    white = _xyz(colours.white)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white)) @ _BRADFORD
    curve = _curve(colours.curve)
    tags = {
        b"desc": _text(colours.name),
        b"cprt": _text("No copyright"),
        b"wtpt": _numbers(b"XYZ ", _D50),
        b"chad": _numbers(b"sf32", adapted.ravel()),
    }
    if grey:
        tags[b"kTRC"] = curve
    else:
        corners = np.stack([_xyz(colours.primaries[place : place + 2]) for place in (0, 2, 4)], axis=1)  # (XYZ, RGB)
        corners = adapted @ (corners * np.linalg.solve(corners, white))
        for channel, column in zip(b"rgb", corners.T, strict=True):
            tags[bytes([channel]) + b"XYZ"] = _numbers(b"XYZ ", column)
            tags[bytes([channel]) + b"TRC"] = curve
    return _laid_out(tags, b"GRAY" if grey else b"RGB ")


def hdr(profile: bytes) -> str:
    """Return PQ or HLG, if a profile says that it is such by codes (ICC.1:2022, 10.3), or an empty text."""
    number = int.from_bytes(profile[128:132])
    for place in range(132, min(132 + 12 * number, len(profile) - 11), 12):
        kind, start, size = struct.unpack_from(">4sII", profile, place)
        if kind == b"cicp" and size >= 12 and start + size <= len(profile):
            return _HDR.get(profile[start + 9], "")
    return ""


def _laid_out(tags: dict[bytes, bytes], space: bytes) -> bytes:
    """Return a whole profile (ICC.1, 7): equal elements are stored once."""
    start, places, elements = 132 + 12 * len(tags), {}, b""
    for element in dict.fromkeys(tags.values()):
        places[element] = start + len(elements)
        elements += element + bytes(-len(element) % 4)
    table = b"".join(struct.pack(">4sII", tag, places[each], len(each)) for tag, each in tags.items())
    kinds = b"mntr" + space + b"XYZ "
    date = struct.pack(">6H", 2024, 1, 1, 0, 0, 0)  # the same numbers give the same bytes
    head = struct.pack(">8xI12s12s4s28x", 0x04200000, kinds, date, b"acsp") + _s15(_D50)
    body = head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + elements
    return struct.pack(">I", len(body)) + body[4:]


def _curve(curve: tuple[float, ...]) -> bytes:
    kind = 3 if len(curve) > 1 else 0
    return b"para" + struct.pack(">4xHxx", kind) + _s15(np.array(curve))


def _text(text: str) -> bytes:
    held = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">4xII4sII", 1, 12, b"enUS", len(held), 28) + held


def _numbers(kind: bytes, values: NDArray[np.float64]) -> bytes:
    return kind + bytes(4) + _s15(values)


def _s15(values: NDArray[np.float64]) -> bytes:
    """Return numbers with 16 bits before and behind the point."""
    return np.rint(values * 65536).clip(-(2**31), 2**31 - 1).astype(">i4").tobytes()


def _xyz(chromaticity: tuple[float, ...]) -> NDArray[np.float64]:
    x, y = chromaticity
    return np.array([x / y, 1, (1 - x - y) / y])
