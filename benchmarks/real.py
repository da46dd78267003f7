"""Is what the model does to real photos by itself as good as what it does when told, and does it harm?

    python benchmarks/real.py FOLDER_OF_VALIDATION_SETS -o OUT [--limit 20] [--model fast] [NAME=FOLDER:first=blur...]

Measures the sets in `SETS` that the folder has, those that are named besides, as `idrestore evaluate --data` has them,
clean photos, which must come back, and pictures of one colour. PSNR is taken after the best tone curve. `by itself` and
`told` are mean changes in dB, told the one degradation that the set has, and `lacks` is what the first lacks to the
second; `lose` counts photos that lose more than 0.3 dB by itself, and those that lose more than 0.5 are named. Of clean
photos it also says how they come back when told each degradation in turn. A set's numbers are written to OUT as soon as
they are there, and not measured again: an interrupted run goes on where it was. `--limit` takes so many photos of each
set, evenly spread.
"""

import argparse
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np

from idrestore.data.pairs import SetSpec, parse_set
from idrestore.degradations import FIVE
from idrestore.device import Precision
from idrestore.evaluation.evaluate import evaluate
from idrestore.evaluation.report import LOSS, Report, Row, Summary
from idrestore.restoration.restorer import Restorer, load

SETS = {
    "sidd_scenes1-5": "noise",
    "polyu_19": "noise",
    "cc_real_noise_5": "noise",
    "video_blur": "blur",
    "gopro_3": "blur",
    "lol_eval15_first8": "low_light",
    "sots_1": "haze",
    "rain100l_first50": "rain",
}
"""Folders of pairs, and what is wrong with the photos in them."""
CLEAN = "cbsd68"
HARM = 0.5
"""How much no photo should lose, dB."""
LEAST = 30.0
"""PSNR with which no clean photo should come back, dB."""
SIDES = (40, 96)
"""Of pictures of one colour, px."""
LEVELS = (0, 12, 60, 128, 200, 255)
"""Levels of red, green and blue that pictures of one colour have; 24 of their combinations are tried."""


class Set(NamedTuple):
    """A set to measure."""

    spec: SetSpec
    told: str | None
    """The degradation that the model is told; None: clean photos"""


def main() -> None:
    """Measure and print what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("sets", nargs="*", help="further sets, NAME=FOLDER:first=DEGRADATION")
    parser.add_argument("--out", "-o", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--model", "-m", default="fast")
    parser.add_argument("--precision", choices=get_args(Precision), default="auto")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    restorer = load(given.model, precision=given.precision)
    wanted = find_sets(given.folder, given.sets)
    reports = {
        name: measure(restorer, name, each, given.out / f"{name}.json", given.limit) for name, each in wanted.items()
    }
    print_pairs({name: report for name, report in reports.items() if wanted[name].told}, wanted)
    print_clean({name: report for name, report in reports.items() if not wanted[name].told})
    changes = sorted(change_of_colours(restorer))
    print(f"\nPictures of one colour: {len(changes)}, changed by {changes[-1]} levels at most.")


def find_sets(folder: Path, texts: list[str]) -> dict[str, Set]:
    """Return the sets in a folder, and those that are named."""
    found = {name: Set(SetSpec(folder / name, first=kind), kind) for name, kind in SETS.items()}
    found |= {f"{CLEAN} clean": Set(SetSpec(folder / CLEAN, clean=True), None)}
    found = {name: each for name, each in found.items() if each.spec.folder.is_dir()}
    for name, spec in map(parse_set, texts):
        found[name] = Set(spec, None if spec.clean or spec.jpeg else spec.first)
    return found


def measure(restorer: Restorer, name: str, wanted: Set, path: Path, limit: int | None) -> Report:
    """Return a set's report: read it where it was written before, else make and write it."""
    about = {"sha256": restorer.model.sha256, "limit": limit, "arithmetic": restorer.arithmetic}
    if path.exists():
        report = Report.from_json(path.read_text())
        if report.about != about:
            raise SystemExit(f"{path}: was measured with another model, limit or precision; name another folder")
        return report
    number = len(wanted.spec.find().matched)
    report = evaluate(
        restorer,
        {name: wanted.spec},
        lambda done, total: print(f"\r{name}: {done} of {total} ", end="", flush=True),
        told=[wanted.told] if wanted.told else FIVE,
        tone_matched=wanted.told is not None,
        shard=(1, max(1, -(-number // (limit or number)))),
        about=about,
    )
    print()
    path.write_text(report.to_json())
    return report


def print_pairs(reports: Mapping[str, Report], sets: Mapping[str, Set]) -> None:
    """Print the table of pairs, and the photos that lose."""
    header = f"set | photos | input | by itself | told | what | lacks | lose > {LOSS} | worst | named first"
    print(f"| {header} |\n|" + "---|" * 10)
    for name, report in reports.items():
        told = np.mean([row.others[f"told {sets[name].told}"].psnr - row.psnr_input for row in report.rows])
        summary: Summary = report.summaries()[name]
        alone = summary.gain.value
        worst = f"{Path(summary.worst.file).stem} {summary.worst.gain:+.2f}" if summary.worst else "–"
        changes = f"{alone:+.2f} | {told:+.2f} | {sets[name].told} | {told - alone:.2f}"
        before = f"{summary.psnr_input.value:.2f}"
        cells = (name, summary.num_photos, before, changes, summary.losers, worst, named(report.rows))
        print(f"| {' | '.join(map(str, cells))} |")
    rows = [row for report in reports.values() for row in report.rows]
    lost = [f"{row.set}/{Path(row.file).stem} {row.gain:+.2f}" for row in rows if row.gain < -HARM]
    print(f"\n{len(lost)} of {len(rows)} photos lose more than {HARM} dB: {', '.join(lost) or 'none'}.")


def print_clean(reports: Mapping[str, Report]) -> None:
    """Print the table of clean photos: by itself, and told what is not there."""
    print(f"\n| clean photos | number | unchanged | PSNR of the others | worst | under {LEAST:.0f} dB | named first |")
    print("|" + "---|" * 7)
    for name, report in reports.items():
        print_kept(name, [row.psnr_restored for row in report.rows], named(report.rows))
        for kind in FIVE:
            print_kept(f"{name}, told {kind}", [row.others[f"told {kind}"].psnr for row in report.rows], "–")


def print_kept(name: str, psnrs: Sequence[float], first: str) -> None:
    """Print how clean photos come back, by their PSNR in dB."""
    changed = [psnr for psnr in psnrs if psnr < math.inf]
    mean, worst = (f"{f(changed):.2f}" if changed else "–" for f in (np.mean, min))
    cells = (name, len(psnrs), len(psnrs) - len(changed), mean, worst, sum(psnr < LEAST for psnr in psnrs), first)
    print(f"| {' | '.join(map(str, cells))} |")


def named(rows: Sequence[Row]) -> str:
    """Return how often each ingredient was the largest."""
    counts = Counter(max(row.ingredients, key=row.ingredients.__getitem__) for row in rows)
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def change_of_colours(restorer: Restorer) -> list[int]:
    """Return by how many levels pictures of one colour are changed at most, for each."""
    colours = np.random.default_rng(0).permutation(list(itertools.product(LEVELS, repeat=3)))[:24]
    pictures = [np.full((side, side, 3), colour, np.uint8) for side in SIDES for colour in colours]
    return [int(np.abs(restorer.restore(each).image.astype(int) - each).max()) for each in pictures]


if __name__ == "__main__":
    main()
