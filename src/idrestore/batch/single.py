"""One photo, from a file to a file."""

import dataclasses
import hashlib
import re
from pathlib import Path
from time import perf_counter
from typing import Any

from idrestore.batch.job import Job, Outcome
from idrestore.batch.naming import SUFFIX, Naming
from idrestore.batch.photo import process, read_file
from idrestore.batch.records import Records
from idrestore.batch.settings import Settings
from idrestore.configuration import check_known
from idrestore.files.image import ImageError
from idrestore.restoration.restorer import Restorer, load


def restore_file(
    source: str | Path,
    target: str | Path | None = None,
    restorer: Restorer | str | Path = "fast",
    **settings: Any,
) -> Outcome:
    """Restore a photo's file, with its metadata, format and depth, as the command does; return what was found.

    Without a `target`, the result lies beside the photo, as photo-restored.jpg. `restorer` is a model's name or file,
    or what `load` gives: load it once for many photos. `settings` are the fields of `batch.Settings`, such as
    `strength`, `only`, `ingredients`, `quality` or `overwrite=True`. Raise `ImageError` for a photo that cannot be
    read, or a result that cannot be written or is there already, and `ValueError` for what cannot be asked for.

    >>> outcome = restore_file("photo.jpg", "better.jpg", ingredients={"haze": 1.0}, strength=0.5)
    >>> outcome.job.target.name, outcome.ingredients["haze"]
    ('better.jpg', 1.0)
    """
    start = perf_counter()
    check_known(settings, [field.name for field in dataclasses.fields(Settings)])
    source = Path(source)
    job = Job(source, Path(target) if target else source.with_name(Naming(SUFFIX).of(Path(source.name)).name))
    used = restorer if isinstance(restorer, Restorer) else load(restorer)
    wishes = Settings(**settings)
    try:
        data = read_file(source, wishes)
        records = Records(wishes, used.model.sha256, inputs=[source])
        records.skip_or_fail(job, hashlib.sha256(data).hexdigest())
        made = process(used, job, data, wishes)
    except OSError as error:
        raise ImageError(f"{source} cannot be read ({error.strerror})") from error
    except ImageError as error:
        raise ImageError(in_python(str(error))) from error
    outcome = records.commit(job, made, perf_counter() - start)
    if outcome.error:
        raise ImageError(in_python(outcome.error))
    return dataclasses.replace(outcome, notes=tuple(map(in_python, outcome.notes)))


def in_python(text: str) -> str:
    """Name settings as Python does where a message names the command's flags.

    >>> in_python("--no-guard restores all, --max-pixels is the limit: pass --overwrite")
    'guard=False restores all, max_pixels is the limit: pass overwrite=True'
    >>> in_python("trip--paris.jpg cannot be read")
    'trip--paris.jpg cannot be read'
    """
    switches = {field.name for field in dataclasses.fields(Settings) if isinstance(field.default, bool)}

    def named(flag: re.Match[str]) -> str:
        name = flag[2].replace("-", "_")
        return f"{name}={not flag[1]}" if name in switches else name

    return re.sub(r"(?<![\w/.-])--(no-)?([a-z]+(?:-[a-z]+)*)", named, text)
