import numpy as np
import pytest
from conftest import write_png

from idrestore.data.pairs import read_8_bit
from idrestore.training.packing import pack


@pytest.fixture
def photos(tmp_path):
    """Return three pictures of noise, which take many bytes."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path in paths:
        write_png(path, rng.integers(0, 256, (700, 500, 3), dtype=np.uint8))
    return paths


def test_all_photos_are_there_and_as_large_as_the_limit_lets_them_be(tmp_path, photos):
    sides = [pack(photos, tmp_path / str(limit), limit) for limit in (0.3, 0.6)]
    assert sides[0] < sides[1] <= 700
    for limit, side in zip((0.3, 0.6), sides, strict=True):
        files = sorted((tmp_path / str(limit)).iterdir())
        assert [file.name for file in files] == ["00000-a.webp", "00001-b.webp", "00002-c.webp"]
        assert sum(file.stat().st_size for file in files) <= limit * 1e6
        assert max(read_8_bit(files[0]).shape) == side


def test_what_cannot_fit_is_refused_and_nothing_written(tmp_path, photos):
    with pytest.raises(ValueError, match=r"got 3 photos, too many for 0\.01 MB at 256 px"):
        pack(photos, tmp_path / "packed", 0.01)
    assert not (tmp_path / "packed").exists()
    with pytest.raises(ValueError, match="is not empty, expected a new folder"):
        pack(photos, tmp_path, 1)
