"""A model as one ONNX file for any height and width, run at once and compared with the network it was made from."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from idrestore.atomic import replacing
from idrestore.model.checkpoint import Model
from idrestore.model.config import PLACEMENTS
from idrestore.model.network import RestorationNetwork

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

INPUTS = ("photo", "ingredients")
OUTPUTS = ("restored", "logits")
SIZES = ((4, 4), (5, 9), (12, 7))
"""Heights and widths at which the file is compared, in units of `ModelConfig.size_multiple`."""
TOLERANCE = 1e-4
"""Largest difference from torch that is rounding: a fortieth of a step of 8 bit."""


class ExportError(RuntimeError):
    """The exported file does not do what the network does; the message is one line for people."""


class Comparison(NamedTuple):
    """How far the file is from torch on one photo."""

    height: int
    width: int
    routed: bool
    """Whether the routers decided, or ingredients were given"""
    difference: float
    """Largest of `restored` and `logits`"""


def export(model: Model, path: Path) -> list[Comparison]:
    """Write a model to `path` as ONNX, replacing what is there, and return how it compares with torch in fp32.

    The file's inputs are `photo` (1, 3, H, W) in [0, 1], H and W multiples of its `size_multiple`, and `ingredients`
    (1, M, K), where a row of zeros leaves the decision to that block's router; its outputs are `restored`
    (1, 3, H, W), not clamped, and the routers' `logits` (1, M, K).

    Raises `ImportError` without the packages of the extra `export`, `ExportError` for a file that differs by more than
    `TOLERANCE`, which is then not written, and `OSError`.
    """
    import onnxruntime

    content = _to_onnx(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    comparisons = compare(model.network, session)
    worst = max(comparisons, key=lambda each: each.difference)
    if not worst.difference <= TOLERANCE:  # NaN is no rounding either
        raise ExportError(
            f"not written: at {worst.height}x{worst.width} ONNX Runtime differs from torch by {worst.difference:.1g}, "
            f"expected at most {TOLERANCE:g}; please report the versions of torch, onnxscript and onnxruntime"
        )
    with replacing(path) as file:
        file.write(content)
    return comparisons


def compare(network: RestorationNetwork, session: "InferenceSession") -> list[Comparison]:
    """Compare a network and a session of its file on noise of several sizes, routed and with given ingredients."""
    config = network.config
    generator = torch.Generator().manual_seed(0)
    given = torch.rand(1, config.num_rows, len(config.degradations), generator=generator)
    comparisons = []
    for height, width in ((down * config.size_multiple, right * config.size_multiple) for down, right in SIZES):
        photo = torch.rand(1, 3, height, width, generator=generator)
        for ingredients in (torch.zeros_like(given), given.softmax(dim=2)):
            with torch.inference_mode():
                expected = network(photo, ingredients)[:2]
            values = [tensor.numpy() for tensor in (photo, ingredients)]
            actual = session.run(list(OUTPUTS), dict(zip(INPUTS, values, strict=True)))
            pairs = zip(expected, actual, strict=True)
            difference = max(float((a - torch.from_numpy(b)).abs().max()) for a, b in pairs)
            comparisons.append(Comparison(height, width, not ingredients.any(), difference))
    return comparisons


class _RestoredAndLogits(nn.Module):
    """A network with the outputs that a file has."""

    def __init__(self, network: RestorationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, photo: Tensor, ingredients: Tensor) -> tuple[Tensor, Tensor]:
        output = self.network(photo, ingredients)
        return output.restored, output.logits


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter from speaking of its own inside, and of torchvision, which is not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _to_onnx(model: Model) -> bytes:
    """Return the file's content; whoever runs it finds names and sizes in its metadata."""
    config = model.network.config
    multiple = config.size_multiple
    height, width = (side * multiple for side in SIZES[1])
    rows = (1, config.num_rows, len(config.degradations))
    height_and_width = {2: multiple * torch.export.Dim("rows"), 3: multiple * torch.export.Dim("columns")}
    with _quiet():
        program = torch.onnx.export(
            _RestoredAndLogits(model.network).eval(),
            (torch.zeros(1, 3, height, width), torch.zeros(rows)),
            input_names=INPUTS,
            output_names=OUTPUTS,
            dynamic_shapes=(height_and_width, None),
            dynamo=True,
            optimize=False,  # engines do so themselves when they load a file
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props.update(
        degradations=",".join(config.degradations),
        size_multiple=str(multiple),
        blocks=",".join(PLACEMENTS[config.placement]),
        model_sha256=model.sha256,
        card=json.dumps(model.card, ensure_ascii=False),
    )
    return bytes(program.model_proto.SerializeToString())
