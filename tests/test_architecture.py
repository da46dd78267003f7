"""What the design promises of the source as a whole."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import idrestore

ROOT = Path(__file__).parents[1]
PACKAGE = Path(idrestore.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
names = pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(PACKAGE)) for p in FILES])


def python(code):
    """Run code in a fresh interpreter and return what it prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_an_image_is_built_from_all_that_the_wheel_holds():
    """What `.dockerignore` keeps back cannot be packed."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for path in build["targets"]["wheel"]["force-include"]:
        assert any(Path(path).is_relative_to(each) for each in let_through), path


def test_imports_point_down():
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert f"{len(contracts)} kept, 0 broken" in result.stdout


def test_contracts_are_exhaustive():
    """A new file has to be given its layer on the day it is born, and no layer is optional."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layered = {c["containers"][0]: c for c in contracts if c["type"] == "layers"}
    assert layered.keys() >= {"idrestore", "idrestore.model"}
    for contract in layered.values():
        assert contract["exhaustive"]
        assert not any("(" in layer for layer in contract["layers"])
        assert set(contract.get("exhaustive_ignores", [])) <= {"__main__", "weights", "templates"}


def test_importing_the_package_is_light():
    heavy = "{'torch', 'numpy', 'pyvips', 'skimage', 'fastapi', 'jinja2'}"
    assert python(f"import sys, idrestore; print(sorted({heavy} & set(sys.modules)))") == "[]"


def test_a_library_leaves_its_callers_process_as_it_is(tmp_path):
    """Photos are restored beside other work: settings of the whole process are the caller's."""
    code = f"""
import logging, pyvips, torch, idrestore

def settings():
    levels = {{name: logging.getLogger(name).level for name in ("", "pyvips", "torch.onnx", "idrestore")}}
    return pyvips.cache_get_max(), levels, torch.get_rng_state().tolist(), torch.get_num_threads()

before = settings()
pyvips.Image.black(40, 32, bands=3).write_to_file(r"{tmp_path}/photo.png")
idrestore.restore_file(r"{tmp_path}/photo.png", r"{tmp_path}/restored.png")
print(before[0] > 0, settings() == before)
"""
    assert python(code) == "True True"


def test_commands_keep_no_photo_open(tmp_path):
    code = f"""
import pyvips
from typer.testing import CliRunner
from idrestore.cli import app

pyvips.Image.black(40, 32, bands=3).write_to_file(r"{tmp_path}/photo.png")
result = CliRunner().invoke(app, ["COMMAND", r"{tmp_path}/photo.png", "-o", r"{tmp_path}/out"OPTIONS])
print(result.exit_code, pyvips.cache_get_max())
"""
    assert python(code.replace("COMMAND", "restore").replace("OPTIONS", "")) == "0 0"
    assert python(code.replace("COMMAND", "degrade").replace("OPTIONS", ", '--kind', 'noise'")) == "0 0"


def test_restoring_loads_neither_a_compiler_nor_the_synthesis():
    """The compiler would take a second of every start."""
    code = "import sys, idrestore.batch; idrestore.batch.restore_files; idrestore.load('fast')._bytes_per_pixel"
    assert python(code + "; print({'torch._dynamo', 'idrestore.data'} & set(sys.modules))") == "set()"


def test_the_network_needs_no_picture_library():
    code = "import sys, idrestore.model.network; print('pyvips' in sys.modules)"
    assert python(code) == "False"


@names
def test_a_file_is_a_concept(path):
    assert path.stem not in {"utils", "util", "helpers", "common", "core", "misc"}


@names
def test_words_are_those_of_the_glossary(path):
    """Degraded, clean, restored; degradation. Strings may name other people's folders."""
    forbidden = {"lq", "hq", "gt"}
    for node in ast.walk(ast.parse(path.read_text())):
        for field in ("id", "arg", "attr", "name", "asname"):
            word = getattr(node, field, None)
            if isinstance(word, str):
                assert not forbidden & set(word.lower().split("_")), f"{path}:{node.lineno} {word}"


@names
def test_every_public_name_has_a_docstring(path):
    def check(body, where):
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                overrides = isinstance(node, ast.FunctionDef) and node.name == "forward"
                assert overrides or ast.get_docstring(node), f"{where}:{node.lineno} {node.name}"
                if isinstance(node, ast.ClassDef):
                    check(node.body, where)

    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree) or not tree.body
    check(tree.body, path)


def test_one_version_is_said_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    released = re.search(r"^## (\d\S*) - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert project["version"] == idrestore.__version__ == cited[1] == released[1]


def test_the_package_says_that_it_has_types():
    assert (PACKAGE / "py.typed").is_file()
