"""Make the pictures of README and docs/guide/gallery.md from `examples/`, by the shipped model.

    python benchmarks/pictures.py

Writes docs/before-after.jpg and docs/guide/gallery/NAME.jpg (degraded, restored, clean); prints the gallery as a table.
"""

from pathlib import Path

import numpy as np
import pyvips

from idrestore.data.pairs import read_8_bit
from idrestore.evaluation.figures import Panel, draw, most_different
from idrestore.metrics import psnr
from idrestore.restoration.restorer import load

ROOT = Path(__file__).parent.parent
ORDER = (
    "noise_aitzgorri",
    "rain_life",
    "haze_picosdeeuropa",
    "blur_friends",
    "low_light_brushes",
    "haze_noise_seeding",
)
SIDE, GAP = 300, 4


def square(pixels: np.ndarray) -> pyvips.Image:
    """Cut a square out of a photo's middle, of a portrait's upper part."""
    height, width = pixels.shape[:2]
    side = min(height, width, 420)
    top = min(height // 10, height - side) if height > width else (height - side) // 2
    left = (width - side) // 2
    cut = np.ascontiguousarray(pixels[top : top + side, left : left + side])
    return pyvips.Image.new_from_array(cut).resize(SIDE / side)


def main() -> None:
    """Restore the examples, write the pictures and print the table."""
    restorer = load("fast")
    folder = ROOT / "docs/guide/gallery"
    folder.mkdir(exist_ok=True)
    above, below = [], []
    print("| picture | found | PSNR before | after |\n|---|---|---|---|")
    for name in ORDER:
        degraded, clean = (read_8_bit(ROOT / "examples" / side / f"{name}.jpg") for side in ("degraded", "clean"))
        result = restorer.restore(degraded)
        before, after = psnr(degraded, clean), psnr(result.image, clean)
        found = ", ".join(f"{name} {share:.0%}" for name, share in result.ingredients.items() if share >= 0.05)
        print(f"| `{name}` | {found} | {before:.2f} | {after:.2f} |")
        panels = [
            Panel("degraded", degraded, f"{before:.2f} dB"),
            Panel("restored", result.image, f"{after:.2f} dB"),
            Panel("clean", clean, ""),
        ]
        box = most_different(degraded, result.image, clean)
        save(pyvips.Image.new_from_array(draw(panels, box)), folder / f"{name}.jpg")
        above.append(square(degraded))
        below.append(square(result.image))
    white = [255, 255, 255]
    rows = pyvips.Image.arrayjoin([*above, *below], across=len(ORDER), shim=GAP, background=white)
    save(rows, ROOT / "docs" / "before-after.jpg")


def save(picture: pyvips.Image, path: Path) -> None:
    """Write a JPEG without metadata."""
    picture.write_to_file(f"{path}[Q=88,keep=none]")


if __name__ == "__main__":
    main()
