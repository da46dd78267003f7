"""Runs that are stopped, in every way, and go on."""

import dataclasses
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_png
from typer.testing import CliRunner

from idrestore.cli import app
from idrestore.model import checkpoint
from idrestore.model.config import PRESETS
from idrestore.training.loop import train
from idrestore.training.recipe import StageConfig, TrainConfig
from idrestore.training.run import Run, TrainingError
from idrestore.training.run_folder import RunFolder, interruptible

REPOSITORY = Path(__file__).parents[2]
RECIPE = """
model = {{ preset = "tiny", degradations = ["noise", "low_light"] }}
data = {{ photos = ["{photos}"], held_out = 1, workers = 0, scales = [1.0] }}
optimizer = {{ warm_up = 2{optimizer} }}
collect = {{ steps = {collect}, batch = 2, patch = 16, told = 0.5 }}
integrate = {{ steps = {integrate}, batch = 2, patch = 16 }}
log_every = 2
save_every = 3
"""


def recipe(tmp_path, photos, collect=4, integrate=5, optimizer=""):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(photos=photos, collect=collect, integrate=integrate, optimizer=optimizer))
    return path


def said(folder):
    """Return what the log says, without what depends on time."""
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [
        {k: v for k, v in entry.items() if k not in ("samples_per_second", "waiting_for_data")} for entry in entries
    ]


def same_run(one, other):
    """Tell whether two runs ended in the same models and states, bit for bit."""
    for name in ("last.safetensors", "best.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    states = [torch.load(folder / "state.pt") for folder in (one, other)]
    for part in ("network", "average"):
        assert all(torch.equal(tensor, states[1][part][name]) for name, tensor in states[0][part].items())
    moments = [state["optimizer"]["state"] for state in states]
    for key, entry in moments[0].items():
        assert all(torch.equal(value, moments[1][key][name]) for name, value in entry.items())


def test_a_state_that_the_disk_has_no_room_for_leaves_the_earlier_one(tmp_path, monkeypatch):
    def fail(_):
        raise OSError("disk full")

    folder = RunFolder(tmp_path, Run(TrainConfig(model=PRESETS["tiny"])))
    folder.start()
    folder.save_state()
    before = folder.state_path.read_bytes()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        folder.save_state()
    assert folder.state_path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [folder.log_path, folder.state_path]


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, photo_folder):
    path = recipe(tmp_path, photo_folder, collect=8, integrate=16)
    command = [sys.executable, "-m", "idrestore", "train", path, "-o", tmp_path / "killed"]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    end = time.monotonic() + 60
    while not (tmp_path / "killed" / "state.pt").exists() and time.monotonic() < end:
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert 3 <= torch.load(tmp_path / "killed" / "state.pt")["step"] < 24
    config = TrainConfig.from_toml(path)
    train(config, tmp_path / "killed", resume=True)
    train(config, tmp_path / "whole")
    same_run(tmp_path / "killed", tmp_path / "whole")
    lines = [
        [(e["step"], e.get("event"), e.get("stage")) for e in said(tmp_path / name)] for name in ("killed", "whole")
    ]
    assert lines[0] == lines[1]


@pytest.mark.parametrize(("step", "number"), [(2, signal.SIGINT), (5, signal.SIGTERM)])
def test_an_interrupted_run_loses_no_step(tmp_path, photo_folder, step, number):
    config = TrainConfig.from_toml(recipe(tmp_path, photo_folder))
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", progress=lambda done, _: os.kill(os.getpid(), number) if done == step else None)
    assert torch.load(tmp_path / "run" / "state.pt")["step"] == step
    train(config, tmp_path / "run", resume=True)
    train(config, tmp_path / "whole")
    same_run(tmp_path / "run", tmp_path / "whole")
    starts = [entry for entry in said(tmp_path / "run") if entry.get("event") == "start"]
    assert len(starts) == 1


def test_a_signal_to_all_processes_of_a_run_loses_no_step(tmp_path, photo_folder):
    """As `timeout` and batch systems send it: the workers leave it to the one that trains."""
    config = TrainConfig.from_toml(recipe(tmp_path, photo_folder))
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, workers=1))

    def stop(done, _):
        if done == 2:
            workers = [str(child.pid) for child in multiprocessing.active_children()]
            assert workers
            subprocess.run(["kill", *workers], check=True)
            time.sleep(0.5)  # in which a worker that is gone is noticed
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", progress=stop)
    assert torch.load(tmp_path / "run" / "state.pt")["step"] == 2


