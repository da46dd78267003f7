"""Comparison figures: each photo as it was, as others and we restored it, and clean, with one detail enlarged."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyvips

from idrestore.data.pairs import Pixels8
from idrestore.evaluation.report import Pictures, Row
from idrestore.files import image

COLUMN = 300
"""Width of a picture in a figure, px."""
GAP, BORDER = 8, 2
"""Between the pictures of a figure, and of the frame around the detail, px."""
RED = (230, 30, 30)
DETAIL = 5
"""The detail's side is this fraction of the photo's shorter side, but at least `SMALLEST`."""
SMALLEST = 32
FONT = "sans 12"
INCH = 96
"""Pixels an inch, for the font's size."""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.4 sans-serif; margin: 2em; max-width: 120em }}
img {{ max-width: 100%; height: auto }}
figure {{ margin: 0 0 2.5em }}
pre {{ overflow-x: auto }}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""


class Panel(NamedTuple):
    """One of a figure's pictures."""

    name: str
    pixels: Pixels8
    """(H, W, 3)"""
    caption: str
    """Its second line, such as the PSNR"""


class Box(NamedTuple):
    """A square in a photo, px."""

    top: int
    left: int
    side: int

    def cut(self, pixels: Pixels8) -> Pixels8:
        """Return what of a picture lies inside."""
        return pixels[self.top : self.top + self.side, self.left : self.left + self.side]


class Figure(NamedTuple):
    """A figure on the page."""

    group: str
    """Figures of one group stand together, under its name."""
    name: str
    pixels: Pixels8
    caption: str


class Gallery:
    """The figures of an evaluation, drawn as the photos pass by: at most `limit` of each set, the first."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self.figures: list[Figure] = []

    def add(self, row: Row, pictures: Pictures) -> None:
        """Draw a photo's figure and write it as `folder/SET/NAME.png`; a `/` in NAME becomes `_`.

        NAME has the photo's own ending where another photo's is the same without.
        """
        if sum(figure.group == row.set for figure in self.figures) >= self.limit:
            return
        shown = {"degraded": pictures.degraded, **pictures.others, "restored": pictures.restored}
        scores = {"degraded": (row.psnr_input, row.ssim_input), "restored": (row.psnr_restored, row.ssim_restored)}
        lines = {name: f"{psnr:.2f} dB, {ssim:.4f}" for name, (psnr, ssim) in {**scores, **row.others}.items()}
        panels = [Panel(name, pixels, lines[name]) for name, pixels in shown.items()]
        panels.append(Panel("clean", pictures.clean, "PSNR, SSIM"))
        box = most_different(pictures.degraded, pictures.restored, pictures.clean)
        caption = "; ".join(f"{panel.name} {panel.caption}" for panel in panels[:-1])
        name = str(Path(row.file).with_suffix(""))
        if (path := self._place(row.set, name)).exists():
            path = self._place(row.set, name := row.file)
        figure = Figure(row.set, name, draw(panels, box), caption)
        path.parent.mkdir(parents=True, exist_ok=True)
        image.write(figure.pixels, path, image.Photo(figure.pixels))
        self.figures.append(figure)

    def _place(self, group: str, name: str) -> Path:
        return self.folder / group / (name.replace("/", "_") + ".png")

    def finish(self, title: str, table: str) -> Path:
        """Write the page `folder/index.html`, which holds its pictures itself, and return its path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "index.html"
        path.write_text(page(title, table, self.figures), encoding="utf-8")
        return path


