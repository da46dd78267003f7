"""Blur: frames averaged along recorded camera motion, with things that move on their own, or a lens out of focus.

A frame at each instant is the photo warped by K·R(t)·R(middle)⁻¹·K⁻¹; the target is the frame at the middle of the
exposure. What moves on its own is composited at each instant, so that outlines mix as they do in photos.
"""

import math
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from idrestore.data.camera.planes import Draw, along_edges, coarse, enlarged, filtered, places, spread
from idrestore.data.camera.tone import encoded, linear_light
from idrestore.data.physics.chance import Range, log_between

LENGTH: Range = (0.5, 36.0)  # px over the exposure, log scale; hand-held at 1/30 s, 1280 px wide: 3, 7, 14
DEFOCUS = 0.18  # share of the draws
RADIUS: Range = (0.3, 6.0)  # px, log scale
DEEP = 0.5  # share of the defocused in which only some depths are out of focus
INSTANTS = 16
MESH = 9  # points a side at which warps are computed; between them they are linear
EXPOSURE: Range = (1 / 60, 1 / 20)  # s
FOCAL: Range = (0.55, 0.9)  # of a frame's width
FRAME: Range = (400.0, 1300.0)  # width of the frame, px
ASPECT = 0.66  # its height over its width
READOUT: Range = (0.0, 0.03)  # s in which a rolling shutter reads a frame
HAND_HELD = 0.6  # share of the draws from the tracks of hands
LAYERS = 2  # things that may move on their own, one before the other
LAYER = 0.45  # share of the shaken in which something does
SECOND = 0.35  # share of these in which two things do
OTHER = 0.5  # share of the things that hide what is behind them: another part of the photo, put in front
STILL = 0.35  # share of those with such things whose camera stands still
ENCODED = 0.5  # share averaged without undoing the sRGB curve, as GoPro is
FIELD = 4  # cells of the outlines
NO_LAYER = -9.0  # size of a thing that is not there
COVERED = 0.95  # cover from which what is behind a thing is hidden: its outline shows both, as it does while it rests
SHARPNESS: Range = (10.0, 150.0)  # of the outlines, log scale
RATE = 200.0  # Hz of the tracks


class Blur(NamedTuple):
    """Blur of a sample."""

    camera: Tensor
    """(2, INSTANTS, 3): angles about right, down and forwards, when the upper and when the lower border is read"""
    layers: Tensor
    """(LAYERS, 2, INSTANTS, 3): the same for what moves on its own, the hindmost first"""
    lens: Tensor
    """(3,): the crop's middle right of and below the axis, and the focal length, in crop widths"""
    outlines: Tensor
    """(LAYERS, FIELD, FIELD)"""
    sizes: Tensor
    """(LAYERS, 2): how large each layer is, `NO_LAYER` for none, and how sharp its outline"""
    are_other: Tensor
    """(LAYERS,): whether a layer is another part of the photo"""
    depths: Tensor
    """(FIELD, FIELD): what is how far away"""
    radius: Tensor
    """Of defocus, px; 0 for none"""
    is_deep: Tensor
    """Whether only some depths are out of focus"""
    is_encoded: Tensor


@lru_cache
def tracks() -> dict[str, NDArray[np.float64]]:
    """Read the recorded cameras: angles turned so far, (N, 3) in rad at `RATE`, by name."""
    with (files("idrestore.data.camera") / "tracks.npz").open("rb") as file, np.load(file) as held:
        return {name: held[name].cumsum(axis=0) / 1000 / RATE for name in held.files}


