"""Examples in docstrings say what really happens, and every public name has one."""

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest

import idrestore
from idrestore.files import image

PACKAGE = Path(idrestore.__file__).parent
WITH_EXAMPLES = [path for path in sorted(PACKAGE.rglob("*.py")) if ">>>" in path.read_text("utf-8")]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_examples_are_true(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.full((32, 48, 3), 90, np.uint8)
    image.write(pixels, "photo.jpg", image.Photo(pixels))
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    module = importlib.import_module(".".join(part for part in parts if part != "__init__"))
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert (result.failed, result.attempted > 0) == (0, True)


@pytest.mark.parametrize("name", idrestore.__all__)
def test_every_public_name_has_an_example(name):
    assert ">>>" in getattr(idrestore, name).__doc__
