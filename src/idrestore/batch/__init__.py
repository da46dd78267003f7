"""Many files: which photo goes where, each once, none lost because another is broken or the machine stopped.

>>> from pathlib import Path
>>> import idrestore
>>> from idrestore import batch
>>> jobs, problems = batch.plan([Path("photos")], Path("restored"))  # doctest: +SKIP
>>> with batch.Manifest(Path("restored")) as manifest:  # doctest: +SKIP
...     for outcome in batch.restore_files(idrestore.load(), jobs, batch.Settings(strength=0.8), manifest):
...         print(outcome.job.source, outcome.status)
"""

from idrestore.batch.ledger import Ledger
from idrestore.batch.manifest import Manifest, ManifestError
from idrestore.batch.photo import FILE_ERRORS, Job, Outcome, degrade_file, one_line
from idrestore.batch.plan import SUBSTITUTES, Problem, Shard, plan
from idrestore.batch.report import check_report, write_report
from idrestore.batch.run import restore_files
from idrestore.batch.settings import Settings

__all__ = [
    "FILE_ERRORS",
    "SUBSTITUTES",
    "Job",
    "Ledger",
    "Manifest",
    "ManifestError",
    "Outcome",
    "Problem",
    "Settings",
    "Shard",
    "check_report",
    "degrade_file",
    "one_line",
    "plan",
    "restore_files",
    "write_report",
]
