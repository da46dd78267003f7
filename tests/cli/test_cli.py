"""The command as a stranger runs it: exit codes, one line for each thing that went wrong, nothing lost."""

import contextlib
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from small import tiny_file
from typer.testing import CliRunner

import idrestore
from idrestore.cli import app, doctor
from idrestore.extras import how_to_install
from idrestore.files import image
from idrestore.model import checkpoint
from idrestore.model.config import PRESETS
from idrestore.model.network import RestorationNetwork
from idrestore.model.shipped import CheckpointError


def run(*arguments, cwd="."):
    """Run the command in this process; return exit code, standard output and standard error."""
    with contextlib.chdir(cwd):
        done = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "80", "NO_COLOR": "1"})
    return done.exit_code, done.stdout, done.stderr


def run_program(*arguments, **kwargs):
    """Run the command as a program of its own, which takes two seconds longer; return what `run` does."""
    environment = os.environ | {"COLUMNS": "80", "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "idrestore", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        **kwargs,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_file(tmp_path_factory.mktemp("model"), licence="CC0")


def photo(path, value=90):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((36, 40, 3), value, np.uint8)
    pixels[:9] += 20  # not of one colour, which would be left as it is
    image.write(pixels, path, image.Photo(pixels))
    return path


def bomb(path):
    """Write a PNG whose header claims 30,000 x 30,000 pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")))
    return path


def test_a_folder_with_broken_files_is_restored_as_far_as_it_can_be(tmp_path, model):
    photo(tmp_path / "in/good.jpg")
    photo(tmp_path / "in/deep/er.png")
    (tmp_path / "in/text.jpg").write_text("hello")
    (tmp_path / "in/empty.png").write_bytes(b"")
    whole = photo(tmp_path / "in/cut.png").read_bytes()
    (tmp_path / "in/cut.png").write_bytes(whole[: len(whole) // 2])
    bomb(tmp_path / "in/bomb.png")
    code, out, err = run_program("restore", tmp_path / "in", tmp_path / "none.jpg", "-o", tmp_path / "out", "-m", model)
    assert code == 1
    assert "2 restored, 5 failed" in out
    assert "text.jpg" not in out  # said once
    complaints = err.strip().splitlines()
    assert len(complaints) == 5
    for name in ("text.jpg", "empty.png", "cut.png", "bomb.png", "none.jpg"):
        assert sum(name in line for line in complaints) == 1
    results = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*g"))
    assert results == ["deep/er.png", "good.jpg"]


def test_a_photo_is_restored_and_the_reasons_are_said(tmp_path, model):
    source = photo(tmp_path / "a.png")
    code, out, err = run_program("restore", source, "-o", tmp_path / "b.png", "-m", model, "-v")
    assert (code, err) == (0, "")
    assert "%" in out
    assert image.size(tmp_path / "b.png") == (40, 36)


def test_a_wish_for_bf16_where_it_cannot_be_is_refused_at_the_start(tmp_path, model, monkeypatch):
    """`ONEDNN_MAX_CPU_ISA` makes any processor one of AVX2 alone; nothing is recorded as a photo's own failure."""
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    photo(tmp_path / "in/a.png")
    command = ["restore", tmp_path / "in", "-o", tmp_path / "out", "-m", model]
    code, out, err = run_program(*command, "--precision", "bf16")
    assert (code, out) == (2, "")
    assert err == "idrestore: --precision: got bf16, which cannot be computed on this cpu; expected auto or fp32\n"
    assert not (tmp_path / "out").exists()
    assert run_program(*command)[0] == 0
    assert run_program("info")[1].splitlines()[-1].startswith("this machine: ")


def test_a_folder_is_finished_over_several_runs_and_reported(tmp_path, model):
    for name in ("a.png", "b/b.png", "c.png", "d.jpg"):
        photo(tmp_path / "in" / name)
    (tmp_path / "in/bad.jpg").write_text("hello")
    arguments = [tmp_path / "in", "-o", tmp_path / "out", "-m", model, "--workers", 2, "--report", tmp_path / "r.json"]
    codes, counts = [], {"done": 0, "skipped": 0, "failed": 0}
    for part in ("1/2", "2/2"):
        codes.append(run("restore", *arguments, "--shard", part)[0])
        for status, count in json.loads((tmp_path / "r.json").read_text())["counts"].items():
            counts[status] += count
    assert (sorted(codes), counts) == ([0, 1], {"done": 4, "skipped": 0, "failed": 1})
    code, out, err = run("restore", *arguments, "--report", tmp_path / "r.csv")
    assert code == 1
    assert out.endswith("0 restored, 4 done already, 1 failed\n")
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 1 + 5
    assert (err.count("bad.jpg"), len(err.strip().splitlines())) == (1, 1)
    photos = json.loads((tmp_path / "r.json").read_text())["photos"]
    assert sorted(Path(entry["photo"]).name for entry in photos) == ["a.png", "b.png", "bad.jpg", "c.png", "d.jpg"]


def test_a_named_result_leaves_no_manifest(tmp_path, model):
    assert run("restore", photo(tmp_path / "a.png"), "-o", tmp_path / "b.png", "-m", model)[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{tmp}/none.jpg", "-o", "{tmp}/out"], 1, "none.jpg: no such file or folder"),
        (["{tmp}/empty", "-o", "{tmp}/out"], 1, "no photos in this folder"),
        (["{tmp}/a.png", "-o", "{tmp}"], 2, "results there would replace their photos"),
        (["{tmp}/a.png", "-o", "{tmp}/a.png"], 2, "results there would replace their photos"),
        (["{tmp}/a.png", "--format", "gif"], 2, "--format: got 'gif', expected one of jpg, png, webp, tif, avif"),
        (["{tmp}/a.png", "--suffix", "", "--device", "cpu"], 2, "--suffix: got ''"),
        (["{tmp}/a.png", "-o", "{tmp}/file/out"], 2, "cannot be made or written"),
        (["{tmp}/a.png", "-o", "{tmp}/out", "-m", "none"], 2, "no model 'none'"),
        (["{tmp}/a.png", "-o", "{tmp}/out", "-m", "{tmp}/a.png"], 2, "not a readable safetensors"),
        (["{tmp}/a.png", "-o", "{tmp}/out", "--strength", "2"], 2, "--strength: got '2', expected 0 to 1"),
        (["{tmp}/a.png", "-o", "{tmp}/out", "--only", "snow"], 2, "--only: got snow, expected some of noise"),
        (["{tmp}/a.png", "-o", "{tmp}/out", "--precision", "fp8"], 2, "--precision: 'fp8' is not one of 'auto'"),
        (["{tmp}/a.png", "-o", "{tmp}/out", "--tile", "7"], 2, "--tile: got 7"),
        (["{tmp}/a.png", "-o", "{tmp}/out", "--memory", "much"], 2, "--memory: got 'much', expected a number with"),
        (["{tmp}/a.png", "-o", "{tmp}/out", "--memory", "1M"], 2, "--memory: got 0.00G, expected more than the"),
        (["{tmp}/a.png", "-o", "{tmp}/out", "--device", "abacus"], 2, "--device: got 'abacus'"),
        (["{tmp}/a.png", "-o", "{tmp}/b.gif"], 2, "b.gif cannot be written: expected a name that ends in"),
        (["{tmp}/a.png", "{tmp}/c.png", "-o", "{tmp}/b.png"], 2, "expected a folder for the results of 2 photos"),
        (["{tmp}/a.png", "-o", "{tmp}/out", "--shard", "3/2"], 2, "--shard: got '3/2', expected NUMBER/TOTAL"),
        (["{tmp}/a.png", "-o", "{tmp}/out", "--report", "{tmp}/a.txt"], 2, "a name that ends in .csv, .json, .html"),
        (["{tmp}/a.png", "-o", "{tmp}/out", "--protect", "{tmp}/no.png"], 2, "no.png is no file: expected a picture"),
        (["{tmp}/a.png", "-o", "{tmp}/b.xyz/c.png", "--max-pixels", "10"], 1, "a.png"),
    ],
)
def test_user_errors_are_one_line_and_a_documented_code(tmp_path, model, arguments, code, message):
    photo(tmp_path / "a.png")
    photo(tmp_path / "c.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    arguments = [argument.format(tmp=tmp_path) for argument in arguments]
    if "-m" not in arguments:
        arguments += ["-m", model]
    before = (tmp_path / "a.png").read_bytes()
    returned, _, err = run("restore", *arguments)
    assert (returned, len(err.strip().splitlines())) == (code, 1)
    assert message in err
    assert (tmp_path / "a.png").read_bytes() == before


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom file permissions bind")
def test_an_unwritable_folder_is_said(tmp_path, model):
    source = photo(tmp_path / "a.png")
    (tmp_path / "out").mkdir(mode=0o500)
    code, _, err = run_program("restore", source, "-o", tmp_path / "out", "-m", model)
    assert code == 2
    assert f"the folder {tmp_path / 'out'} cannot be written (Permission denied): check its permissions" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["restore", "{tmp}/a.png", "-o", "{tmp}/out/b.png"],
        ["evaluate", "--data", "a={tmp}:clean", "-o", "{tmp}/out/r.json"],
        ["explain", "{tmp}/a.png", "-o", "{tmp}/out"],
        ["degrade", "{tmp}/a.png", "-o", "{tmp}/out", "--kind", "haze"],
        ["train", "recipes/smoke.toml", "-o", "{tmp}/out", "--photos", "{tmp}"],
        ["ablate", "recipes/ablations/clean.toml", "-o", "{tmp}/out", "--photos", "{tmp}", "--data", "a={tmp}:clean"],
        ["pack", "{tmp}", "-o", "{tmp}/out"],
    ],
)
def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path, monkeypatch, arguments):
    """`evaluate` used to measure all photos first, and then lost the figures."""
    photo(tmp_path / "a.png")

    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("idrestore.atomic.check_writable", refused)
    code, out, err = run(*(argument.replace("{tmp}", str(tmp_path)) for argument in arguments))
    assert (code, out) == (2, "")
    line = f"--out: the folder {tmp_path / 'out'} cannot be written (Permission denied): check its permissions"
    assert err == f"idrestore: {line}\n"


