"""Small networks for tests, in sizes of which no two are equal, so that a swapped field shows."""

import dataclasses

import pytest
import torch

from idrestore.degradations import NAMES
from idrestore.device import computes_bf16
from idrestore.model import checkpoint
from idrestore.model.config import PRESETS, ModelConfig
from idrestore.model.hub import integrate
from idrestore.model.network import RestorationNetwork

needs_bf16 = pytest.mark.skipif(not computes_bf16(torch.device("cpu")), reason="this processor cannot compute bf16")

PAPER = ModelConfig(dim=6, depths=(1, 1, 1, 1), refinement=1, heads=(1, 2, 3, 4), degradations=NAMES, num_priors=5)
"""The paper's choices, in little."""
FAST = dataclasses.replace(
    PAPER,
    backbone="convolution",
    stem_stride=2,
    double_top=False,
    per_operation_top=True,
    deblurring_refiner=(7, 11),
    blur_kernel_estimator=(3, 9),
    affine_from=(0.3, 0.5),
    affine_refiner=(5, 8, 13),
    haze_classifier=(4, 10, 14),
    rain_classifier=(6, 12, 16),
    predictor="shared",
    query_stride=2,
    pooling="mean_and_deviation",
)
"""The choices of the preset `fast`, in little."""
BOTH = {"paper": PAPER, "fast": FAST}


def shaken(module, deviation=0.1):
    """Move every parameter at random, so that nothing that starts at zero or one still is."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=deviation)
    return module


def network(config, hub="prior", **changes):
    """Return a shaken network; `hub="ingredient"` installs the hub of the second stage."""
    result = shaken(RestorationNetwork(dataclasses.replace(config, **changes)), 0.03)
    if hub == "ingredient":
        result.hub = integrate(result.hub, result.config.integration)
    return result


def one_hot(name_or_index, batch=1):
    """Return ingredients (B, 6) that consist of one degradation."""
    index = NAMES.index(name_or_index) if isinstance(name_or_index, str) else name_or_index
    return torch.eye(len(NAMES))[[index] * batch]


def mixture(batch):
    """Return random ingredients (B, 6)."""
    return torch.randn(batch, len(NAMES)).softmax(dim=1)


def tiny_file(folder, **card):
    """Write the untrained preset `tiny` with such a card, the same numbers each time, and return the file."""
    path = folder / "tiny.safetensors"
    torch.manual_seed(0)
    checkpoint.save(path, RestorationNetwork(PRESETS["tiny"]), card)
    return path
