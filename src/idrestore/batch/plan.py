"""Which photo goes where: folders mirrored, nothing met twice, no input overwritten; and who does which."""

import mimetypes
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from idrestore.batch.job import Job, kind_of
from idrestore.batch.manifest import ManifestError, results_around, results_of
from idrestore.batch.naming import Naming
from idrestore.files import image
from idrestore.files.formats import BY_SUFFIX, recognised
from idrestore.files.overwriting import Originals, identity

OTHERS = re.compile(rb"8BPS")
"""How pictures begin that are not read: Photoshop."""
LINKED = "{} is a link to a folder, and not followed: name the folder itself, too"


class Problem(NamedTuple):
    """Something asked for that is not done, in one line."""

    source: Path
    message: str
    is_failure: bool = True
    """False: there is nothing wrong, as with results that are not restored again"""


def plan(
    inputs: Sequence[Path],
    out: Path,
    writes_photos: bool = True,
    naming: Naming = Naming(),  # noqa: B008 (frozen)
) -> tuple[list[Job], list[Problem]]:
    """Decide where each photo goes: folders are searched to the bottom and mirrored in `out`.

    `out` is a folder, or a file's name if there is a single photo and the name ends like a picture. Two photos that
    would meet in one file, a photo that a result would overwrite (if `writes_photos`), inputs that are missing or hold
    no photo, and what cannot be searched or only looks like a photo, are problems. Raise `ValueError` if `out` names a
    file where there has to be a folder, or one that cannot be written, or if every result would replace a photo, and
    `OSError` for names that no file can have.
    """
    found: list[tuple[Path, Path]] = []
    problems: list[Problem] = []
    for source in inputs:
        try:
            photos, wrong = _search(source, out, [path.resolve() for path in inputs], naming)
        except PermissionError as error:
            photos, wrong = [], [Problem(source, _unreadable(source, error))]
        found += photos
        problems += wrong
    # A photo that is named twice, or named and found in a folder, is one photo.
    found = list({path.parent.resolve() / path.name: (path, place) for path, place in reversed(found)}.values())[::-1]
    is_photo = len(inputs) == 1 and inputs[0].is_file()
    if found and _is_named_like_a_file(out, is_photo):
        if len(found) > 1:
            raise ValueError(f"{out} is a file's name: expected a folder for the results of {len(found)} photos")
        _check_target(out)
        if naming.format and BY_SUFFIX.get(out.suffix.lower()) != BY_SUFFIX[naming.ending]:
            raise ValueError(f"format: got {naming.format}, and {out} for the result: expected one format")
        jobs = [Job(found[0][0], out)]
    else:
        jobs = list(_targets(found, out, naming))
    originals = Originals(path for path, _ in found if writes_photos)
    if jobs and all(originals.met_by(job.target) for job in jobs):
        raise ValueError(
            f"{out}: results there would replace their photos, which is never done: expected another place"
        )
    if writes_photos:
        problems += [
            Problem(job.source, _why_nameless(job.source)) for job in jobs if not image.is_supported(job.target)
        ]
        jobs = [job for job in jobs if image.is_supported(job.target)]
    return _checked(jobs, problems, originals)


def _search(
    source: Path, out: Path, searched: Sequence[Path], naming: Naming
) -> tuple[list[tuple[Path, Path]], list[Problem]]:
    """Return the photos of a file or a folder, each with its path relative to what was asked for; and what is none.

    All that might be a photo is in the one list or the other, but for hidden files and folders, `out`, where it lies
    inside, and links to folders in those that are `searched` anyway. Results of earlier runs, as manifests and names
    beside photos say, are left out, which is said, but from a folder of nothing but its own results.
    """
    if source.is_file():
        return [(source, Path(source.name))], []
    if not source.is_dir():
        return [], [Problem(source, _why_nothing(source))]
    unreadable: list[OSError] = []
    photos: list[Path] = []
    problems: list[Problem] = []
    results = identity(out)
    earlier: dict[Path, set[Path]] = {}
    for name, subfolders, files in os.walk(source, onerror=unreadable.append):
        folder = Path(name)
        inner = sorted(folder / each for each in subfolders if naming.recursive and not each.startswith("."))
        linked = [path for path in inner if path.is_symlink()]
        problems += [Problem(path, LINKED.format(path)) for path in linked if not _leads_into(path, searched)]
        subfolders[:] = [
            path.name for path in inner if path not in linked and (not results or identity(path) != results)
        ]
        try:
            earlier[folder] = results_of(folder)
        except ManifestError as error:
            if not results or identity(folder) != results:  # there, another shard may be at work
                problems.append(Problem(folder, f"{folder} is left out, as its results cannot be told: {error}"))
                subfolders.clear()
                continue
        for path in sorted(folder / each for each in files if not each.startswith(".")):
            why_not = _why_no_photo(path)
            if why_not:
                problems.append(Problem(path, why_not))
            elif image.is_supported(path):
                photos.append(path)
    problems += [Problem(Path(error.filename), _unreadable(error.filename, error)) for error in unreadable]
    if made := _made(photos, source, earlier, naming):
        photos = sorted({*photos} - {*made})
        problems.append(left_out(source, made))
    if not photos and not problems:
        problems = [Problem(source, _why_nothing(source))]
    return [(path, path.relative_to(source)) for path in sorted(photos)], problems


