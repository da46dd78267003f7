import base64
import re

import numpy as np
import pytest
import pyvips

from idrestore.evaluation.figures import COLUMN, Box, Gallery, Panel, draw, most_different
from idrestore.evaluation.report import Pictures, Row, Score


def picture(seed=0, height=60, width=90):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def row(file="degraded/a.png", **others):
    return Row("rain", 0, file, 0.1, 1.0, 20.0, 31.25, 0.5, 0.875, {"rain": 1.0}, others)


@pytest.mark.parametrize("who", ["degraded", "restored"])
def test_the_box_lies_where_either_differs_most(who):
    clean = np.full((100, 150, 3), 100, np.uint8)
    pictures = {"degraded": clean.copy(), "restored": clean.copy()}
    pictures["degraded"][5:9, 5:9] += 20
    pictures[who][70:80, 110:120] += 60
    box = most_different(pictures["degraded"], pictures["restored"], clean)
    assert box.side == 32
    assert box.top <= 70 and box.top + 32 >= 80
    assert box.left <= 110 and box.left + 32 >= 120


def test_the_box_is_the_best_of_all_squares():
    degraded, restored, clean = picture(0, 37, 45), picture(1, 37, 45), picture(2, 37, 45)
    errors = sum((p.astype(int) - clean) ** 2 for p in (degraded, restored)).sum(axis=2)
    squares = {(y, x): errors[y : y + 32, x : x + 32].sum() for y in range(6) for x in range(14)}
    box = most_different(degraded, restored, clean)
    assert (box.top, box.left) == max(squares, key=squares.get)
    assert most_different(clean, clean, clean) == Box(0, 0, 32)
    assert most_different(*(picture(n, 9, 20) for n in range(3))).side == 9


def test_a_figure_shows_the_same_detail_of_every_picture():
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    panels = []
    for number, colour in enumerate(colours):
        pixels = np.full((60, 90, 3), 128, np.uint8)
        pixels[20:40, 30:50] = colour
        panels.append(Panel(f"n{number}", pixels, "20.00 dB"))
    figure = draw(panels, Box(20, 30, 20))
    for number, colour in enumerate(colours):
        found = (figure == colour).all(axis=2)
        where = np.flatnonzero(found.any(axis=0))
        assert found.sum() > COLUMN * COLUMN  # the enlarged detail, and its small one
        assert where[0] // (COLUMN + 8) == where[-1] // (COLUMN + 8) == number
    assert (figure[-60:] < 128).any(), "no text"
    assert (figure == draw(panels, Box(20, 30, 20))).all()


def test_figures_of_photos_of_one_name_are_two(tmp_path):
    gallery = Gallery(tmp_path, limit=2)
    for name in ("a.png", "a.jpg"):
        gallery.add(row(name), Pictures(picture(0), {}, picture(2), picture(3)))
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["a.jpg.png", "a.png"]
    assert [figure.name for figure in gallery.figures] == ["a", "a.jpg"]


def test_a_gallery_writes_a_figure_for_each_photo_and_one_page(tmp_path):
    gallery = Gallery(tmp_path, limit=2)
    pictures = Pictures(picture(0), {"A<b>": picture(1)}, picture(2), picture(3))
    for name in ("degraded/a.png", "degraded/sub/b.jpg", "degraded/c.png"):
        gallery.add(row(name, **{"A<b>": Score(25.5, 0.75)}), pictures)
    path = gallery.finish("Comparison", "| a & b |")
    names = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*.png"))]
    assert names == ["rain/degraded_a.png", "rain/degraded_sub_b.png"]
    first = pyvips.Image.new_from_file(str(tmp_path / names[0]))
    assert (first.width, first.bands) == (4 * COLUMN + 5 * 8, 3)
    text = path.read_text()
    assert "degraded/a: degraded 20.00 dB, 0.5000; A&lt;b&gt; 25.50 dB, 0.7500; restored 31.25 dB, 0.8750" in text
    assert "| a &amp; b |" in text
    images = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    assert len(images) == 2
    assert "http" not in text
    assert pyvips.Image.new_from_buffer(base64.b64decode(images[0]), "").width == first.width
