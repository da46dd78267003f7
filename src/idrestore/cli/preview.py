"""What `idrestore restore --dry-run` says: what would be done with each photo."""

import hashlib
import json
from typing import TYPE_CHECKING, NoReturn

from idrestore.cli.console import DONE, SOME_FAILED, as_options, leave, refuse, say
from idrestore.cli.options import Options
from idrestore.cli.restoring import Plan, Teller, sentence
from idrestore.degradations import percentages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idrestore.batch import Job, Records, Settings, Shard
    from idrestore.restoration.restorer import Restorer


def preview(plan: Plan, restorer: "Restorer", teller: Teller, part: "Shard | None" = None) -> NoReturn:
    """Find what is wrong with each photo, say what would be done, and leave; nothing is written."""
    from idrestore import batch

    teller.take(plan.problems)
    try:
        earlier = {folder: batch.Earlier(folder, part) for folder in plan.groups if folder}
    except batch.ManifestError as error:
        refuse(as_options(error))
    for folder, jobs in plan.groups.items():
        sources = [job.source for job in jobs]
        known = earlier[folder] if folder else None
        records = batch.Records(teller.settings, restorer.model.sha256, None, sources, known)
        for job in jobs:
            _preview(job, restorer, records, teller)
    leave(SOME_FAILED if any(outcome.error for outcome in teller.outcomes) else DONE)


def _preview(job: "Job", restorer: "Restorer", records: "Records", teller: Teller) -> None:
    """Say what would be done with a photo."""
    from idrestore import batch
    from idrestore.files import image

    settings = teller.settings
    try:
        data = batch.read_file(job.source, settings)
        foreseen = records.foresee(job, hashlib.sha256(data).hexdigest())
        if isinstance(foreseen, batch.Outcome):
            teller.tell(foreseen, only_one=True)
            return
        pixels = image.read(data, settings.max_pixels, str(job.source)).pixels
        found = settings.ingredients or restorer.find(pixels, settings.strength, settings.only)
    except batch.FILE_ERRORS as error:
        teller.tell(batch.failure(job, error))
    else:
        _tell(job, found, foreseen, settings, teller.options)


def _tell(job: "Job", found: "Mapping[str, float]", replaces: str, settings: "Settings", options: Options) -> None:
    would = sentence(found, settings, done=False)
    if options.json:
        record = {"photo": str(job.source), "result": str(job.target), "status": "planned", "sentence": would}
        more = {"ingredients": dict(found), "replaces": replaces or None}
        say(json.dumps(record | more))
    if options.json or options.quiet:
        return
    there = f"  (replaces {replaces})" if replaces else ""
    say(f"{job.source} → {job.target}{there}")
    say(f"  {would}")
    say(f"  [{percentages(found)}]")
