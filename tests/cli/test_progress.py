"""The bar of a run, on a terminal."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Task

from idrestore.batch import Job, Outcome
from idrestore.cli import progress
from idrestore.cli.console import SafeConsole
from idrestore.files import image


@pytest.fixture
def terminal(monkeypatch):
    console = SafeConsole(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(progress, "error_console", console)
    return console


def jobs_of(folder, *sizes):
    jobs = []
    for index, size in enumerate(sizes):
        path = folder / f"{index}.png"
        pixels = np.zeros((*size, 3), np.uint8)
        image.write(pixels, path, image.Photo(pixels))
        jobs.append(Job(path, Path("x.png")))
    return jobs


def test_tiny_photos_count_as_photos_and_the_end_is_in_proportion(terminal, tmp_path):
    jobs = jobs_of(tmp_path, *[(4, 4)] * 10)
    with progress.PhotoBar(jobs) as bar:
        task: Task = bar._progress.tasks[0]
        for done, job in enumerate(jobs, 1):
            bar.tile(job, 1, 1)
            bar.photo(Outcome(job, "done"))
            assert task.fields["count"] == f"{done} of 10 photos"
            assert task.percentage == pytest.approx(10 * done)


def test_a_large_photo_is_most_of_the_work_and_what_is_skipped_none(terminal, tmp_path):
    small, large, skipped = jobs_of(tmp_path, (10, 10), (1000, 2000), (1000, 2000))
    with progress.PhotoBar([small, large, skipped]) as bar:
        task: Task = bar._progress.tasks[0]
        bar.photo(Outcome(skipped, "skipped"))
        assert task.percentage == 0
        bar.photo(Outcome(small, "done"))
        assert 1 < task.percentage < 5
        bar.tile(large, 1, 2)
        assert 45 < task.percentage < 55
        bar.photo(Outcome(large, "done"))
        assert task.percentage == pytest.approx(100)


def test_nothing_is_read_or_shown_where_nobody_looks(monkeypatch, tmp_path):
    monkeypatch.setattr(progress, "_megapixels", lambda source: 1 / 0)
    with progress.PhotoBar([Job(tmp_path / "a.png", Path("x.png"))]) as bar:
        bar.photo(Outcome(Job(tmp_path / "a.png", Path("x.png")), "done"))
