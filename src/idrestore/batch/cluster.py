"""A run on several machines: Ray's actors hold the model and do the work, this process alone writes and records.

The photos have to be readable under the same paths on every machine; results travel here as the bytes of their files.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any, NamedTuple

from idrestore.batch import photo as one
from idrestore.batch.job import FILE_ERRORS, Encoded, Job, Outcome, complaint, failure, is_short_of_memory
from idrestore.batch.manifest import Manifest
from idrestore.batch.records import Records, clean_up
from idrestore.batch.settings import Settings
from idrestore.configuration import one_line
from idrestore.device import Precision
from idrestore.extras import how_to_install
from idrestore.files import vips
from idrestore.model.checkpoint import Model
from idrestore.restoration import memory
from idrestore.restoration.restorer import Restorer

TRIES_AFTER_A_CRASH = 3
"""How often a photo is given to another actor after its actor died; some photo may be what kills them."""


class Placement(NamedTuple):
    """How an actor sets up its `Restorer`."""

    device: str = "auto"
    precision: Precision = "auto"
    tile: int | None = None
    budget: int | None = None


class Worker:
    """What an actor is: a model that takes numbers of photos and returns files, or what went wrong."""

    def __init__(self, model: Model, placement: Placement, settings: Settings, jobs: Sequence[Job]) -> None:
        vips.keep_no_results()
        memory.keep_freed()
        self.restorer = Restorer(model, *placement)
        self.settings = settings
        self.jobs = jobs

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row of a photo's number with the result, flat, as Arrow wants it."""
        start, job, digest = perf_counter(), self.jobs[row["number"]], ""
        made, error, is_short = Encoded(b"", "", {}, ()), "", False
        try:
            data = one.read_file(job.source, self.settings)
            digest = hashlib.sha256(data).hexdigest()
            made = one.process(self.restorer, job, data, self.settings)
        except FILE_ERRORS as raised:
            error, is_short = complaint(job.source, raised), is_short_of_memory(raised)
        kept = {"notes": made.notes, "unchanged": made.unchanged, "arithmetic": made.arithmetic}
        about = json.dumps({"ingredients": dict(made.ingredients), **kept})
        failed = {"error": error, "is_short": is_short}
        return {**row, "data": made.data, "sha256": digest, "about": about, **failed, "seconds": perf_counter() - start}


def connect(address: str | None = None) -> None:
    """Join a running Ray cluster, such as "auto" or "head:6379", or start one on this machine.

    Raises `ImportError` without Ray and `ConnectionError` if there is no cluster there.
    """
    try:
        import ray.data
    except ImportError as error:
        raise ImportError(f"Ray is not installed: {how_to_install('cluster')}") from error
    ray.init(address=address or "local", include_dashboard=None if address else False, log_to_driver=False)


def restore_on_cluster(
    model: Model,
    jobs: Sequence[Job],
    settings: Settings = Settings(),  # noqa: B008 (frozen)
    manifest: Manifest | None = None,
    placement: Placement = Placement(),  # noqa: B008 (immutable)
) -> Iterator[Outcome]:
    """Restore photos with up to `settings.workers` actors, and say of each how it went, as it is finished.

    `connect` comes first; `model` has to be on the CPU. An actor that dies is replaced and its photo given to another,
    `TRIES_AFTER_A_CRASH` times.
    """
    import ray.exceptions

    records = Records(settings, model.sha256, manifest, (job.source for job in jobs))
    records.plan(jobs)
    clean_up(jobs)
    waiting: dict[int, Job] = {}
    for number, job in enumerate(jobs):
        outcome = _skip_or_fail(records, job)
        if outcome:
            yield outcome
        else:
            waiting[number] = job
    reason = "Ray returned no result: its actor died, or ran out of memory, again and again"
    try:
        for row in _rows(model, jobs, sorted(waiting), settings, placement) if waiting else ():
            finished = waiting.pop(row["number"], None)
            if finished:
                yield _outcome(records, finished, row)
    except ray.exceptions.RayError as error:
        reason = f"Ray stopped ({one_line(error)[:200]})"
    for job in waiting.values():
        yield failure(job, RuntimeError(reason))


def _skip_or_fail(records: Records, job: Job) -> Outcome | None:
    """Ask the records; a photo of which nothing is known need not be read for that."""
    try:
        data = one.read_file(job.source, records.settings) if records.known(job) else b""
        return records.skip_or_fail(job, hashlib.sha256(data).hexdigest() if data else "")
    except FILE_ERRORS as error:
        return failure(job, error)


def _rows(
    model: Model,
    jobs: Sequence[Job],
    numbers: Sequence[int],
    settings: Settings,
    placement: Placement,
) -> Iterator[dict[str, Any]]:
    """Stream rows of results; how many wait is bounded by Ray's backpressure."""
    import ray

    photos = ray.data.from_items([{"number": number} for number in numbers], override_num_blocks=len(numbers))
    results = photos.map(
        Worker,
        fn_constructor_args=(model, placement, settings, jobs),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=settings.workers, initial_size=settings.workers),
        max_task_retries=TRIES_AFTER_A_CRASH,
        **_resources(ray.nodes(), settings.workers, placement.device),
    )
    results.context.max_errored_blocks = -1  # a block is a photo: its failure is not that of the others
    results.context.enable_progress_bars = False
    yield from results.iter_rows()


def _resources(nodes: Sequence[dict[str, Any]], workers: int, device: str) -> dict[str, float]:
    """Share the processors of the cluster among the actors, none of which can span two machines."""
    machines = [node["Resources"] for node in nodes if node["Alive"]]
    cpus = [machine.get("CPU", 0) for machine in machines if machine.get("CPU", 0) >= 1]
    share = max(1, min(min(cpus, default=1), sum(cpus) // workers))
    has_gpus = any(machine.get("GPU", 0) for machine in machines)
    gpus = int(device.startswith("cuda") or (device == "auto" and has_gpus))
    return {"num_cpus": share, "num_gpus": gpus}


def _outcome(records: Records, job: Job, row: dict[str, Any]) -> Outcome:
    """Write and record what an actor made."""
    if row["error"]:
        error = (MemoryError if row["is_short"] else RuntimeError)(row["error"])
        if not row["sha256"]:  # it could not even be read: nothing to record
            return failure(job, error, row["seconds"])
        return records.give_up(job, error, row["sha256"], row["seconds"])
    about = json.loads(row["about"])
    made = Encoded(row["data"], row["sha256"], **about | {"notes": tuple(about["notes"])})
    return records.commit(job, made, row["seconds"])