def test_degrade_makes_pairs_that_evaluate_reads(tmp_path, model):
    for name in ("in/a.png", "in/b/c.jpg"):
        photo(tmp_path / name)
    code, _, err = run("degrade", tmp_path / "in", "-o", tmp_path / "pairs", "--kind", "noise@0.6+haze")
    assert (code, err) == (0, "")
    assert (tmp_path / "pairs/degraded/b/c.png").exists()
    assert (tmp_path / "pairs/clean/b/c.png").exists()
    data = ["--data", f"noise={tmp_path}/pairs", "--data", f"clean={tmp_path}/in:clean"]
    code, out, err = run("evaluate", *data, "-o", tmp_path / "r/results.json", "-m", model)
    assert (code, err) == (0, "")
    assert "| noise |" in out
    assert json.loads((tmp_path / "r/results.json").read_text())["format_version"] == 1
    assert (tmp_path / "r/results.md").read_text().strip() == out.strip()


def test_evaluate_does_not_write_its_table_over_its_results(tmp_path, model):
    photo(tmp_path / "in/a.png")
    code, _, err = run("evaluate", "--data", f"a={tmp_path}/in:clean", "-o", tmp_path / "r.md", "-m", model)
    assert (code, len(err.strip().splitlines())) == (2, 1)
    assert not (tmp_path / "r.md").exists()


