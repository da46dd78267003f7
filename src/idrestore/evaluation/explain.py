"""What is wrong with a photo, which router says so, and where."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyvips
from numpy.typing import NDArray

from idrestore import templates
from idrestore.data.pairs import read_8_bit
from idrestore.files import image
from idrestore.restoration import guard
from idrestore.restoration.restorer import Progress, Restorer
from idrestore.restoration.results import Explanation, LatentMaps, Result
from idrestore.restoration.sentence import name_of, sentence

FORMAT_VERSION = 1
PAGE_SIDE = 1024
"""Longest side of the pictures in the page, px; the files beside it are as large as the photo."""
LATENTS = {
    "features": "F, what entered the block",
    "degradation": "h_p, what the priors know of it",
    "pseudo_clean": "x', what left the block",
}
Pixels = NDArray[np.uint8]


class Told(NamedTuple):
    """An explanation that was written to files."""

    sentence: str
    page: Path


def explain_file(
    restorer: Restorer,
    source: Path,
    folder: Path,
    max_pixels: int = image.MAX_PIXELS,
    progress: Progress = lambda done, total: None,
    latents: bool = False,
) -> Told:
    """Explain one photo in a folder of its own, with its `latents` or without; raise `ImageError` or `OSError`.

    What may be redacted on purpose is left alone, as where photos are restored. What `progress` raises comes through.
    """
    degraded = read_8_bit(source, max_pixels)
    regions = guard.find_redactions(degraded)
    mask = guard.mask_of(regions, *degraded.shape[:2]) if regions else None
    explanation = restorer.explain(degraded, progress, mask)
    about = {"photo": source.name, "model": restorer.model.path.stem, "sha256": restorer.model.sha256}
    return Told(describe(explanation.result), write(explanation, degraded, folder, about, latents))


def describe(result: Result) -> str:
    """Say in plain words what was found and what became of it, and what showed when that was gone."""
    again = f"; behind it: {name_of(next(iter(result.again)))}" if result.again else ""
    return sentence(result.ingredients, changed=result.changed) + again


def write(
    explanation: Explanation, degraded: Pixels, folder: Path, about: Mapping[str, Any], latents: bool = True
) -> Path:
    """Write pictures (PNG), `explanation.json` and a self-contained page into `folder`; return the page.

    `degraded` is the photo, (H, W, 3) uint8; `about` says what it and the model are called; without `latents`, only the
    photo before and after and its change are shown. Files of an earlier explanation are replaced. Raises `OSError`
    where the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = _pictures(explanation, degraded, latents)
    for name, picture in pictures.items():
        (folder / f"{name}.png").write_bytes(_vips(picture).pngsave_buffer(strip=True))
    report = _report(explanation, about, list(pictures))
    page = folder / "explanation.html"
    texts = {
        folder / "explanation.json": json.dumps(report, indent=1, ensure_ascii=False) + "\n",
        page: _page(explanation, pictures, about),
    }
    for path, text in texts.items():
        path.write_text(text, "utf-8", "backslashreplace")  # bytes of a file's name that are no text
    return page


def heat_picture(degraded: Pixels, heat: NDArray[np.float32]) -> Pixels:
    """Colour the grey photo (H, W, 3) by heat (H, W): from black and blue, little, to red and white, much."""
    low, high = np.percentile(heat, (1, 99))
    level = ((heat - low) / max(high - low, 1e-6)).clip(0, 1) * 255
    colours = _vips(level.astype(np.uint8)[..., None]).falsecolour().numpy()
    grey = degraded.mean(axis=2, keepdims=True)
    mixed: NDArray[np.float64] = 0.6 * colours + 0.4 * grey
    return mixed.round().astype(np.uint8)


def latent_pictures(maps: LatentMaps) -> dict[str, Pixels]:
    """Show F, h_p and x' by three principal components as red, green and blue; x' in those of F, to be compared."""
    own, priors = _components(maps.features), _components(maps.degradation)
    return {
        "features": _projected(maps.features, maps.features, own),
        "degradation": _projected(maps.degradation, maps.degradation, priors),
        "pseudo_clean": _projected(maps.pseudo_clean, maps.features, own),
    }


