"""Could results be HEIC? What pillow-heif makes of photos, beside what results are now: PSNR in dB, size, time.

    python benchmarks/heic.py PHOTO...

HEIC in 4:2:0 is what telephones write; 4:4:4 is beyond the Main profiles of HEVC.
"""

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
import pyvips

import idrestore
from idrestore.metrics import psnr


def heic(pixels: np.ndarray, quality: int, chroma: int) -> tuple[bytes, np.ndarray]:
    """Return a file, and what it shows."""
    file = io.BytesIO()
    pillow_heif.encode("RGB", pixels.shape[1::-1], pixels.tobytes(), file, quality=quality, chroma=chroma)
    return file.getvalue(), np.asarray(pillow_heif.open_heif(file))


def by_vips(pixels: np.ndarray, ending: str, **options: object) -> tuple[bytes, np.ndarray]:
    """Return a file, and what it shows."""
    data = pyvips.Image.new_from_array(pixels, interpretation="srgb").write_to_buffer(ending, **options)
    return data, pyvips.Image.new_from_buffer(data, "").numpy()[..., :3]


WAYS: dict[str, Callable[[np.ndarray], tuple[bytes, np.ndarray]]] = {
    "HEIC 4:2:0, 80": lambda pixels: heic(pixels, 80, 420),
    "HEIC 4:2:0, 90": lambda pixels: heic(pixels, 90, 420),
    "HEIC 4:4:4, 80": lambda pixels: heic(pixels, 80, 444),
    "HEIC 4:4:4, 90": lambda pixels: heic(pixels, 90, 444),
    "AVIF 4:4:4, 90": lambda pixels: by_vips(pixels, ".avif", Q=90, subsample_mode="off"),
    "JPEG 4:4:4, 95": lambda pixels: by_vips(pixels, ".jpg", Q=95, subsample_mode="off"),
}

photos = [np.ascontiguousarray(idrestore.read(Path(name)).pixels) for name in sys.argv[1:]]
print("| | dB | bytes a pixel | processor seconds a megapixel |\n|---|---|---|---|")
for way, encode in WAYS.items():
    found = []
    for pixels in photos:
        start, area = time.process_time(), pixels.shape[0] * pixels.shape[1]
        data, shown = encode(pixels)
        found.append((psnr(shown, pixels), len(data) / area, (time.process_time() - start) / area * 1e6))
    decibels, size, seconds = np.mean(found, axis=0)
    print(f"| {way} | {decibels:.1f} | {size:.2f} | {seconds:.1f} |", flush=True)
