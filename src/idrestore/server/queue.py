"""A bounded queue before the network: who asks is served, waits in order, or is turned away at once."""

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from time import monotonic
from typing import Generic, TypeVar

from idrestore.restoration.restorer import Progress

Result = TypeVar("Result")
Work = Callable[[Progress], Result]
"""What is to be done; it tells the progress that it is given how far it is, and lets through what that raises."""


class Full(Exception):  # noqa: N818 (no error: it is what a bound is for)
    """As many are waiting as may wait."""


class Stopped(Exception):  # noqa: N818
    """The work was cancelled, took too long, or the service is stopping."""


class TookTooLong(Stopped):
    """The work passed its time limit."""


class Task(Generic[Result]):
    """A piece of work that waits or is at work; any thread may look at it, wait for it or cancel it."""

    def __init__(self, work: Work[Result], time_limit: float) -> None:
        """Prepare, and start nothing; `time_limit` is in seconds from the moment that work begins."""
        self.future: Future[Result] = Future()
        self.progress: tuple[int, int] | None = None
        """Tiles done, and of how many; None before the first is done"""
        self._work = work
        self._time_limit = time_limit
        self._end = 0.0
        self._is_cancelled = threading.Event()

    def run(self) -> Result:
        """Do the work, here and now; raise `Stopped` or what the work raises."""
        self._end = monotonic() + self._time_limit
        if self._is_cancelled.is_set():
            raise Stopped("the work was cancelled")
        return self._work(self._tell)

    def cancel(self) -> None:
        """Stop the work before it begins, or after the tile that it is at."""
        self._is_cancelled.set()
        self.future.cancel()

    def wait(self, seconds: float) -> bool:
        """Tell whether the work has come to an end, at the latest after so many seconds."""
        # What is cancelled before it began is done at once, but `wait` would wait for its turn to be skipped.
        return self.future.done() or bool(wait([self.future], seconds).done)

    def result(self) -> Result:
        """Return what the work brought, waiting for it; raise `Stopped` or what the work raised."""
        try:
            return self.future.result()
        except CancelledError:
            raise Stopped("the work was cancelled") from None

    def _tell(self, done: int, total: int) -> None:
        """Note how far the work is; after a photo's last tile it is no longer worth stopping."""
        self.progress = done, total
        if self._is_cancelled.is_set():
            raise Stopped("the work was cancelled")
        if done < total and monotonic() > self._end:
            raise TookTooLong(f"the photo was not finished within {self._time_limit:g} s: send a smaller one")


class JobQueue:
    """A few threads that work, and a bounded queue before them."""

    def __init__(self, workers: int = 1, queue: int = 16, time_limit: float = 600.0) -> None:
        """Start `workers` threads; `queue` pieces of work may wait for them, and each may take `time_limit` s."""
        if workers < 1 or queue < 0 or not time_limit > 0:
            found = f"{workers} workers, a queue of {queue} and {time_limit:g} s"
            raise ValueError(f"got {found}, expected at least 1, at least 0 and more than 0")
        self.seats = workers + queue
        self.time_limit = time_limit
        self.is_closing = False
        self._tasks: set[Task] = set()  # type: ignore[type-arg]  # of results of any kind
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(workers, "idrestore-web")

    def submit(self, work: Work[Result]) -> Task[Result]:
        """Queue a piece of work; raise `Full`, or `Stopped` when the queue is closing."""
        task = Task(work, self.time_limit)
        with self._lock:
            self._check()
            self._tasks.add(task)
            task.future = self._pool.submit(task.run)
        task.future.add_done_callback(lambda _: self._leave(task))
        return task

    def check(self) -> None:
        """Raise what `submit` would raise now."""
        with self._lock:
            self._check()

    @property
    def load(self) -> int:
        """How many pieces of work wait or are at work."""
        with self._lock:
            return len(self._tasks)

    def close(self, seconds: float) -> None:
        """Take nothing more, finish what is here within so many seconds, and stop the rest."""
        with self._lock:
            self.is_closing = True
            tasks = list(self._tasks)
        wait([task.future for task in tasks], seconds)
        self.cancel()
        self._pool.shutdown()

    def cancel(self) -> None:
        """Stop all that is here."""
        with self._lock:
            tasks = list(self._tasks)
        for task in tasks:
            task.cancel()

    def _check(self) -> None:
        if self.is_closing:
            raise Stopped("the service is stopping: try again later")
        if len(self._tasks) >= self.seats:
            raise Full(f"{len(self._tasks)} photos are waiting already: try again in a while")

    def _leave(self, task: Task[Result]) -> None:
        with self._lock:
            self._tasks.discard(task)