def draw(strength: float, rng: np.random.Generator, side: int) -> Draw:
    """Draw a movement of the camera, and of a thing, or a defocus, for a crop `side` px wide."""
    out_of_focus = rng.random() < DEFOCUS
    length = 0.0 if out_of_focus else log_between(LENGTH, strength) / side
    has_layer = not out_of_focus and rng.random() < LAYER
    are_there = has_layer, has_layer and rng.random() < SECOND
    still = has_layer and rng.random() < STILL
    width, focal = max(rng.uniform(*FRAME) / side, 1.0), rng.uniform(*FOCAL)
    lens = np.append(rng.uniform(-0.5, 0.5, 2) * (width - 1) * np.array((1, ASPECT)), focal * width)
    times = rng.uniform(*EXPOSURE), rng.uniform(*READOUT) / (ASPECT * width)
    own = length * rng.uniform(0.5 if still else 0.0, 1.5, LAYERS)
    moved = zip(are_there, own, strict=True)
    return {
        "camera": _angles(0.0 if still else length, lens, *times, rng),
        "layers": np.stack([_angles(path if is_there else 0.0, lens, *times, rng) for is_there, path in moved]),
        "lens": lens,
        "outlines": rng.normal(0, 1, (LAYERS, FIELD, FIELD)),
        "sizes": np.array(
            [(rng.uniform(-0.8, 0.4) if each else NO_LAYER, log_between(SHARPNESS, rng.random())) for each in are_there]
        ),
        "are_other": rng.random(LAYERS) < OTHER,
        "depths": rng.normal(0, 1, (FIELD, FIELD)),
        "radius": log_between(RADIUS, strength) if out_of_focus else 0.0,
        "is_deep": rng.random() < DEEP,
        "is_encoded": rng.random() < ENCODED,
    }


def expose(image: Tensor, blur: Blur) -> Tensor:
    """Blur photos; (n, 3, H, W) and a `Blur` of tensors (n, ...) to the same."""
    linear, focused, alone = ~blur.is_encoded, blur.radius == 0, (blur.sizes[..., 0] == NO_LAYER).all(dim=1)
    light = image.clone()
    light[linear] = linear_light(light[linear])
    for rows, blurred in ((focused & alone, _moved), (focused & ~alone, _moved_apart), (~focused, _defocused)):
        if rows.any():
            light[rows] = blurred(light[rows], Blur(*(column[rows] for column in blur)))
    light[linear] = encoded(light[linear])
    return light


def _moved(light: Tensor, blur: Blur) -> Tensor:
    """Average the frames of all instants."""
    meshes = _meshes(blur.camera, blur.lens, light)
    total = torch.zeros_like(light)
    for instant in range(INSTANTS):
        total += _warped(light, meshes[:, instant])
    return total / INSTANTS


def _moved_apart(light: Tensor, blur: Blur) -> Tensor:
    """Average the frames of all instants, things in front moving on their own.

    Where a thing moves away there is what is beside it, or, if it is another part of the photo, something else.
    """
    covers = [_cover(light, blur, layer) for layer in range(LAYERS)]
    hidden = light
    for layer, cover in enumerate(covers):
        is_hidden = ((cover - COVERED) / (1 - COVERED)).clamp(min=0) * spread(blur.are_other[:, layer])
        hidden = torch.lerp(hidden, _elsewhere(light, layer), is_hidden)
    things = [torch.cat((light, cover), dim=1) for cover in covers]
    behind, *ahead = (_meshes(each, blur.lens, light) for each in (blur.camera, *blur.layers.unbind(dim=1)))
    total = torch.zeros_like(light)
    for instant in range(INSTANTS):
        frame = _warped(hidden, behind[:, instant])
        for thing, mesh in zip(things, ahead, strict=True):
            seen, cover = _warped(thing, mesh[:, instant]).split((3, 1), dim=1)
            frame = torch.lerp(frame, seen, cover)
        total += frame
    return total / INSTANTS


def set_scene(image: Tensor, blur: Blur) -> Tensor:
    """Return the clean photo: with other parts of it in front, where these are what moves."""
    scene = image
    for layer in range(LAYERS):
        cover = _cover(image, blur, layer) * spread(blur.are_other[:, layer])
        scene = torch.lerp(scene, _elsewhere(image, layer), cover)
    return scene


def _elsewhere(image: Tensor, layer: int) -> Tensor:
    """Return what another part of a photo shows: the photo mirrored, to the side or upside down."""
    return image.flip(-1 - layer)


def _cover(image: Tensor, blur: Blur, layer: int) -> Tensor:
    """Return where a layer is, (n, 1, H, W) in [0, 1]."""
    size, sharpness = (spread(column) for column in blur.sizes[:, layer].T)
    is_there = (size != NO_LAYER).float()
    return is_there * torch.sigmoid(sharpness * (enlarged(blur.outlines[:, layer], image) + size))


