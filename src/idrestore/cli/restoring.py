"""A run of photos as `restore` and `watch` have it: where results go, what is printed, how it ends."""

import json
import signal
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import TYPE_CHECKING

from idrestore.cli.console import as_options, complain, refuse, say
from idrestore.cli.options import Options
from idrestore.cli.progress import PhotoBar
from idrestore.degradations import FIVE

if TYPE_CHECKING:
    from idrestore.batch import Job, Manifest, Naming, Outcome, Settings, Shard
    from idrestore.batch.plan import Problem

ENDS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals of Ctrl-C, of shutdowns and time limits, and of a terminal that is closed"""
Engine = Callable[["Sequence[Job]", "Manifest | None", PhotoBar], "Iterable[Outcome]"]


@dataclass(frozen=True)
class Plan:
    """What is to be done where."""

    groups: "Mapping[Path | None, list[Job]]"
    """By the folder whose manifest records them; None: by none"""
    problems: "list[Problem]"

    @property
    def jobs(self) -> "list[Job]":
        """All of them."""
        return [job for jobs in self.groups.values() for job in jobs]


def naming(out: Path | None, options: Options) -> "Naming":
    """Return how results are called, or refuse."""
    from idrestore import batch

    if out is None and options.suffix == "":
        refuse("--suffix: got '', with which results would replace their photos: expected a text, or a folder by -o")
    suffix = options.suffix if options.suffix is not None else "" if out else batch.SUFFIX
    try:
        return batch.Naming(suffix, options.format, options.recursive, options.suffix or batch.SUFFIX)
    except ValueError as error:
        refuse(as_options(error))


def plan(photos: list[Path], out: Path | None, options: Options, complains: bool = True) -> Plan:
    """Decide where each photo goes, beside it or where -o says, and complain of what is not done; or refuse.

    What there is nothing wrong with is no problem of the plan.
    """
    from idrestore import batch

    named = naming(out, options)
    groups: Mapping[Path | None, list[Job]]
    try:
        if out is None:
            beside, problems = batch.plan_beside(photos, named)
            groups = dict(beside.items())
        else:
            jobs, problems = batch.plan(photos, out, naming=named)
            is_named = len(jobs) == 1 and jobs[0].target == out
            groups = {None if is_named else out: jobs} if jobs else {}
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, a loop of links, ...
        refuse(as_options(error))
    for problem in problems if complains else ():
        if problem.is_failure or not options.quiet:
            complain(problem.message)
    return Plan(groups, [problem for problem in problems if problem.is_failure])


@dataclass
class Teller:
    """Prints what becomes of photos, as the options want it, and keeps the outcomes."""

    options: Options
    settings: "Settings"
    outcomes: "list[Outcome]" = field(default_factory=list)

    def tell(self, outcome: "Outcome", bar: PhotoBar | None = None, only_one: bool = False) -> None:
        """Print what became of a photo."""
        self.outcomes.append(outcome)
        put = bar.print if bar else say
        if outcome.status == "failed":
            complain(outcome.error)
        if self.options.json:
            put(self.record(outcome))
        elif self.options.quiet:
            return
        elif outcome.status in ("done", "unchanged"):
            replaces = f"  (replaces {outcome.replaces})" if outcome.replaces else ""
            put(f"{outcome.job.source} → {outcome.job.target}{replaces}")
            put(f"  {self._sentence(outcome)}")
            if self.options.verbose:
                put(f"  [{outcome.found}]  {outcome.seconds:.1f} s")
            for note in outcome.notes:
                put(f"  note: {note}")
        elif outcome.status == "skipped" and (self.options.verbose or only_one):
            put(f"{outcome.job.source} → {outcome.job.target}")
            put("  done already, the same photo with the same wishes")

    def take(self, problems: "Iterable[Problem]") -> None:
        """Count as failed what cannot be begun, and tell programs; people were told already."""
        from idrestore.batch import Job, Outcome

        for problem in problems:
            self.outcomes.append(Outcome(Job(problem.source, Path()), "failed", problem.message))
            if self.options.json:
                say(self.record(self.outcomes[-1]))

    def summarise(self) -> None:
        """Print how many photos were restored, had been before, or failed; nothing for a single one."""
        from idrestore.batch import summary

        if not (self.options.quiet or self.options.json or len(self.outcomes) < 2):
            say(summary(self.outcomes))

    def _sentence(self, outcome: "Outcome") -> str:
        return sentence(outcome.ingredients, self.settings, changed=outcome.status != "unchanged")

    def record(self, outcome: "Outcome") -> str:
        """Return the line of JSON that programs read."""
        record = {
            "photo": str(outcome.job.source),
            "result": None if outcome.status == "failed" else str(outcome.job.target),
            "status": outcome.status,
            "sentence": self._sentence(outcome) if outcome.ingredients else None,
            "ingredients": dict(outcome.ingredients),
            "notes": list(outcome.notes),
            "replaces": outcome.replaces or None,
            "seconds": round(outcome.seconds, 3),
            "error": outcome.error or None,
        }
        return json.dumps(record)


def sentence(found: Mapping[str, float], settings: "Settings", done: bool = True, changed: bool = True) -> str:
    """Say what was found in a photo and what became of it, and by which flag to have more done."""
    from idrestore.restoration import sentence as said

    name = said.unsure(found, settings.ingredients)
    hint = f"; to insist: --{name.replace('_', '-')}" if name in FIVE and name else ""
    return said.sentence(found, **settings.steering, done=done, changed=changed) + hint


def run(plan: Plan, teller: Teller, engine: Engine, part: "Shard | None" = None, keep_going: bool = True) -> None:
    """Restore the photos of a plan, group after group, and tell of each; a failure may stop it."""
    teller.take(plan.problems)
    if plan.problems and not keep_going:
        return
    only_one = len(plan.jobs) == 1
    bar = PhotoBar(plan.jobs, shown=not (teller.options.quiet or teller.options.json))
    with bar, _interrupts() as raise_if_missed:
        for folder, jobs in plan.groups.items():
            with _manifest(folder, part) as manifest, closing(_generator(engine(jobs, manifest, bar))) as outcomes:
                for outcome in outcomes:
                    bar.photo(outcome)
                    teller.tell(outcome, bar, only_one)
                    raise_if_missed()
                    if outcome.error and not keep_going:
                        complain("stopped at the first failure; the same command goes on")
                        return


@contextmanager
def _interrupts() -> Iterator[Callable[[], None]]:
    """Let all that ends a command end it as Ctrl-C does, remember it, and give what raises it again.

    A photo at work is then no photo that killed the process. What Python raises while a C library calls it back
    (libvips does, to log) is lost there, and would be printed.
    """
    seen = []

    def remember(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        signal.default_int_handler(number, frame)

    def raise_if_missed() -> None:
        if seen:
            raise KeyboardInterrupt

    def tell_of_others(lost: "sys.UnraisableHookArgs") -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            hook(lost)

    hook, usual = sys.unraisablehook, (signal.default_int_handler, signal.SIG_DFL)
    before = {number: signal.getsignal(number) for number in ENDS if current_thread() is main_thread()}
    ours = {number: handler for number, handler in before.items() if handler in usual}
    if ours:
        sys.unraisablehook = tell_of_others
    for number in ours:
        signal.signal(number, remember)
    try:
        yield raise_if_missed
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
        if ours:
            sys.unraisablehook = hook


def interrupted(plan: Plan, outcomes: "Iterable[Outcome]") -> None:
    """Say how far a run came."""
    done, total = sum(not outcome.error for outcome in outcomes), len(plan.jobs)
    goes_on = "nothing was written" if None in plan.groups else "the same command goes on from there"
    complain(f"interrupted; {done} of {total} photos {'is' if done == 1 else 'are'} done, {goes_on}")


def _generator(outcomes: "Iterable[Outcome]") -> "Generator[Outcome, None, None]":
    """Return what can be closed, which lets photos at work be finished before the manifest is."""
    yield from outcomes


@contextmanager
def _manifest(out: Path | None, part: "Shard | None") -> "Iterator[Manifest | None]":
    """Open the manifest of a folder of results; none for a single file."""
    from idrestore import batch

    if out is None:
        yield None
        return
    try:
        manifest = batch.Manifest(out, part)
    except OSError as error:
        refuse(f"the folder {out} cannot be written ({error.strerror}): check its permissions, or choose another by -o")
    except batch.ManifestError as error:
        refuse(f"--out: {error}")
    with manifest:
        yield manifest
