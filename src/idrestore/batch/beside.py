"""Results beside their photos: photo-restored.jpg beside photo.jpg, the folder photos-restored beside photos."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from idrestore.batch.job import Job
from idrestore.batch.manifest import FOLDER, results_around
from idrestore.batch.naming import Naming
from idrestore.batch.plan import Problem, left_out, plan


def plan_beside(inputs: Sequence[Path], naming: Naming) -> tuple[dict[Path, list[Job]], list[Problem]]:
    """Decide where each photo goes if nobody says: the jobs of each folder that gets results, and what cannot be done.

    Results of an earlier run are not restored again: they are left out where there are other inputs (`idrestore *`),
    and a problem where nothing else was named. Raise as `plan` does.
    """
    groups: dict[Path, list[Job]] = {}
    problems: list[Problem] = []
    photos: dict[Path, list[Path]] = {}
    earlier = {path for folder in {source.parent for source in inputs} for path in results_around(folder)}
    fresh: list[Path] = []
    made: list[Path] = []
    for source in dict.fromkeys(inputs):
        (made if source.resolve() in earlier or _original_of(source, naming) else fresh).append(source)
    for source in fresh:
        if source.is_dir():
            # In a folder of their own, results are called as their photos.
            named = source if source.name not in ("", "..") else source.resolve()
            out = named.with_name(named.name + naming.suffix)
            jobs, wrong = plan([source], out, naming=replace(naming, suffix=""))
            groups.setdefault(out, []).extend(jobs)
            problems += wrong
        else:
            photos.setdefault(source.parent, []).append(source)
    for folder, files in photos.items():
        jobs, wrong = plan(files, folder, naming=naming)
        groups.setdefault(folder, []).extend(jobs)
        problems += wrong
    if fresh and made:
        problems.append(left_out(made[0], made))
    if not fresh:
        problems += [Problem(each, f"{each}: is a result already; -o restores it again") for each in inputs]
    return {folder: jobs for folder, jobs in groups.items() if jobs}, problems


def _original_of(source: Path, naming: Naming) -> Path | None:
    """Return what a file or folder is the result of, None if it is none: nobody is taken at a name's word alone."""
    if not source.is_dir():
        return naming.original_of(source)
    name = source.resolve().name
    original = source.resolve().with_name(name.removesuffix(naming.suffix)) if name != naming.suffix else source
    return original if original.name != name and original.is_dir() and (source / FOLDER).is_dir() else None