def test_degrade_replaces_nothing_and_takes_any_word_for_a_kind(tmp_path):
    command = "degrade", photo(tmp_path / "a.png"), "-o", tmp_path / "out", "--kind"
    assert run(*command, "fog")[0] == 0
    before = (tmp_path / "out/degraded/a.png").read_bytes()
    code, _, err = run(*command, "noise")
    assert (code, err.count("\n")) == (1, 1)
    assert "a.png exists already: choose another folder" in err
    assert (tmp_path / "out/degraded/a.png").read_bytes() == before
    assert run(*command[:-2], tmp_path / "other", "--kind", "haze")[0] == 0
    assert (tmp_path / "other/degraded/a.png").read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "message"),
    [("mud", "unknown kind 'mud'"), ("grain@2", "strength of noise: got 2"), ("noise@x", "got 'noise@x'")],
)
def test_degrade_refuses_unknown_kinds(tmp_path, kind, message):
    code, _, err = run("degrade", photo(tmp_path / "a.png"), "-o", tmp_path / "out", "--kind", kind)
    assert (code, len(err.strip().splitlines())) == (2, 1)
    assert f"--kind: {message}" in err


def test_degrade_takes_percentages_for_a_strength(tmp_path):
    command = "degrade", photo(tmp_path / "a.png"), "--kind", "noise", "-o"
    for out, strength in (("half", "0.5"), ("percent", "50%")):
        assert run(*command, tmp_path / out, "--strength", strength)[0] == 0
    half, percent = (tmp_path / out / "degraded/a.png" for out in ("half", "percent"))
    assert half.read_bytes() == percent.read_bytes()
    for wrong in ("2", "much"):
        code, _, err = run(*command, tmp_path / "out", "--strength", wrong)
        assert (code, err) == (2, f"idrestore: --strength: got {wrong!r}, expected 0 to 1, or 0% to 100%\n")


