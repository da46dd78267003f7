"""What a training run leaves on the disk, so that nothing is lost when it is stopped: log, state, models."""

import json
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from idrestore.atomic import replacing
from idrestore.data.loader import Batch
from idrestore.model import checkpoint
from idrestore.training import distributed
from idrestore.training.recipe import plain
from idrestore.training.run import Run, TrainingError

DAMAGED = (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, pickle.UnpicklingError)
"""What reading a file that is no state, or only part of one, may raise."""


class RunFolder:
    """The files of a run. Of several processes, only the first writes them."""

    def __init__(self, path: Path, run: Run) -> None:
        self.path, self.run = path, run
        self.log_path, self.state_path = path / "log.jsonl", path / "state.pt"
        self.writes = distributed.rank() == 0
        self.saved_step: int | None = None

    def resume(self) -> None:
        """Continue the run from its state; lines logged after it will be logged again, and are cut off."""
        try:
            state = torch.load(self.state_path, map_location=self.run.device, weights_only=True)
            self.run.load(state)
            log_size = int(state.get("log_size", sys.maxsize))
        except TrainingError as error:
            raise TrainingError(f"{self.state_path}: {error}") from None
        except DAMAGED as error:
            reason = (str(error).splitlines() or [repr(error)])[0]
            raise TrainingError(
                f"{self.state_path} is damaged ({reason}); start from last.safetensors in another folder"
            ) from None
        self.saved_step = self.run.step
        self._cut_log(log_size)

    @property
    def saved(self) -> str:
        """Say in words what is left to go back to."""
        if self.saved_step is None:
            return "there is no checkpoint yet"
        return f"the last good checkpoint is {self.state_path}, of step {self.saved_step}"

    def start(self) -> None:
        """Make the folder; what a run that never saved its state has logged is cut off."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._cut_log(0)

    def _cut_log(self, size: int) -> None:
        if self.writes:
            with self.log_path.open("a") as file:
                file.truncate(min(size, self.log_path.stat().st_size))

    def log(self, **entry: Any) -> None:
        """Add a line to the log."""
        if self.writes:
            with self.log_path.open("a") as file:
                file.write(json.dumps({"step": self.run.step, **entry}) + "\n")

    def save_model(self, validation: Batch) -> None:
        """Validate, and write the averaged weights as the last model, and as the best if they are."""
        if not self.writes:
            return
        table = self.run.validate(validation)
        mean = self.run.score(table)
        self.log(event="validation", mean=round(mean, 3), degradations=table)
        card = {"step": self.run.step, "recipe": plain(self.run.config), "validation": table}
        checkpoint.save(self.path / "last.safetensors", self.run.average, card)
        if mean >= self.run.best:
            self.run.best = mean
            checkpoint.save(self.path / "best.safetensors", self.run.average, card)

    def save_state(self) -> None:
        """Write all that an exact continuation needs, replacing the earlier state at once."""
        if self.writes:
            with replacing(self.state_path) as file:
                torch.save({**self.run.state(), "log_size": self.log_path.stat().st_size}, file)
        self.saved_step = self.run.step


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT or SIGTERM into a wish that the loop asks for between steps; a second one acts at once."""
    wishes: list[int] = []
    previous: dict[int, Any] = {}

    def note(number: int, _: object) -> None:
        wishes.append(number)
        if distributed.size() == 1:  # torchrun repeats what the terminal sent, and kills after a while
            signal.signal(number, previous[number])

    if threading.current_thread() is threading.main_thread():
        previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(wishes)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