def test_the_command_says_how_an_interrupted_run_goes_on(tmp_path, photo_folder, monkeypatch):
    def interrupt(config, folder, *_):
        (folder / "state.pt").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("idrestore.training.loop.train", interrupt)
    arguments = ["train", str(recipe(tmp_path, photo_folder)), "-o", str(tmp_path / "run")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 130
    assert "--resume goes on with the run in" in result.stderr


def test_a_second_interrupt_acts_at_once():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which shells take from what they start with &
    with interruptible() as interrupted:
        assert not interrupted()
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_run_that_never_saved_leaves_no_lines_behind(tmp_path, photo_folder):
    config = dataclasses.replace(TrainConfig.from_toml(recipe(tmp_path, photo_folder)), save_every=99, log_every=1)

    def stop(done, _):
        if done == 3:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        train(config, tmp_path / "run", progress=stop)
    assert len(said(tmp_path / "run")) == 3
    train(config, tmp_path / "run")
    train(config, tmp_path / "whole")
    assert said(tmp_path / "run") == said(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["short", "empty", "text", "other"])
def test_a_damaged_state_is_said_in_one_line(tmp_path, photo_folder, damage):
    path = recipe(tmp_path, photo_folder, 1, 1)
    train(TrainConfig.from_toml(path), tmp_path / "run")
    state = tmp_path / "run" / "state.pt"
    if damage == "other":
        torch.save({"weights": torch.zeros(2)}, state)
    else:
        state.write_bytes({"short": state.read_bytes()[:2000], "empty": b"", "text": b"no state"}[damage])
    kept = state.read_bytes()
    with pytest.raises(TrainingError, match=r"state\.pt is damaged .*last\.safetensors") as error:
        train(TrainConfig.from_toml(path), tmp_path / "run", resume=True)
    assert "\n" not in str(error.value)
    result = CliRunner().invoke(app, ["train", str(path), "-o", str(tmp_path / "run"), "--resume"])
    assert result.exit_code == 2
    assert state.read_bytes() == kept


def test_a_run_that_explodes_says_where_and_exits_with_1(tmp_path, photo_folder):
    path = recipe(tmp_path, photo_folder, collect=15, optimizer=", learning_rate = 1e6, clip = 1e9")
    result = CliRunner().invoke(app, ["train", str(path), "-o", str(tmp_path / "run")])
    assert result.exit_code == 1
    (line,) = result.stderr.strip().splitlines()
    step = int(line.split("at step ")[1].split(",")[0])
    assert f"its samples are {2 * step} to {2 * step + 1} of seed 0" in line
    assert "there is no checkpoint yet" in line


def test_what_is_left_of_an_exploded_run_is_named(tmp_path, photo_folder):
    config = TrainConfig.from_toml(recipe(tmp_path, photo_folder, integrate=10))
    train(dataclasses.replace(config, integrate=StageConfig(0, patch=16)), tmp_path / "run")
    state = torch.load(tmp_path / "run" / "state.pt")
    state["network"]["stem.weight"] += torch.nan
    torch.save(state, tmp_path / "run" / "state.pt")
    with pytest.raises(TrainingError, match=r"the loss is nan at step 13, .* is .*/run/state\.pt, of step 4"):
        train(config, tmp_path / "run", resume=True)


def test_the_recipe_of_the_publication_runs_on_its_layouts(tmp_path, monkeypatch):
    """Both stages, a step each, of a tiny network on tiny data sets that are laid out as docs/method/data.md says."""
    rng = np.random.default_rng(0)
    for name in (
        *("BSD400/1.png", "WED/00001.png", "WED/00002.png"),
        *("Rain200L/train/rain/X2/norain-1x2.png", "Rain200L/train/norain/norain-1.png"),
        *("RESIDE/OTS/haze/part1/0005_0.8_0.04.jpg", "RESIDE/OTS/clear/clear/0005.jpg"),
        *("GoPro/train/GOPR0372_07_00/blur/000047.png", "GoPro/train/GOPR0372_07_00/sharp/000047.png"),
        *("LOL/our485/low/2.png", "LOL/our485/high/2.png"),
    ):
        write_png(tmp_path / "data" / name, rng.integers(0, 256, (40, 48, 3), np.uint8))
    recipe = TrainConfig.from_toml(REPOSITORY / "recipes" / "paper.toml")
    small = dataclasses.replace(PRESETS["tiny"], degradations=recipe.model.degradations)
    stages = {name: dataclasses.replace(getattr(recipe, name), steps=1, patch=16) for name in ("collect", "integrate")}
    data = dataclasses.replace(recipe.data, workers=0, held_out=1)
    monkeypatch.chdir(tmp_path)
    best = train(dataclasses.replace(recipe, model=small, data=data, **stages), tmp_path / "run")
    assert checkpoint.load(best).network.config == small