def test_train_makes_a_model_that_restores(tmp_path, photo_folder):
    text = """
    save_every = 2
    model = { preset = "tiny" }
    data = { workers = 0, held_out = 1, scales = [1.0] }
    collect = { steps = 2, batch = 2, patch = 32 }
    integrate = { steps = 2, batch = 2, patch = 32 }
    """
    (tmp_path / "recipe.toml").write_text(text)
    arguments = ["train", tmp_path / "recipe.toml", "-o", tmp_path / "run", "--photos", photo_folder]
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert "best.safetensors" in out
    code, _, err = run(*arguments)
    assert code == 2
    assert "--resume" in err
    best = tmp_path / "run/best.safetensors"
    assert run("restore", photo(tmp_path / "a.png"), "-o", tmp_path / "out", "-m", best)[0] == 0
    code, out, _ = run("info", best, "--json")
    assert json.loads(out)["step"] == 4
    assert "credits" not in run("info", best)[1]  # those are the shipped weights' photographers


def test_the_smoke_recipe_runs_in_both_stages(tmp_path):
    """As its first lines say, in the repository's root."""
    root = Path(__file__).parents[2]
    code, _, err = run_program("train", "recipes/smoke.toml", "-o", tmp_path / "run", cwd=root)
    assert (code, err) == (0, "")
    entries = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert {entry.get("stage") for entry in entries} >= {"collect", "integrate"}
    assert set(entries[-1]["degradations"]) == {*PRESETS["tiny"].degradations, "mixture"}


def test_train_refuses_a_wrong_recipe_in_one_line(tmp_path):
    (tmp_path / "recipe.toml").write_text("sede = 1")
    code, _, err = run("train", tmp_path / "recipe.toml", "-o", tmp_path / "run")
    assert (code, len(err.strip().splitlines())) == (2, 1)
    assert "nearest one is 'seed'" in err
    assert not (tmp_path / "run").exists()


def test_info_of_a_model_is_a_card_of_ten_lines_for_people():
    code, out, _ = run("info", "fast")
    assert code == 0
    labels = [line[:12].strip() for line in out.splitlines() if line[:12].strip()]
    assert labels[:4] == ["model", "about", "removes", "licence"]
    assert len(labels) <= 12
    assert max(len(line) for line in out.splitlines() if str(Path(idrestore.__file__).parent) not in line) <= 80


