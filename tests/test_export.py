"""A file for other engines: what it does, what it says of itself, and what goes wrong in a line."""

import dataclasses
import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small import BOTH, FAST, mixture, network
from typer.testing import CliRunner

from idrestore import export
from idrestore.cli import app
from idrestore.degradations import NAMES
from idrestore.extras import how_to_install
from idrestore.model import checkpoint
from idrestore.model.checkpoint import Model

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def model_of(config):
    made = network(config, "ingredient").eval().requires_grad_(False)
    return Model(made, {"licence": "none"}, Path("small"), "0" * 64)


def run(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def of_the_caller():
    """Return what exporting must leave alone."""
    return logging.getLogger("torch.onnx").level, torch.get_rng_state().tolist()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return a model, the file that the command made of it, what it said, and what was the caller's, before and after.

    An export takes 16 seconds: there is one for all tests.
    """
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("export")
    checkpoint.save(folder / "model.safetensors", model_of(FAST).network, {"licence": "none"})
    before = of_the_caller()
    result = run(folder / "model.safetensors", "-o", folder / "model.onnx")
    after = of_the_caller()
    assert result.exit_code == 0, result.output
    return checkpoint.load(folder / "model.safetensors"), folder / "model.onnx", result.output, (before, after)


@pytest.fixture
def session(exported):
    return onnxruntime.InferenceSession(str(exported[1]), providers=["CPUExecutionProvider"])


def test_the_command_tells_how_the_file_compares(exported):
    assert exported[2].count("differs from torch by") == 2 * len(export.SIZES)


@pytest.mark.parametrize("size", [(16, 16), (48, 80), (80, 32)])
def test_it_restores_as_torch_does_at_any_size(exported, session, size):
    model = exported[0].network
    photo, rows = torch.rand(1, 3, *size), torch.stack([mixture(1) for _ in range(3)], dim=1)
    routed = rows.clone()
    routed[:, 1] = 0  # that block's router decides, whatever the others were told
    for ingredients in (rows, routed, torch.zeros_like(rows)):
        restored, logits = session.run(
            ["restored", "logits"], {"photo": photo.numpy(), "ingredients": ingredients.numpy()}
        )
        expected = model(photo, ingredients)
        np.testing.assert_allclose(restored, expected.restored, atol=1e-5)
        np.testing.assert_allclose(logits, expected.logits, atol=1e-4)
    np.testing.assert_allclose(restored, model(photo).restored, atol=1e-5)


def test_the_paper_s_transformer_exports_too(tmp_path):
    config = dataclasses.replace(BOTH["paper"], degradations=("haze", "blur"))  # exporting six takes half a minute
    compared = export.export(model_of(config), tmp_path / "paper.onnx")
    assert {each.routed for each in compared} == {True, False}
    assert len({(each.height, each.width) for each in compared}) == len(export.SIZES)


def test_exporting_leaves_the_callers_log_and_random_numbers_alone(exported):
    before, after = exported[3]
    assert before == after


def test_it_says_what_its_numbers_mean(exported, session):
    said = session.get_modelmeta().custom_metadata_map
    assert said["degradations"] == ",".join(NAMES)
    assert said["size_multiple"] == str(FAST.size_multiple)
    assert said["model_sha256"] == exported[0].sha256
    assert "licence" in said["card"]


def test_a_file_of_another_model_is_found_out(exported, session):
    other = network(FAST)
    assert max(each.difference for each in export.compare(other, session)) > export.TOLERANCE
    assert max(each.difference for each in export.compare(exported[0].network, session)) <= export.TOLERANCE


def test_a_file_that_differs_is_not_written(tmp_path, monkeypatch, exported):
    """What stood there stays, and nothing is left beside it."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"mine")
    other = exported[1].read_bytes()
    torch.manual_seed(1)  # other weights than those of the file
    monkeypatch.setattr(export, "_to_onnx", lambda _: other)
    with pytest.raises(export.ExportError, match=r"not written: at \d+x\d+ ONNX Runtime differs"):
        export.export(model_of(FAST), path)
    assert path.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [path]


def test_wrong_commands_are_refused_in_a_line(tmp_path, monkeypatch):
    there = tmp_path / "there.onnx"
    there.write_bytes(b"mine")
    for arguments, message in (
        (("fast", "-o", there), "--overwrite"),
        (("fast", "-o", tmp_path, "--overwrite"), "is a folder"),
        (("fast", "-o", tmp_path / "none" / "model.onnx"), "no folder"),
        (("nonsense", "-o", tmp_path / "model.onnx"), "no model 'nonsense'"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert message in result.output
        assert result.output.count("\n") == 1
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    result = run("fast", "-o", tmp_path / "model.onnx")
    assert result.exit_code == 2
    assert how_to_install("export") in result.output
    assert there.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [there]
