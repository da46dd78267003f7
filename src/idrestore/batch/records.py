"""What a run knows and records of its photos: what is done again, and what may be written."""

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

from idrestore import atomic
from idrestore.batch.job import Encoded, Job, Outcome, encodable, failure, is_short_of_memory
from idrestore.batch.manifest import IN_PLACE, Earlier, Entry, Manifest, ManifestError, Status
from idrestore.batch.settings import Settings
from idrestore.files import companions, image
from idrestore.files.image import ImageError
from idrestore.files.overwriting import Identity, Originals, identity

DIED = "the process died twice while it was at work on this photo (killed, out of memory, or a fault in a decoder)"


class Records:
    """What a run knows, writes and records of its photos; threads may share it."""

    def __init__(
        self,
        settings: Settings,
        model_sha256: str,
        manifest: Manifest | None = None,
        inputs: Iterable[Path] = (),
        earlier: Earlier | None = None,
    ) -> None:
        """Without a manifest, nothing is known of earlier runs but by `earlier`, and nothing is recorded of this one.

        `inputs` are the photos of the run, none of which is ever replaced.
        """
        self._earlier = manifest or earlier
        self.settings = settings
        self.model_sha256 = model_sha256
        self.manifest = manifest
        self._originals = Originals(inputs)
        self._made: dict[Identity, Path] = {}
        self._started: dict[Job, Entry | None] = {}

    def plan(self, jobs: Iterable[Job]) -> None:
        """Note what the run is about to make: `verify` says what was never made."""
        if self.manifest:
            with suppress(ManifestError, OSError):  # the photos will tell
                self.manifest.plan(jobs)

    def known(self, job: Job) -> Entry | None:
        """Return what was recorded of a result last."""
        return self._earlier.known(job.target) if self._earlier else None

    def is_suspect(self, job: Job) -> bool:
        """Tell whether a run died while it was at work on this photo, among others perhaps."""
        known = self.known(job)
        return known is not None and known.died

    def skip_or_fail(self, job: Job, input_sha256: str) -> Outcome | None:
        """Return the outcome of a photo of which nothing is to be done, None for one that is to be worked on.

        Raise `ImageError` or `OSError` if its result may not, or cannot, be written.
        """
        known = self.known(job)
        outcome = self._settled(job, known, input_sha256)
        if outcome and known and known.status == "retried":
            self.fail(job, RuntimeError(DIED), input_sha256)
        if outcome is None:
            self._check_target(job, known)
        return outcome

    def _settled(self, job: Job, known: Entry | None, input_sha256: str) -> Outcome | None:
        """Return the outcome of a photo that earlier runs leave nothing to do of."""
        if known and self._is_same_work(known, input_sha256):
            # "writing" with the result in its place: the run was killed before it could write "done".
            if known.status in IN_PLACE and _sha256_of(job.target) == known.output_sha256:
                self._remember(job)
                return Outcome(job, "skipped", "", known.ingredients, known.notes, known.seconds)
            if known.status == "retried":  # in this run, too: else it would kill one process after another
                outcome = failure(job, RuntimeError(DIED))
                return replace(outcome, error=f"{outcome.error}: --retry-failed tries again")
            if known.status == "failed" and not self.settings.retry_failed:
                return Outcome(job, "failed", f"{known.error} (in an earlier run: --retry-failed tries again)")
        return None

    def foresee(self, job: Job, input_sha256: str) -> Outcome | str:
        """Return the outcome of a photo of which nothing is to be done, or what its result will replace, in words.

        Nothing is written or recorded. Raise `ImageError` if the result may not be written.
        """
        known = self.known(job)
        outcome = self._settled(job, known, input_sha256)
        if outcome:
            return outcome
        image.check_target(job.target)
        self._check_replaceable(job, known)
        return _replaced(job, known)

    def start(self, job: Job, input_sha256: str) -> None:
        """Record that the work on a photo begins: if the process dies of it, the next run knows."""
        known = self.known(job)
        again = known is not None and known.died and self._is_same_work(known, input_sha256)
        self._started[job] = known
        self._record(job, input_sha256, "retried" if again else "started", "", Outcome(job, "failed"))

    def withdraw(self, *jobs: Job) -> None:
        """Take back that work on photos began, by default on all that are not finished: no process died of them."""
        for job in jobs or tuple(self._started):
            if job in self._started and self.manifest:
                with suppress(ManifestError):
                    self.manifest.restore(self.manifest.key(job.target), self._started[job])
            self._started.pop(job, None)

    def commit(self, job: Job, made: Encoded, seconds: float) -> Outcome:
        """Put a result in its place, announced in the manifest before and confirmed after; leave all as it was if not.

        Failures here are the disk's, not the photo's: none is recorded, and the next run tries again.
        """
        digest = hashlib.sha256(made.data).hexdigest()
        status: Literal["done", "unchanged"] = "unchanged" if made.unchanged else "done"
        known = self.known(job)
        self._started.setdefault(job, known)
        outcome = Outcome(job, status, "", made.ingredients, made.notes, seconds, made.arithmetic)
        try:
            outcome = replace(outcome, replaces=_replaced(job, known))
            with atomic.replacing(job.target, atomic.mode_of(job.source)) as file:
                file.write(made.data)
                self._check_replaceable(job, known)
                self._record(job, made.input_sha256, "writing", digest, outcome)
        except (OSError, ValueError) as error:  # ValueError: of the image or the manifest
            self.withdraw(job)
            found = image.unwritable(job.target, error) if isinstance(error, OSError) else error
            return failure(job, found, seconds)
        self._remember(job)
        notes = companions.accompany(job.source, job.target, self.settings.keep_dates)
        outcome = replace(outcome, notes=(*outcome.notes, *notes))
        with suppress(ManifestError):  # "writing" is enough for the next run to see that it was done
            self._record(job, made.input_sha256, status, digest, outcome)
        self._started.pop(job, None)
        return outcome

    def fail(self, job: Job, error: Exception, input_sha256: str, seconds: float = 0.0) -> Outcome:
        """Record that a photo, as it is, could not be restored."""
        outcome = failure(job, error, seconds)
        with suppress(ManifestError):  # then the next run tries again
            self._record(job, input_sha256, "failed", "", outcome)
        self._started.pop(job, None)
        return outcome

    def give_up(self, job: Job, error: Exception, input_sha256: str, seconds: float) -> Outcome:
        """Record a failure, unless it is the machine's, whose memory may suffice the next time."""
        if is_short_of_memory(error):
            self.withdraw(job)
            return failure(job, error, seconds)
        return self.fail(job, error, input_sha256, seconds)

    def _remember(self, job: Job) -> None:
        """Note a result of this run, which no other photo's may replace."""
        if made := identity(job.target):
            self._made[made] = job.source

    def _is_same_work(self, known: Entry, input_sha256: str) -> bool:
        now = input_sha256, self._settings_sha256(known.status), self.model_sha256
        return (known.input_sha256, known.settings_sha256, known.model_sha256) == now

    def _settings_sha256(self, status: Status) -> str:
        """Return the hash of the settings on which such a state depends."""
        return self.settings.sha256 if status in IN_PLACE else self.settings.sha256_with_limits

    def _check_target(self, job: Job, known: Entry | None) -> None:
        """Raise unless the result can be written, before the work is done in vain."""
        image.check_target(job.target)
        if self.manifest:
            self.manifest.check()
        self._check_replaceable(job, known)
        try:
            job.target.parent.mkdir(parents=True, exist_ok=True)
            atomic.check_writable(job.target)
        except OSError as error:
            raise image.unwritable(job.target, error) from error

    def _check_replaceable(self, job: Job, known: Entry | None) -> None:
        """Raise if there is a file that is not our own result of the same photo, or is one of the photos."""
        self._originals.check(job.target)
        other = self._made.get(identity(job.target) or (0, 0))
        if other:  # a disk that does not tell large letters from small ones
            raise ImageError(f"{job.target} is the result of {other} already: restore them apart")
        if job.target.is_dir():
            raise ImageError(f"{job.target} is a folder: expected another place for the result")
        if self.settings.overwrite or not os.path.lexists(job.target):
            return
        if not known or not known.output_sha256:
            raise ImageError(f"{job.target} exists already: pass --overwrite to replace it")
        if _sha256_of(job.target) not in {known.output_sha256, known.replaced_sha256} - {""}:
            raise ImageError(f"{job.target} was changed since it was made: pass --overwrite to replace it")
        if known.source != _absolute(job.source):
            raise ImageError(f"{job.target} is the result of {known.source}: pass --overwrite to replace it")

    def _record(self, job: Job, input_sha256: str, status: Status, output_sha256: str, what: Outcome) -> None:
        """Write a record, if records are kept; without a hash of a new file, that of the last one stays."""
        if not self.manifest:
            return
        known = self.known(job)
        replaced = _sha256_of(job.target) if status == "writing" else known.replaced_sha256 if known else ""
        entry = Entry(
            output=self.manifest.key(job.target),
            source=_absolute(job.source),
            input_sha256=input_sha256,
            settings_sha256=self._settings_sha256(status),
            model_sha256=self.model_sha256,
            status=status,
            output_sha256=output_sha256 or (known.output_sha256 if known else ""),
            replaced_sha256="" if status in ("done", "unchanged") else replaced,
            seconds=what.seconds,
            ingredients=what.ingredients,
            notes=what.notes,
            error=what.error,
        )
        self.manifest.record(entry)


def clean_up(jobs: Iterable[Job]) -> None:
    """Remove what runs that were killed left half-written; folders that cannot be read are met again later."""
    with suppress(OSError):
        atomic.remove_leftovers(job.target for job in jobs)


def _replaced(job: Job, known: Entry | None) -> str:
    """Say what a result takes the place of."""
    if not os.path.lexists(job.target):
        return ""
    is_ours = known and known.output_sha256 and _sha256_of(job.target) in {known.output_sha256, known.replaced_sha256}
    return "the earlier result" if is_ours else "the file that was there"


def _sha256_of(target: Path) -> str:
    """Return the hash of a file, empty if there is none."""
    if not target.is_file():
        return ""
    with target.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _absolute(source: Path) -> str:
    return encodable(source.resolve())