def test_doctor_says_what_this_machine_can_do(monkeypatch):
    monkeypatch.setattr(doctor, "SIDE", 64)
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert [line.split()[0] for line in done.stdout.splitlines() if line[0] != " "] == [
        "idrestore", "processor", "memory", "torch", "computing", "libvips", "writes", "reads", "model", "speed",
    ]  # fmt: skip
    assert "JPEG, PNG, WebP, TIFF, AVIF" in done.stdout


def test_doctor_tells_programs_the_same(monkeypatch):
    def broken() -> str:
        raise RuntimeError("no\nmodel")

    monkeypatch.setattr(doctor, "SIDE", 64)
    monkeypatch.setattr(doctor, "_model", broken)
    done = CliRunner().invoke(app, ["doctor", "--json"])
    told = json.loads(done.stdout)
    assert (done.exit_code, told["errors"]) == (1, {"model": "no model"})
    assert told["idrestore"].startswith(idrestore.__version__)
    assert "JPEG" in told["writes"]


def test_doctor_says_how_to_get_the_decoders_that_are_not_there(monkeypatch):
    monkeypatch.setattr(doctor, "find_spec", lambda module: None if module == "pillow_heif" else module)
    assert f"not HEIC: {how_to_install('heif')}" in doctor._read()
    monkeypatch.setattr(doctor, "find_spec", lambda module: module)
    assert "HEIC" in doctor._read().partition("not")[0]


def test_doctor_says_what_is_broken_and_goes_on(monkeypatch):
    monkeypatch.setattr(doctor, "SIDE", 64)
    monkeypatch.setattr(doctor, "_works", lambda row: row.name != "PNG")
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert "writes: PNG cannot be written and read again" in done.stderr
    assert "speed" in done.stdout


def test_info_tells_what_a_shipped_model_costs_and_what_the_preset_of_its_name():
    _, out, _ = run("info", "--cost", "fast")
    shipped, preset = [
        int(line.split("|")[2].replace(",", "")) for line in out.splitlines() if line.startswith("| all")
    ]
    assert shipped == sum(each.numel() for each in checkpoint.load("fast").network.parameters())
    assert preset == sum(each.numel() for each in RestorationNetwork(PRESETS["fast"]).parameters())
    assert "and of the preset fast, for new models:" in out.splitlines()


def test_info_of_a_damaged_package_is_one_line(monkeypatch):
    def fail(name):
        raise CheckpointError(f"{name} is damaged")

    monkeypatch.setattr(checkpoint, "load", fail)
    for arguments in (["fast"], ["fast", "--cost"]):
        code, out, error = run("info", *arguments)
        assert (code, out, error) == (2, "", "idrestore: fast is damaged\n")


