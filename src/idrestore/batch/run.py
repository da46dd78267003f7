"""A run on this machine: the network takes one photo after the other, threads read and write beside it."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from time import perf_counter
from typing import NamedTuple

from idrestore.batch import photo as one
from idrestore.batch.job import FILE_ERRORS, Job, Outcome, failure
from idrestore.batch.manifest import Manifest
from idrestore.batch.photo import Decoded, Restored
from idrestore.batch.records import Records, clean_up
from idrestore.batch.settings import Settings
from idrestore.restoration.restorer import Restorer

JobProgress = Callable[[Job, int, int], None]


class Work(NamedTuple):
    """A photo that waits for the network."""

    job: Job
    decoded: Decoded
    seconds: float


def restore_files(
    restorer: Restorer,
    jobs: Sequence[Job],
    settings: Settings = Settings(),  # noqa: B008 (frozen)
    manifest: Manifest | None = None,
    progress: JobProgress = lambda job, done, total: None,
) -> Iterator[Outcome]:
    """Restore photos and say of each, in their order, how it went; a failure never stops the rest.

    With a manifest, what an earlier run did with the same photo, settings and model is not done again, and the photos
    at which an earlier run died come last, each alone: if the process dies again, it is known of which. At most
    `settings.workers` photos are read ahead of the network, and as many wait to be written behind it.
    """
    records = Records(settings, restorer.model.sha256, manifest, (job.source for job in jobs))
    records.plan(jobs)
    clean_up(jobs)
    suspects = dict.fromkeys(job for job in jobs if records.is_suspect(job))
    trusted = [job for job in jobs if job not in suspects]
    pool = ThreadPoolExecutor(settings.workers, "idrestore")
    try:
        for part in (trusted, *([job] for job in suspects)):
            yield from _restore(pool, restorer, records, part, progress)
    finally:
        pool.shutdown(cancel_futures=True)
        records.withdraw()


def _restore(
    pool: ThreadPoolExecutor, restorer: Restorer, records: Records, jobs: Sequence[Job], progress: JobProgress
) -> Iterator[Outcome]:
    """Restore photos one after the other, while those before and behind are read and written."""
    workers = records.settings.workers
    written: deque[Future[Outcome]] = deque()
    for work in _ahead(pool, lambda job: _prepare(records, job), jobs, workers):
        written.append(_through(pool, restorer, records, work, progress))
        del work  # the degraded photo need not stay in memory while the restored one is written
        while len(written) > workers or (written and written[0].done()):
            yield written.popleft().result()
    while written:
        yield written.popleft().result()


def _ahead(
    pool: ThreadPoolExecutor, step: Callable[[Job], Work | Outcome], jobs: Iterable[Job], number: int
) -> Iterator[Work | Outcome]:
    """Map a step over jobs in threads, in order, at most `number` ahead of who takes the results."""
    rest = iter(jobs)
    waiting = deque(pool.submit(step, job) for job in islice(rest, number))
    while waiting:
        waiting[0].result()
        waiting.extend(pool.submit(step, job) for job in islice(rest, 1))
        yield waiting.popleft().result()  # no name here keeps a photo in memory


def _prepare(records: Records, job: Job) -> Work | Outcome:
    """Read a photo, unless its result is there, or may not or cannot be written."""
    start = perf_counter()
    try:
        data = one.read_file(job.source, records.settings)
        digest = hashlib.sha256(data).hexdigest()
        outcome = records.skip_or_fail(job, digest)
        if outcome:
            return outcome
        records.start(job, digest)
    except FILE_ERRORS as error:
        return failure(job, error, perf_counter() - start)
    try:
        return Work(job, one.decode(job.source, data, records.settings, job.target), perf_counter() - start)
    except FILE_ERRORS as error:
        return records.give_up(job, error, digest, perf_counter() - start)


def _through(
    pool: ThreadPoolExecutor, restorer: Restorer, records: Records, work: Work | Outcome, progress: JobProgress
) -> "Future[Outcome]":
    """Send a photo through the network, here and now, and have it written in a thread."""
    if isinstance(work, Outcome):
        return _finished(work)
    start = perf_counter()

    def tell(done: int, total: int) -> None:
        progress(work.job, done, total)

    try:
        restored = one.restore(restorer, work.decoded, records.settings, tell)
    except FILE_ERRORS as error:
        seconds = work.seconds + perf_counter() - start
        return _finished(records.give_up(work.job, error, work.decoded.sha256, seconds))
    return pool.submit(_write, records, work.job, restored, work.seconds + perf_counter() - start)


def _write(records: Records, job: Job, restored: Restored, seconds: float) -> Outcome:
    """Encode and write a restored photo."""
    start = perf_counter()
    try:
        made = one.encode(restored, job, records.settings)
    except FILE_ERRORS as error:
        return records.give_up(job, error, restored.input_sha256, seconds + perf_counter() - start)
    return records.commit(job, made, seconds + perf_counter() - start)


def _finished(outcome: Outcome) -> "Future[Outcome]":
    future: Future[Outcome] = Future()
    future.set_result(outcome)
    return future