def most_different(degraded: Pixels8, restored: Pixels8, clean: Pixels8) -> Box:
    """Return the square in which the degraded and the restored photo together differ most from the clean one.

    All are (H, W, 3). The sum of squared differences decides; of equal squares the first counts, row by row.
    """
    height, width = clean.shape[:2]
    side = min(height, width, max(SMALLEST, min(height, width) // DETAIL))
    truth = clean.astype(np.int64)
    error = sum(np.square(picture.astype(np.int64) - truth).sum(axis=2) for picture in (degraded, restored))
    sums = np.pad(np.asarray(error), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)  # (H + 1, W + 1)
    of_squares = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(int(of_squares.argmax()), of_squares.shape)
    return Box(int(top), int(left), side)


def draw(panels: Sequence[Panel], box: Box) -> Pixels8:
    """Return a figure (H, W, 3): a column for each panel, the photo with the box marked, the box enlarged, two lines.

    The pictures of all panels have one size.
    """
    columns = [_column(panel, box) for panel in panels]
    height = max(len(column) for column in columns)
    figure = np.full((height + 2 * GAP, len(columns) * (COLUMN + GAP) + GAP, 3), 255, np.uint8)
    for number, column in enumerate(columns):
        left = GAP + number * (COLUMN + GAP)
        figure[GAP : GAP + len(column), left : left + COLUMN] = column
    return figure


def page(title: str, table: str, figures: Sequence[Figure]) -> str:
    """Return one HTML page that holds its pictures itself; `table` is text, shown as it is."""
    body = [f"<pre>{escape(table)}</pre>"]
    for group in dict.fromkeys(figure.group for figure in figures):
        body.append(f"<h2>{escape(group)}</h2>")
        body += [_on_page(figure) for figure in figures if figure.group == group]
    return PAGE.format(title=escape(title), body="\n".join(body))


def _on_page(figure: Figure) -> str:
    jpeg = pyvips.Image.new_from_array(figure.pixels, interpretation="srgb").jpegsave_buffer(Q=90, subsample_mode="off")
    source = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
    caption = escape(f"{figure.name}: {figure.caption}")
    return f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'


def _column(panel: Panel, box: Box) -> Pixels8:
    """Return a panel's photo, detail and lines, (H, COLUMN, 3)."""
    white = np.full((GAP, COLUMN, 3), 255, np.uint8)
    lines = [_line(text) for text in (panel.name, panel.caption)]
    return np.concatenate([_marked(panel.pixels, box), white, _scaled(box.cut(panel.pixels)), white, *lines])


def _scaled(pixels: Pixels8) -> Pixels8:
    """Return a picture `COLUMN` pixels wide; what is enlarged shows its pixels as squares."""
    picture = pyvips.Image.new_from_array(pixels, interpretation="srgb")
    kernel = "nearest" if picture.width < COLUMN else "lanczos3"
    across, down = COLUMN / picture.width, max(1, round(picture.height * COLUMN / picture.width)) / picture.height
    scaled: Pixels8 = picture.resize(across, vscale=down, kernel=kernel).numpy()
    return scaled


def _marked(pixels: Pixels8, box: Box) -> Pixels8:
    """Return a picture `COLUMN` pixels wide with a frame around the box."""
    scaled = _scaled(pixels).copy()
    factor = COLUMN / pixels.shape[1]
    top, left, bottom, right = (
        round(edge * factor) for edge in (box.top, box.left, box.top + box.side, box.left + box.side)
    )
    inside = scaled[top + BORDER : bottom - BORDER, left + BORDER : right - BORDER].copy()
    scaled[top:bottom, left:right] = RED
    scaled[top + BORDER : bottom - BORDER, left + BORDER : right - BORDER] = inside
    return scaled


def _line(text: str) -> Pixels8:
    """Return one line of black text on white, centred, (h, COLUMN, 3); what is too long is cut."""
    height = 2 * int(FONT.split()[1])
    line = np.zeros((height, COLUMN), np.uint8)
    if text:
        ink = pyvips.Image.text(escape(text), font=FONT, dpi=INCH).numpy().squeeze()[:height, :COLUMN]
        top, left = (height - ink.shape[0]) // 2, (COLUMN - ink.shape[1]) // 2
        line[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return np.repeat(255 - line[..., None], 3, axis=2)