def _made(photos: list[Path], source: Path, earlier: Mapping[Path, set[Path]], naming: Naming) -> list[Path]:
    """Return which photos are results of `earlier` runs, by the folder that these wrote to.

    None are where all are results in `source` itself, or in the folders that it lies in: who names it wants them.
    """
    own, known = results_around(source), set().union(*earlier.values())
    made = [path for path in photos if path in known or path.resolve() in own or naming.original_of(path)]
    is_wanted = len(made) == len(photos) and all(path.resolve() in own for path in made)
    return [] if is_wanted else made


def left_out(source: Path, made: Sequence[Path]) -> Problem:
    """Say that results of earlier runs among what is asked for are not restored again."""
    number = "1 result" if len(made) == 1 else f"{len(made)} results"
    which = f"{made[0]}" if len(made) == 1 else f"{made[0]}, ..."
    message = f"left out {number} of earlier runs ({which}): to restore one again, name it, and another place by -o"
    return Problem(source, message, is_failure=False)


def _why_no_photo(path: Path) -> str:
    """Say in one line why a file that should be a photo, by name or content, is none of those that are restored.

    It is empty for photos, and for files that are something else.
    """
    named = image.is_supported(path)
    try:
        if not path.is_file():
            what = f"is {kind_of(path)}" if path.exists() else "is a link that leads nowhere"
            return f"{path} {what}: expected a picture file" if named else ""
        if named:
            return ""
        with path.open("rb") as file:
            found, head = recognised(file), file.read(64)
    except OSError as error:
        return _unreadable(path, error) if named else ""
    if found:
        return f"{path} holds a picture (as {found.name}), which its name does not say: end it in {found.suffixes[0]}"
    return f"{path} is a picture of a kind that is not read: convert it" if OTHERS.match(head) else ""


def _why_nameless(path: Path) -> str:
    """Say in one line why a file that was named, and does not end like a picture, is not restored."""
    why_not = _why_no_photo(path)
    try:
        image.inspect(path)
    except image.ImageError as error:
        return why_not or str(error)
    return why_not


def _unreadable(path: object, error: OSError) -> str:
    return f"{path} cannot be read ({error.strerror}): check the permissions"


def _leads_into(link: Path, folders: Sequence[Path]) -> bool:
    """Tell whether a link leads into one of some folders."""
    target = link.resolve()
    return any(target.is_relative_to(folder) for folder in folders)


def _targets(found: list[tuple[Path, Path]], out: Path, naming: Naming) -> Iterator[Job]:
    """Say where each photo goes; a name whose ending has to be changed gives way to one that is kept."""
    wanted = [naming.of(relative) for _, relative in found]
    changed = [result.suffix != relative.suffix for result, (_, relative) in zip(wanted, found, strict=True)]
    taken = {str(result).casefold() for result, is_changed in zip(wanted, changed, strict=True) if not is_changed}
    for result, is_changed, (path, relative) in zip(wanted, changed, found, strict=True):
        name = result
        if is_changed:
            if str(result).casefold() in taken:  # IMG_1.heic beside IMG_1.jpg
                name = relative.with_name(f"{relative.name}{naming.suffix}{result.suffix}")
            taken.add(str(name).casefold())
        yield Job(path, out / name)


def _is_named_like_a_file(out: Path, is_photo: bool) -> bool:
    """Tell whether the results' place was meant to be one file: a picture, or of a kind that is not written here.

    For a photo that was named itself, every ending but a number tells of a file.
    """
    if out.is_dir():
        return False
    kind = mimetypes.guess_type(out.name)[0] or ""
    is_ending = is_photo and out.suffix != "" and not out.suffix[1:].isdigit()
    return is_ending or image.is_supported(out) or kind.startswith(("image/", "video/", "audio/", "text/"))


def _check_target(out: Path) -> None:
    """Raise `ImageError` unless a result can have this name."""
    try:
        image.check_target(out)
    except image.ImageError as error:
        raise image.ImageError(f"{error}, or a folder that is there") from error


def _why_nothing(source: Path) -> str:
    """Say in one line why an input gives no photo."""
    if not source.exists():
        return f"{source}: no such file or folder"
    if not source.is_dir():
        return f"{source} is {kind_of(source)}: expected a picture file or a folder"
    return f"{source}: no photos in this folder, expected files ending in {', '.join(sorted(image.SUFFIXES))}"


def _checked(jobs: list[Job], problems: list[Problem], originals: Originals) -> tuple[list[Job], list[Problem]]:
    """Sort out jobs that would replace one of the photos, or one another's result."""
    taken: dict[Path, Path] = {}
    good: list[Job] = []
    for job in jobs:
        target = job.target.resolve()
        if originals.met_by(job.target):
            message = f"{job.target} is one of the photos to restore, and stays as it is: expected another place"
            problems.append(Problem(job.source, message))
        elif target in taken:
            message = f"{job.source}: its result would replace that of {taken[target]}: restore them apart"
            problems.append(Problem(job.source, message))
        else:
            taken[target] = job.source
            good.append(job)
    return good, problems
