"""Does a share of 0.8 mean right in 80 % of the cases? Reads what `idrestore evaluate` wrote.

    python benchmarks/calibration.py results.json

Counts every photo of every set whose degradation is known (`first`), by the largest share that was found, and prints a
Markdown table with the expected calibration error: the mean distance between share and hits, weighted by photos.
"""

import itertools
import json
import sys
from pathlib import Path

EDGES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)


def main(path: Path) -> None:
    """Print the table."""
    report = json.loads(path.read_text())
    expected = {name: each["spec"]["first"] for name, each in report["sets"].items()}
    found = [
        (max(row["ingredients"].values()), max(row["ingredients"], key=row["ingredients"].get) == expected[row["set"]])
        for row in report["photos"]
        if expected[row["set"]]
    ]
    print("| largest share | photos | mean share | right |\n|---|---|---|---|")
    error = 0.0
    for low, high in itertools.pairwise(EDGES):
        inside = [(share, right) for share, right in found if low < share <= high]
        if not inside:
            continue
        share = sum(share for share, _ in inside) / len(inside)
        right = sum(right for _, right in inside) / len(inside)
        error += len(inside) / len(found) * abs(share - right)
        print(f"| {low:.2f} to {high:.2f} | {len(inside)} | {share:.2f} | {right:.2f} |")
    print(f"\nExpected calibration error {error:.3f} over {len(found)} photos.")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
