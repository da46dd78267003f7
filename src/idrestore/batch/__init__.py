"""Many files: which photo goes where, each once, none lost because another is broken or the machine stopped.

>>> from pathlib import Path
>>> import idrestore
>>> from idrestore import batch
>>> jobs, problems = batch.plan([Path("photos")], Path("restored"))  # doctest: +SKIP
>>> with batch.Manifest(Path("restored")) as manifest:  # doctest: +SKIP
...     for outcome in batch.restore_files(idrestore.load(), jobs, batch.Settings(strength=0.8), manifest):
...         print(outcome.job.source, outcome.status)
"""

import importlib
from typing import TYPE_CHECKING, Any

from idrestore.batch.beside import plan_beside
from idrestore.batch.job import FILE_ERRORS, Encoded, Job, Outcome, complaint, failure, summary
from idrestore.batch.manifest import Earlier, Manifest, ManifestError
from idrestore.batch.naming import SUFFIX, Naming, writable
from idrestore.batch.plan import Problem, plan
from idrestore.batch.records import Records
from idrestore.batch.report import check_report, write_report
from idrestore.batch.settings import Settings, parse_amount, parse_steering
from idrestore.batch.shard import Shard
from idrestore.batch.verify import Verdict, verify
from idrestore.files.formats import SUBSTITUTES

if TYPE_CHECKING:
    from idrestore.batch.photo import decode, encode, process, read_file, restore
    from idrestore.batch.run import restore_files
    from idrestore.batch.single import restore_file

__all__ = [
    "FILE_ERRORS",
    "SUBSTITUTES",
    "SUFFIX",
    "Earlier",
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
    "complaint",
    "decode",
    "encode",
    "failure",
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

_HOMES = {
    "decode": "photo",
    "encode": "photo",
    "process": "photo",
    "read_file": "photo",
    "restore": "photo",
    "restore_file": "single",
    "restore_files": "run",
}
"""Where that lies which needs a network: planning a run does not wait for torch."""


def __getattr__(name: str) -> Any:
    """Import what works with a network when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
