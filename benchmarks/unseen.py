"""What a model makes of a degradation that it has never seen: the under-display camera, by soft and by hard routing.

    python benchmarks/unseen.py FOLDER_OF_CLEAN_PHOTOS [MODEL]

The pictures are synthesised (`under_display` in `data/physics/panel.py`), which no shipped model is trained on.
Prints a Markdown table of PSNR (dB) and SSIM, and of the shares that the routers find.
"""

import sys
from pathlib import Path

from idrestore.data.pairs import parse_data
from idrestore.evaluation.evaluate import evaluate
from idrestore.restoration.restorer import load

STRENGTHS, NUM_PHOTOS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), 10


def main(folder: Path, model: str = "fast") -> None:
    """Print the table."""
    restorer = load(model)
    data = parse_data(f"{s:.1f}={folder}:degrade=under_display@{s}:limit={NUM_PHOTOS}" for s in STRENGTHS)
    soft, hard = (evaluate(restorer, data, routing=routing).summaries() for routing in ("soft", "hard"))
    print("| strength | PSNR input | soft | hard | SSIM input | soft | hard | worse, soft | worse, hard | found |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, one in soft.items():
        other = hard[name]
        decibels = [one.psnr_input, one.psnr_restored, other.psnr_restored]
        similarities = [one.ssim_input, one.ssim_restored, other.ssim_restored]
        cells = [f"{mean.value:.2f}" for mean in decibels] + [f"{mean.value:.3f}" for mean in similarities]
        found = sorted(one.ingredients.items(), key=lambda item: -item[1])[:4]
        shares = ", ".join(f"{kind} {share:.2f}" for kind, share in found)
        print(f"| {name} | {' | '.join(cells)} | {one.worse:.0%} | {other.worse:.0%} | {shares} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3])
