"""Ray: an actor that dies loses no photo and makes none twice."""

import os
import signal
import sqlite3
from pathlib import Path

import pytest
import small
import torch
from test_batch import write

from idrestore.batch import Manifest, Settings, cluster, plan
from idrestore.batch.cluster import Placement
from idrestore.files import image
from idrestore.model.checkpoint import Model
from idrestore.restoration.restorer import Restorer

ray = pytest.importorskip("ray", reason='needs Ray: pip install "idrestore[cluster]"')
pytestmark = pytest.mark.filterwarnings("default")  # Ray's own
PLACEMENT = Placement("cpu", "fp32", 256)


@pytest.fixture(scope="module")
def _cluster():
    cluster.connect()
    yield
    ray.shutdown()


def model():
    torch.manual_seed(0)
    return Model(small.network(small.FAST).eval(), {}, Path("none"), "tiny")


def dying(folder, before):
    """Return a model whose process is killed by its third photo, the first `before` times."""
    result = model()

    def count(*_):
        number = len(list(folder.iterdir()))
        (folder / f"{number}-{os.getpid()}").touch()
        if number in before:
            os.kill(os.getpid(), signal.SIGKILL)

    folder.mkdir()
    result.network.register_forward_pre_hook(count)
    return result


def run(root, made_by, **settings):
    jobs, _ = plan([root / "in"], root / "out")
    with Manifest(root / "out") as manifest:
        chosen = Settings(workers=2, **settings)
        return list(cluster.restore_on_cluster(made_by, jobs, chosen, manifest, PLACEMENT))


@pytest.mark.usefixtures("_cluster")
def test_every_photo_comes_out_once_though_actors_are_killed(tmp_path):
    for number in range(8):
        write(tmp_path / f"in/{number}.png", 16, 20 * number)
    (tmp_path / "in/bad.jpg").write_text("hello")
    outcomes = run(tmp_path, dying(tmp_path / "seen", before={2, 5}))
    assert len({path.name.split("-")[1] for path in (tmp_path / "seen").iterdir()}) >= 3  # processes
    assert sorted(outcome.job.source.name for outcome in outcomes) == [*(f"{n}.png" for n in range(8)), "bad.jpg"]
    assert [outcome.error for outcome in outcomes if outcome.error and "bad.jpg" not in outcome.error] == []
    here = Restorer(model(), *PLACEMENT)
    for number in range(8):
        expected = here.restore(image.read(tmp_path / f"in/{number}.png").pixels).image.astype(int)
        made = image.read(tmp_path / f"out/{number}.png").pixels
        assert abs(made - expected).max() <= 1
    rows = sqlite3.connect(tmp_path / "out/.idrestore/manifest.sqlite").execute("SELECT status FROM photos")
    assert sorted(status for (status,) in rows) == ["done"] * 8 + ["failed"]
    again = run(tmp_path, model())
    assert sorted(outcome.status for outcome in again) == ["failed"] + ["skipped"] * 8
    assert "in an earlier run" in next(outcome.error for outcome in again if outcome.error)


@pytest.mark.usefixtures("_cluster")
def test_a_photo_that_kills_every_actor_is_said_and_the_others_are_done(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "TRIES_AFTER_A_CRASH", 1)
    for number in range(3):
        write(tmp_path / f"in/{number}.png", 16 + 16 * (number == 1))
    deadly = model()

    def kill(_, arguments):
        if arguments[0].shape[2] == 32:
            os.kill(os.getpid(), signal.SIGKILL)

    deadly.network.register_forward_pre_hook(kill)
    outcomes = {outcome.job.source.name: outcome.error for outcome in run(tmp_path, deadly)}
    assert outcomes["0.png"] == outcomes["2.png"] == ""
    assert "Ray returned no result" in outcomes["1.png"]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.*g")) == ["0.png", "2.png"]


def test_processors_are_shared_and_no_actor_spans_machines():
    def nodes(*sizes, gpus=0):
        return [{"Alive": True, "Resources": {"CPU": size, "GPU": gpus}} for size in sizes]

    dead = {"Alive": False, "Resources": {"CPU": 64}}
    assert cluster._resources([*nodes(8, 8), dead], 2, "auto") == {"num_cpus": 8, "num_gpus": 0}
    assert cluster._resources(nodes(8, 4), 1, "cpu") == {"num_cpus": 4, "num_gpus": 0}
    assert cluster._resources(nodes(2), 8, "auto") == {"num_cpus": 1, "num_gpus": 0}
    assert cluster._resources(nodes(8, gpus=1), 1, "auto") == {"num_cpus": 8, "num_gpus": 1}
    assert cluster._resources(nodes(8, gpus=1), 1, "cpu")["num_gpus"] == 0


def test_the_engine_has_the_errors_of_the_other(tmp_path):
    """What may not be written is refused by the same records, before anything is started."""
    write(tmp_path / "in/a.png")
    write(tmp_path / "out/a.png", 8, 1)
    (outcome,) = run(tmp_path, model())
    assert "exists already" in outcome.error
