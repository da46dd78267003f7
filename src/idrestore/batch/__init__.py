"""Many files: which photo goes where, each once, none lost because another is broken or the machine stopped.

>>> from pathlib import Path
>>> import idrestore
>>> from idrestore import batch
>>> jobs, problems = batch.plan([Path("photos")], Path("restored"))  # doctest: +SKIP
>>> with batch.Manifest(Path("restored")) as manifest:  # doctest: +SKIP
...     for outcome in batch.restore_files(idrestore.load(), jobs, batch.Settings(strength=0.8), manifest):
...         print(outcome.job.source, outcome.status)
"""

from idrestore.batch.beside import plan_beside
from idrestore.batch.manifest import Manifest, ManifestError
from idrestore.batch.naming import SUFFIX, Naming, writable
from idrestore.batch.photo import (
    FILE_ERRORS,
    Encoded,
    Job,
    Outcome,
    decode,
    degrade_file,
    encode,
    one_line,
    process,
    read_file,
    restore,
    summary,
)
from idrestore.batch.plan import Problem, Shard, plan
from idrestore.batch.records import Records
from idrestore.batch.report import check_report, write_report
from idrestore.batch.run import restore_files
from idrestore.batch.settings import Settings, parse_amount, parse_steering
from idrestore.batch.single import restore_file
from idrestore.batch.verify import Verdict, verify
from idrestore.files.formats import SUBSTITUTES

__all__ = [
    "FILE_ERRORS",
    "SUBSTITUTES",
    "SUFFIX",
    "Encoded",
    "Job",
    "Manifest",
    "ManifestError",
    "Naming",
    "Outcome",
    "Problem",
    "Records",
    "Settings",
    "Shard",
    "Verdict",
    "check_report",
    "decode",
    "degrade_file",
    "encode",
    "one_line",
    "parse_amount",
    "parse_steering",
    "plan",
    "plan_beside",
    "process",
    "read_file",
    "restore",
    "restore_file",
    "restore_files",
    "summary",
    "verify",
    "writable",
    "write_report",
]