def test_info_tells_what_a_network_costs():
    code, out, _ = run("info", "--cost", "tiny")
    assert code == 0
    parts = [line.split("|")[1:4] for line in out.splitlines()[2:]]
    counts = [int(parameters.replace(",", "")) for _, parameters, _ in parts]
    assert sum(counts[:-1]) == counts[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["restor", "a.jpg"], "no such command 'restor'. Did you mean 'restore'?"),
        (["a.jpg", "--nonsense"], "no such option: --nonsense"),
        (["a.jpg", "--quality", "300"], "--quality: got 300, expected at most 100"),
        (["a.jpg", "--quality", "much"], "--quality: got much, expected a valid integer"),
        (["a.jpg", "--workers", "0"], "--workers: got 0, expected at least 1"),
        (["a.jpg", "--strength"], "--strength"),
        (["restore"], "missing argument"),
        (["degrade", "a.jpg"], "missing option '--out'"),
        (["info", "fast", "tiny"], "unexpected extra argument"),
        (["web", "--port", "99999"], "--port: got 99999, expected at most 65535"),
        (["--nonsense"], "no such option"),
        (["a.jpg", "--preset", "night"], "--preset: got 'night'"),
    ],
)
def test_every_wrong_command_line_is_refused_in_one_form(arguments, words, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    refused = CliRunner().invoke(app, arguments)
    assert (refused.exit_code, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert refused.stderr.startswith("idrestore: ")
    assert words in refused.stderr


def test_who_interrupts_before_the_first_result_is_answered(monkeypatch, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("idrestore.cli.restore.load_model", interrupt)
    stopped = CliRunner().invoke(app, ["restore", str(photo(tmp_path / "a.png"))])
    assert (stopped.exit_code, stopped.stdout, stopped.stderr) == (130, "", "idrestore: interrupted\n")


@pytest.mark.parametrize("command", ["train", "ablate"])
def test_who_interrupts_training_is_told_once_how_to_go_on(command, monkeypatch, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    recipe = Path(__file__).parents[2] / "recipes/smoke.toml"
    (tmp_path / "grid.toml").write_text(f'base = "{recipe}"\n[runs]\na = {{}}\n')
    (tmp_path / "out").mkdir()
    (tmp_path / "out/state.pt").touch()
    monkeypatch.setattr("idrestore.training.loop.train", interrupt)
    monkeypatch.setattr("idrestore.training.ablate.ablate", interrupt)
    monkeypatch.setattr("idrestore.training.ablate.check", lambda *_: [])
    rest = [recipe] if command == "train" else [tmp_path / "grid.toml", "--data", f"a={tmp_path}"]
    stopped = CliRunner().invoke(app, [command, *map(str, rest), "-o", str(tmp_path / "out")])
    assert (stopped.exit_code, stopped.stderr.count("\n")) == (130, 1)
    assert "interrupted; the same command" in stopped.stderr


def test_without_arguments_the_command_explains_itself():
    alone = CliRunner().invoke(app, [])
    assert (alone.exit_code, alone.stdout) == (2, "")
    assert "idrestore photo.jpg" in alone.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["none.jpg"],
        ["none.jpg", "--only", "fig"],
        ["none.jpg", "--strength", "fig=50%"],
        ["none.jpg", "-m", "nothing"],
        ["-", "-m", "nothing"],
        ["none.jpg", "--haze", "2"],
        ["none.jpg", "--format", "gif"],
        ["none.jpg", "-o", "a.gif"],
    ],
)
def test_what_is_wrong_is_said_before_a_model_is_waited_for(arguments, tmp_path):
    code = f"""
import sys
from typer.testing import CliRunner
from idrestore.cli import app

result = CliRunner().invoke(app, {arguments})
print(result.exit_code > 0, result.stderr.count(chr(10)), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "True 1 False\n"


def test_help_and_import_are_light():
    code = "import sys, idrestore.cli; assert not {'torch', 'pyvips', 'skimage'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert run_program("--help")[0] == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--strength", "2"], "--strength: got '2', expected 0 to 1"),
        (["--strength", "snow=0.5"], "--strength: got snow, expected some of noise"),
        (["--strength", "haze=much"], "--strength: got 'haze=much', expected NAME=NUMBER"),
        (["--only", "snow"], "--only: got snow, expected some of noise"),
        (["--ingredients", "rain=0.7,noise=0.5"], "--ingredients: got a sum of 1.2, expected at most 1"),
        (["--ingredients", "rain"], "--ingredients: got 'rain', expected NAME=NUMBER"),
        (["--pages", "all", "--format", "png"], "--pages: got all with --format png, which holds one"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused_before_anything_is_done(tmp_path, model, flags, words):
    source = photo(tmp_path / "a.png")
    code, _, errors = run("restore", source, "-o", tmp_path / "out", "--model", model, *flags)
    assert code == 2
    assert errors.count("\n") == 1
    assert words in errors
    assert not (tmp_path / "out").exists()


def test_wishes_reach_the_network(tmp_path, model):
    source = photo(tmp_path / "a.png")
    code, out, _ = run("restore", source, "-o", tmp_path / "b.png", "-m", model, "-v", "--ingredients", "rain=0.6")
    assert code == 0
    assert "[rain 60%, clean 40%]" in out
    code, *_ = run("restore", source, "-o", tmp_path / "c.png", "--model", model, "--strength", "0")
    assert code == 0
    np.testing.assert_array_equal(image.read(tmp_path / "c.png").pixels, image.read(source).pixels)


def test_explain_says_what_is_wrong_and_goes_on_after_a_broken_file(tmp_path, model):
    photo(tmp_path / "in/a.png")
    (tmp_path / "in/b.jpg").write_text("hello")
    code, out, errors = run("explain", tmp_path / "in", "-o", tmp_path / "out", "--model", model)
    assert code == 1
    assert "a.png: " in out
    assert "b.jpg" in errors
    assert errors.count("\n") == 1
    assert (tmp_path / "out/a/explanation.html").is_file()


def test_explanations_have_a_place_of_their_own(tmp_path, model, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("explain", photo(tmp_path / "a.png"), "--model", model)
    assert code == 0
    assert out.endswith(f"{Path('explained/a/explanation.html')}\n")
    assert (tmp_path / "explained/a/after.png").is_file()


def test_explanations_may_lie_beside_their_photos(tmp_path, model):
    source = photo(tmp_path / "a.png")
    before = source.read_bytes()
    code, _, errors = run("explain", source, "-o", tmp_path, "--model", model)
    assert (code, errors) == (0, "")
    assert (tmp_path / "a/explanation.html").is_file()
    assert source.read_bytes() == before


@pytest.mark.parametrize("command", ["restore", "explain", "degrade"])
def test_a_name_that_no_file_can_have_is_refused_in_one_line(tmp_path, model, command):
    rest = ["--kind", "noise"] if command == "degrade" else ["--model", model]
    code, _, errors = run(command, "a" * 300 + ".jpg", "-o", tmp_path / "out", *rest)
    assert (code, errors.count("\n")) == (2, 1)
    assert "too long" in errors


def test_a_run_in_which_nothing_is_found_is_reported_too(tmp_path, model):
    missing, report = tmp_path / "a.png", tmp_path / "r.json"
    code, _, errors = run("restore", missing, "-o", tmp_path / "out", "-m", model, "--report", report)
    assert (code, errors.count("\n")) == (1, 1)
    assert json.loads(report.read_text())["counts"]["failed"] == 1
    assert not (tmp_path / "out").exists()


def test_explain_keeps_to_the_memory_it_is_given(tmp_path, model):
    source = photo(tmp_path / "a.png")
    assert run("explain", source, "-o", tmp_path / "out", "--model", model, "--memory", "64G")[0] == 0
    code, _, errors = run("explain", source, "-o", tmp_path / "out", "--model", model, "--memory", "1M")
    assert (code, "expected more than the" in errors) == (2, True)


def test_explain_wants_photos_or_priors(tmp_path, model):
    assert run("explain", "-o", tmp_path / "out", "--model", model)[0] == 2
    assert run("explain", "--priors", tmp_path, "-o", tmp_path / "out", "--model", model)[0] == 2
    code, out, _ = run("explain", "--priors", "-o", tmp_path / "out", "--model", model)
    assert code == 0
    assert "priors.png" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "--cost"], "--cost: expected a model or a preset"),
        (["info", "paper"], "it is a preset, of which --cost says"),
        (["info", "fast", "--cost", "--json"], "--json: got --cost too, expected one of the two"),
        (["a.png", "--low-light", "--only", "haze"], "--low-light: got --only too"),
        (
            ["a.png", *(f"--no-{name}" for name in ("noise", "rain", "haze", "blur", "low-light"))],
            "--no-blur, --no-haze, --no-low-light, --no-noise, --no-rain: with these nothing is left to remove",
        ),
        (["degrade", "a.png", "-o", "out", "--kind", "rain+rain@0.9"], "got rain twice"),
        (["degrade", "a.png", "-o", "out", "--kind", "rain", "--seed=-1"], "--seed"),
    ],
)
def test_other_wrong_commands_are_refused(tmp_path, arguments, words):
    code, _, errors = run(*arguments, cwd=tmp_path)
    assert code == 2
    assert words in errors
    assert not list(tmp_path.iterdir())


def test_the_version_is_printed():
    assert run_program("--version") == (0, f"{idrestore.__version__}\n", "")