def _components(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the first three principal directions (C, 3) of features (C, h, w), with a fixed sign."""
    flat = features.reshape(len(features), -1).astype(np.float64)
    vectors = np.linalg.eigh(np.cov(flat))[1][:, :-4:-1]
    return np.asarray(vectors * np.where(vectors.sum(axis=0) < 0, -1, 1))


def _projected(features: NDArray[np.float32], like: NDArray[np.float32], basis: NDArray[np.float64]) -> Pixels:
    """Project features (C, h, w) on a basis (C, 3) in the range that `like` has there; (h, w, 3)."""
    low, high = np.percentile(np.einsum("chw,cn->nhw", like, basis), (1, 99), axis=(1, 2))
    planes = np.einsum("chw,cn->hwn", features, basis)
    levels: NDArray[np.float64] = ((planes - low) / np.maximum(high - low, 1e-6)).clip(0, 1) * 255
    return levels.round().astype(np.uint8)


def _pictures(explanation: Explanation, degraded: Pixels, latents: bool) -> dict[str, Pixels]:
    """Return the pictures of an explanation by the name of their file."""
    restored = explanation.result.image
    change = np.abs(restored.astype(np.float32) - degraded).mean(axis=2)
    pictures = {"before": degraded, "after": restored, "change": heat_picture(degraded, change)}
    if not latents:
        return pictures
    for level, heat in explanation.heat.items():
        pictures[f"{level}-where"] = heat_picture(degraded, heat)
    for level, maps in explanation.latents.items():
        for name, picture in latent_pictures(maps).items():
            pictures[f"{level}-{name}"] = picture
    return pictures


def _report(explanation: Explanation, about: Mapping[str, Any], pictures: list[str]) -> dict[str, Any]:
    """Return what machines read."""
    shares = explanation.result.ingredients
    first = next(iter(shares))
    agreeing = [next(iter(row)) == first for row in explanation.routers.values()]
    rows, columns = explanation.region
    return {
        "format_version": FORMAT_VERSION,
        **about,
        "sentence": describe(explanation.result),
        "ingredients": shares,
        "again": explanation.result.again,
        "confidence": shares[first],
        "routers_agreeing": sum(agreeing) / len(agreeing),
        "routers": explanation.routers,
        "latents_of": {"top": rows.start, "left": columns.start, "bottom": rows.stop, "right": columns.stop},
        "pictures": [f"{name}.png" for name in pictures],
    }


def _page(explanation: Explanation, pictures: Mapping[str, Pixels], about: Mapping[str, Any]) -> str:
    """Fill the template; everything is inside the page, nothing is fetched."""
    ingredients = explanation.result.ingredients
    routers = {"all together": ingredients} | explanation.routers
    if explanation.result.again:
        routers["second pass"] = explanation.result.again
    captions = {f"{level}-where": f"Strength of h_p at {level}" for level in explanation.heat}
    captions |= {
        f"{level}-{name}": f"{level}: {text}" for level in explanation.latents for name, text in LATENTS.items()
    }
    return templates.render(
        "explanation.html",
        photo=about.get("photo", "photo"),
        model=about.get("model", "model"),
        sentence=describe(explanation.result),
        shares=[(name_of(name) if name != "clean" else "nothing wrong", share) for name, share in ingredients.items()],
        **{name: _data_url(pictures[name]) for name in ("before", "after", "change")},
        names=list(ingredients),
        routers=routers,
        figures=[(caption, _data_url(pictures[name])) for name, caption in captions.items() if name in pictures],
    )


def _data_url(picture: Pixels) -> str:
    """Return a picture, made no larger than the page needs, as a URL that contains it."""
    large = _vips(picture)
    scale = PAGE_SIDE / max(large.width, large.height)
    data = (large.resize(scale) if scale < 1 else large).jpegsave_buffer(Q=88, strip=True)
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def _vips(picture: Pixels) -> pyvips.Image:
    return pyvips.Image.new_from_array(np.ascontiguousarray(picture))
