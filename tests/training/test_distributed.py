"""Training in two processes, as torchrun starts them, against one with twice the batch."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from idrestore.model.config import PRESETS
from idrestore.model.hub import IngredientHub
from idrestore.training import distributed
from idrestore.training.loop import train
from idrestore.training.recipe import TrainConfig

RECIPE = """
model = {{ preset = "tiny", degradations = ["noise", "low_light"] }}
data = {{ photos = ["{photos}"], held_out = 1, workers = 0, scales = [1.0] }}
optimizer = {{ warm_up = 2, learning_rate = 1e-4 }}
collect = {{ steps = 3, batch = {batch}, patch = 16, told = 0.5 }}
integrate = {{ steps = 3, batch = {batch}, patch = 16 }}
log_every = 2
save_every = 3
"""


def recipe(tmp_path, photos, batch):
    path = tmp_path / f"batch{batch}.toml"
    path.write_text(RECIPE.format(photos=photos, batch=batch))
    return path


def with_its_hub(state):
    """Put what the hub says in place of its factors, among which singular vectors may swap signs by a rounding."""
    tiny = dataclasses.replace(PRESETS["tiny"], degradations=("noise", "low_light"))
    ingredients = IngredientHub(2, tiny.num_priors, tiny.prior_width, num_ingredients=tiny.num_ingredients)
    ingredients.load_state_dict({name[4:]: value for name, value in state.items() if name.startswith("hub.")})
    rest = {name: value for name, value in state.items() if not name.startswith("hub.")}
    return rest | {"hub": ingredients(torch.eye(2)).detach()}


def test_two_processes_learn_what_one_learns_from_twice_the_batch(tmp_path, photo_folder):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = ["-m", "idrestore", "train", recipe(tmp_path, photo_folder, 2), "-o", tmp_path / "two"]
    done = subprocess.run(
        [*launch, *arguments], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best model") == 1
    train(TrainConfig.from_toml(recipe(tmp_path, photo_folder, 4)), tmp_path / "one")
    two, one = (torch.load(tmp_path / name / "state.pt") for name in ("two", "one"))
    assert two["step"] == one["step"] == 6
    for part in ("network", "average"):
        learned, expected = (
            torch.cat([each.flatten() for each in with_its_hub(of[part]).values()]) for of in (two, one)
        )
        difference = (learned - expected).norm() / expected.norm()
        # Measured: 5e-6, since Adam enlarges roundings near 0; 9e-4 if gradients are not shared.
        assert difference < 3e-5, f"{part} differs by {difference:.2g}"
    torch.testing.assert_close(two["typical"], one["typical"], rtol=1e-4, atol=0)  # 2e-5, for the same reason
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("two", "one")]
    assert len(logs[0]) == len(logs[1])


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="tells threads by Linux's /proc")
def test_no_thread_of_the_group_outlives_it():
    program = """
import importlib, pathlib, torch
from idrestore.training import distributed
def threads():
    return sum("gloo" in path.read_text() for path in pathlib.Path("/proc/self/task").glob("*/comm"))
with distributed.joined(torch.device("cpu")):
    distributed.gather(torch.ones(1))
    importlib.import_module("torch._dynamo")  # as the first step of an optimiser does
    print(threads())
print(threads())
"""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python"]
    done = subprocess.run([*launch, sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    during, after = map(int, done.stdout.split())
    assert during > 0 and after == 0


def test_alone_nothing_is_exchanged():
    values = torch.rand(3, 2)
    parameter = torch.nn.Parameter(torch.rand(2))
    parameter.grad = torch.rand(2)
    before = parameter.grad.clone()
    distributed.average_gradients([parameter])
    assert distributed.gather(values) is values
    assert torch.equal(parameter.grad, before)
    assert (distributed.rank(), distributed.size()) == (0, 1)
    assert distributed.any_of(True, torch.device("cpu")) and not distributed.any_of(False, torch.device("cpu"))
    with distributed.joined(torch.device("cpu")) as device:
        assert device == torch.device("cpu")
