"""`idrestore verify`: are the results of a folder still what was written?"""

from collections import Counter
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from idrestore.cli.console import DONE, SOME_FAILED, complain, leave, refuse, say
from idrestore.configuration import one_line

FAULTS = ("missing", "changed", "unreadable", "failed", "never made")


def verify_command(
    out: Annotated[Path, typer.Argument(help="A folder that restore wrote results to.")],
    json: Annotated[bool, typer.Option("--json", help="A line of JSON for each result, for other programs.")] = False,
) -> None:
    """Read every result of a folder again: say what is missing, changed since it was made, or unreadable."""
    from idrestore import batch

    try:
        verdicts = batch.verify(out)
    except (OSError, batch.ManifestError) as error:
        refuse(one_line(error))
    counts: Counter[str] = Counter()
    for verdict in verdicts:
        counts[verdict.status] += 1
        if verdict.message:
            complain(verdict.message)
        if json:
            record = {"result": str(verdict.path), "status": verdict.status, "error": verdict.message or None}
            say(dumps(record))
    faults = [f"{counts[status]} {status}" for status in FAULTS if counts[status]]
    if not json:
        say(", ".join([f"{counts['good']} good", *faults]))
    leave(SOME_FAILED if faults else DONE)
