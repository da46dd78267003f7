"""What a model has learned of degradations: its hubs as points, their likeness, their ingredients."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from idrestore.model.checkpoint import Model
from idrestore.model.hub import IngredientHub

FORMAT_VERSION = 1
SEED = 0
"""Of t-SNE, which is random"""
Array = NDArray[np.float64]


def measure(model: Model) -> dict[str, Any]:
    """Return what `write` draws, as JSON can hold it.

    `priors` are the hubs of pure degradations, hub(e_k), (K, L, D); `similarity` (K, K) is the cosine between them,
    each taken as one vector after removing their common mean; `principal_components` and `t_sne` place all K·L priors
    in the plane, (K, L, 2) each. `spectra` (K, R) says how much of each of the R ingredients each degradation
    contains, or, in a model of the first stage, gives the L singular values of each hub.
    Raises `ImportError` without the extra `explain`.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    hub, names = model.network.hub, model.network.config.degradations
    with torch.no_grad():
        priors = hub(torch.eye(len(names))).double()
        spectra = hub.ingredients().spectra if isinstance(hub, IngredientHub) else torch.linalg.svdvals(priors)
    points = priors.flatten(0, 1).numpy()
    flat = priors.flatten(1).numpy()
    flat = flat - flat.mean(axis=0)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    t_sne = TSNE(perplexity=min(30.0, (len(points) - 1) / 3), init="pca", random_state=SEED)
    shape = (*priors.shape[:2], 2)
    return {
        "format_version": FORMAT_VERSION,
        "model": model.path.stem,
        "sha256": model.sha256,
        "stage": "integrate" if isinstance(hub, IngredientHub) else "collect",
        "degradations": list(names),
        "similarity": (flat @ flat.T).tolist(),
        "spectra": spectra.tolist(),
        "principal_components": PCA(2).fit_transform(points).reshape(shape).tolist(),
        "t_sne": t_sne.fit_transform(points).reshape(shape).tolist(),
        "priors": priors.tolist(),
    }


def write(model: Model, folder: Path) -> Path:
    """Write `priors.json` and `priors.png` into `folder`; return the picture. Raises `ImportError` and `OSError`."""
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    found = measure(model)
    figure = Figure(figsize=(12, 9), layout="constrained")
    (first, second), (third, fourth) = figure.subplots(2, 2)
    _scatter(first, found, "t_sne", "t-SNE of all priors")
    _scatter(second, found, "principal_components", "Two principal components of all priors")
    _matrix(third, found)
    _spectra(figure, fourth, found)
    figure.legend(*first.get_legend_handles_labels(), loc="outside upper center", ncols=len(found["degradations"]))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "priors.json").write_text(json.dumps(found) + "\n", "utf-8")
    figure.savefig(folder / "priors.png", dpi=80)
    return folder / "priors.png"


def _scatter(axes: Any, found: dict[str, Any], key: str, title: str) -> None:
    for name, points in zip(found["degradations"], found[key], strict=True):
        axes.scatter(*np.array(points).T, s=24, label=name)
    axes.set_title(title)


def _matrix(axes: Any, found: dict[str, Any]) -> None:
    names, values = found["degradations"], found["similarity"]
    axes.imshow(values, vmin=-1, vmax=1, cmap="RdBu_r")
    axes.set_xticks(range(len(names)), names, rotation=45)
    axes.set_yticks(range(len(names)), names)
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color="w" if abs(value) > 0.6 else "k")
    axes.set_title("Likeness of hubs: cosine, common mean removed")


def _spectra(figure: Any, axes: Any, found: dict[str, Any]) -> None:
    names, values = found["degradations"], np.array(found["spectra"])
    if found["stage"] == "collect":
        axes.plot(range(1, values.shape[1] + 1), values.T, marker="o", markersize=3)  # in the colours of the points
        axes.set_xlabel("singular value")
        axes.set_title("Singular spectra of the hubs")
        return
    largest = np.abs(values).max()
    extent = (0.5, values.shape[1] + 0.5, len(names) - 0.5, -0.5)
    picture = axes.imshow(values, vmin=-largest, vmax=largest, cmap="RdBu_r", aspect="auto", extent=extent)
    figure.colorbar(picture, ax=axes)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("ingredient")
    axes.set_title("How much of each ingredient each contains")
