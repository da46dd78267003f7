"""How well haze, or rain, is told: by the routers, by the classifier, and by what is made of both.

    python benchmarks/classifiers.py haze clean=FOLDER:clean weak_haze=FOLDER:degrade=haze@0.25 rainy=FOLDER:clean
    python benchmarks/classifiers.py rain clean=FOLDER:clean weak_rain=FOLDER:degrade=rain@0.25 real_rain=FOLDER:clean

Sets that have the degradation in their names show it, the others do not. For each of those and each of the others,
the area under the curve: how often, of a photo of each, the one that shows it is taken for worse (0.5: by chance).
"""

import sys
from itertools import product

import numpy as np
from numpy.typing import NDArray

from idrestore.data.pairs import SetSpec, parse_data
from idrestore.restoration.pixels import Photo
from idrestore.restoration.restorer import Restorer, load

COLUMNS = "routers", "classifier", "corrected"


def read(restorer: Restorer, spec: SetSpec, kind: str) -> NDArray[np.float64]:
    """Return how far each photo of a set shows a kind, (photos, 3): by routers, classifier, and the rule for both."""
    planner, names, rules = restorer._planner, restorer.names, restorer.rules
    correct = {"haze": rules.haze_of_scene, "rain": rules.rain_of_streaks}[kind]
    rows = []
    for index, pair in enumerate(spec.find().matched[: spec.limit]):
        photo = Photo.of(spec.read(pair, index)[0])
        seen = planner._evidence(photo, restorer._grid(photo))
        shares = restorer.engine.route(seen.crops).logits.softmax(dim=2)
        found = [float(each[..., names.index(kind)].mean()) for each in (shares, correct(names, shares, seen))]
        rows.append([found[0], getattr(seen, kind) or 0.0, found[1]])
    return np.array(rows)


def area_under_curve(shown: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Return how often one of the first is larger than one of the second; ties count half."""
    pairs = shown[:, None] - others[None]
    return float((pairs > 0).mean() + (pairs == 0).mean() / 2)


def main() -> None:
    """Read all sets and print a row for each that shows it against each of the others."""
    kind, *sets = sys.argv[1:]
    restorer = load()
    found = {name: read(restorer, spec, kind) for name, spec in parse_data(sets).items()}
    shown = [name for name in found if kind in name]
    print(f"| {kind} | none | " + " | ".join(COLUMNS) + " |\n" + "|---" * (2 + len(COLUMNS)) + "|")
    for one, other in product(shown, [name for name in found if name not in shown]):
        areas = (area_under_curve(found[one][:, k], found[other][:, k]) for k in range(len(COLUMNS)))
        print(f"| {one} | {other} | " + " | ".join(f"{area:.3f}" for area in areas) + " |")


if __name__ == "__main__":
    main()
