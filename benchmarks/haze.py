"""How well haze is told: by the routers, by the haze classifier, and by both together.

    python benchmarks/haze.py clean=FOLDER:clean weak_haze=FOLDER:degrade=haze@0.25 rainy=FOLDER:degrade=rain

Sets that have haze or hazy in their names are hazy, the others are not. For each hazy set and each of
the others, the area under the curve: how often, of a photo of each, the hazy one is taken for hazier (0.5: by chance).
"""

import sys
from itertools import product

import numpy as np
from numpy.typing import NDArray

from idrestore.data.pairs import SetSpec, parse_data
from idrestore.restoration.pixels import Photo
from idrestore.restoration.restorer import Restorer, load

COLUMNS = "routers", "classifier", "both"


def read(restorer: Restorer, spec: SetSpec) -> NDArray[np.float64]:
    """Return how hazy each photo of a set is, (photos, 3): by the routers, by the classifier, and by both."""
    planner, names = restorer._planner, restorer.names
    rows = []
    for index, pair in enumerate(spec.find().matched[: spec.limit]):
        photo = Photo.of(spec.read(pair, index)[0])
        seen = planner._evidence(photo, restorer._grid(photo))
        shares = restorer.engine.route(seen.crops).logits.softmax(dim=2)
        both = restorer.rules.haze_of_scene(names, shares, seen)
        haze = names.index("haze")
        rows.append([float(shares[..., haze].mean()), seen.haze or 0.0, float(both[..., haze].mean())])
    return np.array(rows)


def area_under_curve(hazy: NDArray[np.float64], clear: NDArray[np.float64]) -> float:
    """Return how often one of the first is larger than one of the second; ties count half."""
    pairs = hazy[:, None] - clear[None]
    return float((pairs > 0).mean() + (pairs == 0).mean() / 2)


def main() -> None:
    """Read all sets and print a row for each hazy one against each of the others."""
    restorer = load()
    found = {name: read(restorer, spec) for name, spec in parse_data(sys.argv[1:]).items()}
    hazy = [name for name in found if "haze" in name or "hazy" in name]
    print("| hazy | not hazy | " + " | ".join(COLUMNS) + " |\n" + "|---" * (2 + len(COLUMNS)) + "|")
    for one, other in product(hazy, [name for name in found if name not in hazy]):
        areas = (area_under_curve(found[one][:, k], found[other][:, k]) for k in range(len(COLUMNS)))
        print(f"| {one} | {other} | " + " | ".join(f"{area:.3f}" for area in areas) + " |")


if __name__ == "__main__":
    main()
