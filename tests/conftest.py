"""What every test shares: one thread, the same random numbers in any order, and a folder of photos."""

import signal
import threading

import numpy as np
import pytest
import pyvips
import torch
from hypothesis import settings

torch.set_num_threads(1)  # sums in one order, and the other cores left alone
pyvips.cache_set_max(0)  # a file that a test writes again is read again
settings.register_profile("idrestore", deadline=None)  # timings are benchmarks, never tests
settings.load_profile("idrestore")


if threading.current_thread() is threading.main_thread():  # heard even as a shell's background job, which ignores it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _same_numbers():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory):
    """Return a folder of four clean photos, 96x72: coloured waves, and blocks with hard edges."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:72, :96][..., None] / 96
    for number in range(4):
        down, right, phase = rng.uniform(2, 12, (3, 3))
        photo = 0.5 + 0.25 * np.sin(down * y + right * x + phase)
        for top, left in rng.integers(0, 60, (5, 2)):
            photo[top : top + 20, left : left + 25] += rng.uniform(-0.2, 0.2, 3)
        write_png(folder / f"photo{number}.png", (photo.clip(0, 1) * 255).round().astype(np.uint8))
    return folder


def write_png(path, pixels):
    """Write (H, W, 3) uint8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pyvips.Image.new_from_array(pixels, interpretation="srgb").pngsave(str(path))
