"""Model files: safetensors that carry their own configuration and card.

No pickle is read here: a model file can hold numbers and text, nothing that runs.
"""

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise

from idrestore.atomic import replacing
from idrestore.configuration import one_line
from idrestore.model.config import ModelConfig
from idrestore.model.hub import IngredientHub
from idrestore.model.network import RestorationNetwork
from idrestore.model.published import ingredient_hub
from idrestore.model.shipped import SHIPPED, CheckpointError, resolve

FORMAT_VERSION = 1
FLOATS = (torch.float16, torch.bfloat16, torch.float32)
"""What a model file's tensors may be."""
METADATA_KEY = "idrestore"
RENAMED = {
    "mixed_top": "per_operation_top",
    "per_degradation_top": "per_operation_top",
    "overlay_blocks": "additive_refiner",
    "wide_view": "deblurring_refiner",
    "kernel_view": "blur_kernel_estimator",
    "tone_view": "affine_refiner",
    "overlay.": "additive_refiner.",
    "wide.look.": "deblurring_refiner.unblurred_stem.",
    "wide.take.": "deblurring_refiner.blend_mask.",
    "wide.": "deblurring_refiner.",
    "kernel.": "blur_kernel_estimator.",
    "tone.": "affine_refiner.",
}
"""Settings, and beginnings of tensors' names (with a dot), as older files have them, and as they are called now."""
BEFORE = {"operations_by": "degradation", "affine_from": (0.3, 0.5)}
"""Settings of models made before there was a choice."""
HUBS = ("prior", "ingredient")
FORMER = re.compile(r"additive_refiner\.\d+\.")
"""Tensors of residual blocks before the top, a number of which was the additive refiner until version 0.2: left out."""


@dataclass(frozen=True)
class Model:
    """A network and what is known of it."""

    network: RestorationNetwork
    card: dict[str, Any]
    """Data, attribution, recipe, steps, licence, results: whatever the trainer wrote."""
    path: Path
    sha256: str


def save(path: Path, network: RestorationNetwork, card: dict[str, Any], half: bool = False) -> None:
    """Write a network and its card to `path`, atomically; `half` stores 16-bit floats (for release)."""
    tensors = {
        name: (tensor.half() if half else tensor.float()).contiguous().cpu()
        for name, tensor in network.state_dict().items()
    }
    header = {
        "format_version": FORMAT_VERSION,
        "config": dataclasses.asdict(network.config),
        "hub": "ingredient" if isinstance(network.hub, IngredientHub) else "prior",
        "card": card,
    }
    with replacing(path) as file:
        file.write(serialise(tensors, {METADATA_KEY: json.dumps(header)}))


def load(name_or_path: str | Path = "fast") -> Model:
    """Load a model by its shipped name or its path, in fp32 on the CPU, ready for inference.

    Raises `CheckpointError` for a file that is missing, damaged, of another kind or version, or, for shipped models,
    whose SHA-256 is not the recorded one.
    """
    path = resolve(name_or_path)
    digest = _digest(path)
    if str(name_or_path) in SHIPPED and digest != SHIPPED[str(name_or_path)].sha256:
        raise CheckpointError(
            f"{path}: SHA-256 is {digest[:12]}…, expected {SHIPPED[str(name_or_path)].sha256[:12]}…;"
            " the file was changed or damaged, please reinstall idrestore"
        )
    header, tensors = _read(path)
    with torch.device("meta"):  # a header may claim any size: nothing is allocated before it is known to fit the file
        expected = {name: tensor.shape for name, tensor in _build(path, header).state_dict().items()}
    for name in expected.keys() | tensors.keys():
        if name not in tensors or name not in expected or tensors[name].shape != expected[name]:
            raise CheckpointError(f"{path}: tensor {name!r} is missing, unknown or of the wrong shape")
        if tensors[name].dtype not in FLOATS:
            raise CheckpointError(f"{path}: tensor {name!r} holds {tensors[name].dtype}, expected 16- or 32-bit floats")
        if not torch.isfinite(tensors[name]).all():
            raise CheckpointError(f"{path}: tensor {name!r} holds NaN or infinite values")
    with torch.random.fork_rng(devices=()):  # what is drawn to start with is replaced: the caller's numbers stay
        network = _build(path, header)
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return Model(network.eval().requires_grad_(False), header["card"], path, digest)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}): check the permissions") from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the JSON header and the tensors of a model file."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
            if text is None:
                raise CheckpointError(f"{path}: not written by idrestore (no {METADATA_KEY!r} entry)")
            names = {name: _renamed(name) for name in file.keys()}  # noqa: SIM118
            tensors = {new: file.get_tensor(name) for name, new in names.items() if not FORMER.match(new)}
        header = json.loads(text)
    except CheckpointError:
        raise
    except (SafetensorError, OSError, ValueError, RecursionError, RuntimeError, MemoryError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors model file ({one_line(error)[:300]})") from error
    if not isinstance(header, dict) or header.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(f"{path}: unknown format version, expected {FORMAT_VERSION}; update idrestore")
    if header.get("hub") not in HUBS or not isinstance(header.get("card"), dict):
        raise CheckpointError(f"{path}: damaged header, no card or none of the hubs {', '.join(HUBS)}")
    return header, tensors


def _renamed(tensor: str) -> str:
    """Return a tensor's name as it is called now."""
    before = next((each for each in RENAMED if each.endswith(".") and tensor.startswith(each)), "")
    return RENAMED.get(before, "") + tensor.removeprefix(before)


def _build(path: Path, header: dict[str, Any]) -> RestorationNetwork:
    """Make the network that a header describes, with the right kind of hub."""
    try:
        settings = {RENAMED.get(name, name): value for name, value in header["config"].items()}
        if isinstance(settings.get("additive_refiner"), int):
            settings.pop("additive_refiner")
        config = ModelConfig.from_mapping(BEFORE | settings)
        network = RestorationNetwork(config)
        if header["hub"] == "ingredient":
            network.hub = ingredient_hub(config)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{path}: unusable configuration ({one_line(error)[:300]})") from error
    return network
