"""What `idrestore restore --dry-run` says: what would be done with each photo."""

import json
from typing import TYPE_CHECKING, NoReturn

from idrestore.cli.console import DONE, SOME_FAILED, leave, say
from idrestore.cli.options import Options
from idrestore.cli.restoring import Plan, Teller, sentence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idrestore.batch import Job, Settings
    from idrestore.restoration.restorer import Restorer


def preview(plan: Plan, restorer: "Restorer", teller: Teller) -> NoReturn:
    """Find what is wrong with each photo, say what would be done, and leave; nothing is written."""
    from idrestore import batch

    settings = teller.settings
    teller.take(plan.problems)
    for job in plan.jobs:
        try:
            found = settings.ingredients or _find(restorer, job, settings)
        except batch.FILE_ERRORS as error:
            teller.tell(batch.failure(job, error))
        else:
            _tell(job, found, settings, teller.options)
    leave(SOME_FAILED if teller.outcomes else DONE)


def _find(restorer: "Restorer", job: "Job", settings: "Settings") -> "Mapping[str, float]":
    from idrestore.files import image

    pixels = image.read(job.source, settings.max_pixels).pixels
    return restorer.find(pixels, settings.strength, settings.only)


def _tell(job: "Job", found: "Mapping[str, float]", settings: "Settings", options: Options) -> None:
    would = sentence(found, settings, done=False)
    if options.json:
        record = {"photo": str(job.source), "result": str(job.target), "status": "planned", "sentence": would}
        say(json.dumps(record | {"ingredients": dict(found)}, ensure_ascii=False))
    if options.json or options.quiet:
        return
    there = "  (there is such a file already)" if job.target.exists() else ""
    say(f"{job.source} → {job.target}{there}")
    say(f"  {would}")
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found.items() if share >= 0.005)
    say(f"  [{shares}]")