def _meshes(angles: Tensor, lens: Tensor, like: Tensor) -> Tensor:
    """Return where the crop's points come from at each instant, as `grid_sample` counts; (n, INSTANTS, 2, MESH, MESH).

    A ray (x, y, f) turned by small angles a is r + a×r + a×(a×r)/2; it meets the picture again at depth f.
    """
    height, width = like.shape[-2:]
    steps = torch.linspace(-1, 1, MESH, device=like.device)
    y, x = torch.meshgrid(steps * height / (2 * width), steps / 2, indexing="ij")
    middle = lens[:, None, None, None, None]  # (n, 1, 1, 1, 1, 3)
    rays = torch.stack((x, y, torch.zeros_like(x)), dim=-1) + middle
    turn = angles[:, :, :, None, None].expand(-1, -1, -1, MESH, MESH, -1)  # (n, 2, INSTANTS, MESH, MESH, 3)
    once = torch.linalg.cross(turn, rays.expand_as(turn))
    turned = rays + once + torch.linalg.cross(turn, once) / 2
    points = turned[..., :2] / turned[..., 2:] * middle[..., 2:] - middle[..., :2]
    points = points * points.new_tensor((2, 2 * width / height))
    when = (steps[:, None, None] + 1) / 2
    return torch.lerp(points[:, 0], points[:, 1], when).permute(0, 1, 4, 2, 3)


def _warped(planes: Tensor, mesh: Tensor) -> Tensor:
    """Take planes from where the points of a mesh say, (n, 2, MESH, MESH), what is outside being mirrored."""
    down, right = places(planes)
    knots = torch.arange(MESH, device=planes.device)
    rows, columns = ((1 - (place.view(-1, 1) * (MESH - 1) - knots).abs()).clamp(min=0) for place in (down, right))
    grid = (rows @ mesh @ columns.T).permute(0, 2, 3, 1)  # linear between the points
    return F.grid_sample(planes, grid, mode="bilinear", padding_mode="reflection", align_corners=True)


def _defocused(light: Tensor, blur: Blur) -> Tensor:
    """Spread each point over a disc, everywhere or at some depths."""
    radius = spread(blur.radius)

    def response(squares: Tensor) -> Tensor:
        """The spectrum of a disc, 2·J₁(x)/x, with a pixel's own softness."""
        x = 2 * math.pi * radius * squares.sqrt()
        airy = 2 * torch.special.bessel_j1(x) / x.clamp(min=1e-4)
        return torch.where(x > 1e-3, airy, torch.ones_like(x)) * torch.exp(-2 * math.pi**2 * 0.09 * squares)

    blurred = filtered(light, response).clamp(0, 1)
    mask = along_edges(torch.sigmoid(4 * enlarged(blur.depths, coarse(light))), light).clamp(0, 1)
    return torch.where(spread(blur.is_deep), torch.lerp(light, blurred, mask), blurred)


def _angles(
    length: float, lens: NDArray[np.float64], exposure: float, delay: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return angles from somewhere in a recorded track, on a path `length` crop widths long; (2, INSTANTS, 3).

    The lower border is read `delay` seconds after the upper one.
    """
    if not length:
        return np.zeros((2, INSTANTS, 3))
    by_hand = rng.random() < HAND_HELD
    names = [name for name in tracks() if name.startswith("tum") == by_hand]
    track = tracks()[names[rng.integers(len(names))]]
    start = rng.uniform(0, len(track) - 2 - (exposure + delay) * RATE)
    place = start + RATE * (np.linspace(0, exposure, INSTANTS) + np.array((0.0, delay))[:, None])
    before = place.astype(int)
    part = (place - before)[..., None]
    angles = (track[before] * (1 - part) + track[before + 1] * part)[..., rng.permutation(3)]
    angles = (angles - angles.mean(axis=1, keepdims=True)) * rng.choice((-1.0, 1.0), 3)  # held in any way
    # By how much small angles move the crop's middle, in crop widths; its extent is made what is asked for.
    x, y, scale = lens
    moved = scale * np.stack((angles[0, :, 1], -angles[0, :, 0])) + angles[0, :, 2] * np.array(((-y,), (x,)))
    extent = float(np.linalg.norm(moved.max(axis=1) - moved.min(axis=1)))
    return np.asarray(angles * (length / max(extent, 1e-6)))
