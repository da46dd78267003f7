"""What each of the rules between routers and result brings, and what it costs.

    python benchmarks/rules.py NAME=FOLDER... [NAME=FOLDER:degrade=haze+noise:limit=20...] [--rule lines --rule hazy...]
        [--set sure_share=0.5...] [--told noise+rain] [--tone-matched] [--enlarged 1.5]

Sets are those of `idrestore evaluate --data`, rules those of `OFF` (docs/guide/explain.md). Prints a Markdown table, a
row for each rule that changes photos of a set: how many; the mean PSNR (at most 60 dB) of all photos of the set as they
are, without the rule, and as `Restorer.restore` does it; and what it changed for the photos for which it was best and
worst. `--set` has another value of a field of `Rules` in place of no rule. `--told` says what is wrong with all photos.
`--tone-matched` takes PSNR after the best tone curve, for sets whose brightness is nobody's to know. `--enlarged` makes
photos soft at the scale of a pixel first: the middle 340 pixels of both are enlarged so many times, bicubically, and
the degraded one is compressed as JPEG of quality 88.
"""

import argparse
import ast
import copy
import hashlib
import io
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from idrestore.data.pairs import Pixels8, parse_data
from idrestore.metrics import MOST, psnr, tone_matched
from idrestore.model.checkpoint import load
from idrestore.model.network import RestorationNetwork
from idrestore.restoration.engine import Engine
from idrestore.restoration.restorer import Restorer
from idrestore.restoration.rules import Rules

MIDDLE, QUALITY = 340, 88
"""Side of the middle of a photo that is enlarged, px, and of its JPEG."""
OFF: dict[str, dict[str, Any]] = {
    "soft": {"min_soft_share": 2.0, "coarser_rain": 1e9},  # more than any
    "grain": {"grain": (1e8, 1e9)},  # more than any photo has
    "smoothed": {"smoothed_grain": (1e8, 1e9)},
    "even": {"even_grain": (1e9, 1e8)},  # as even as noise, whatever it is
    "grainy": {"min_grainy_rain": 2.0},
    "lines": {"rain_lines": (2.0, 3.0)},  # more than a correlation can be
    "sharp": {"sharp_kernels": (2.0, 3.0)},  # no sum of squares is as large
    "traces": {"traces": (2.0, 3.0)},
    "scene": {"min_change": 2.0},  # more than shares can change
    "raised": {"most_raised": 1.0},
    "streaks": {"likely_rain": 2.0},
    "dark": {"lift_brightness": (-1.0, -2.0)},  # nothing is as dark
    "clean": {"clean_shares": (2.0, 3.0)},
    "rain": {"max_dark_rain": 0.0},
    "noise": {"min_first_noise": 2.0},
    "highlights": {"highlights": (1.0, 2.0)},  # nothing is brighter
    "lights": {"min_lights": 2.0},
    "again": {"min_second_share": 2.0},
    "blur": {"min_hidden_blur_share": 2.0},
}
"""What switches a rule off."""


class Remembering(Engine):
    """An engine that works a thing out once: most rules leave most photos as they are."""

    def __init__(self, network: RestorationNetwork) -> None:
        super().__init__(network)
        self.known: dict[Any, Any] = {}

    def route(self, crops: Any, ingredients: Any = None) -> Any:
        """As that of `Engine`, of crops that routers decide about."""
        return self._once("route", crops)

    def restore(self, photos: Any, ingredients: Any, deconvolution: Any = None, routed: Any = None) -> Any:
        """As that of `Engine`, of a photo that is routed anew."""
        return self._once("restore", photos, ingredients, deconvolution)

    def colours(self, thumbnails: Any, ingredients: Any, certainty: Any) -> Any:
        """As that of `Engine`."""
        return self._once("colours", thumbnails, ingredients, certainty)

    def read_blur(self, crops: Any) -> Any:
        """As that of `Engine`."""
        return self._once("read_blur", crops)

    def _once(self, work: str, *arguments: Any) -> Any:
        key = work, *(None if each is None else _digest(each) for each in arguments)
        if key not in self.known:
            self.known[key] = getattr(super(), work)(*arguments)
        return self.known[key]


def _digest(numbers: np.ndarray | torch.Tensor) -> tuple[Any, ...]:
    array = np.ascontiguousarray(numbers)
    return array.shape, hashlib.blake2b(array.data).digest()


def enlarged(photo: np.ndarray, times: float, is_degraded: bool) -> np.ndarray:
    """Return the middle of a photo, so many times as large."""
    top, left = ((length - min(MIDDLE, length)) // 2 for length in photo.shape[:2])
    middle = Image.fromarray(photo[top : top + MIDDLE, left : left + MIDDLE])
    large = middle.resize((round(middle.width * times), round(middle.height * times)), Image.Resampling.BICUBIC)
    if is_degraded:
        file = io.BytesIO()
        large.save(file, "JPEG", quality=QUALITY)
        large = Image.open(file)
    return np.asarray(large)


def score(picture: Pixels8, clean: Pixels8, is_tone_matched: bool) -> float:
    """Return the PSNR in dB, at most `MOST`."""
    if is_tone_matched and not np.array_equal(picture, clean):
        return min(psnr(tone_matched(picture, clean), clean / 255), MOST)
    return min(psnr(picture, clean), MOST)


def changed(text: str) -> dict[str, Any]:
    """Return the field and the value of FIELD=VALUE."""
    field, _, value = text.partition("=")
    if field not in {each.name for each in fields(Rules)}:
        raise SystemExit(f"--set: got {text!r}, expected FIELD=VALUE, of a field of Rules")
    return {field: ast.literal_eval(value)}


def main(rules: Sequence[str], texts: list[str], told: str | None, times: float | None, is_tone_matched: bool) -> None:
    """Print the table."""
    usual = Restorer(load("fast"))
    engine = usual.engine = Remembering(usual.model.network)
    others = {rule: copy.copy(usual) for rule in rules}
    for rule, restorer in others.items():
        restorer.rules = replace(Rules(), **(OFF[rule] if rule in OFF else changed(rule)))
    names = told.split("+") if told else []
    ingredients = dict.fromkeys(names, 1 / len(names)) if names else None
    print("| rule | photos | changed | input | without | with | best | worst |\n|" + "---|" * 8)
    for name, spec in parse_data(texts).items():
        inputs, results = [], []
        changes: dict[str, list[float]] = {rule: [] for rule in rules}
        for index, pair in enumerate(spec.find().matched[: spec.limit]):
            degraded, clean = spec.read(pair, index)
            if times is not None:
                degraded, clean = enlarged(degraded, times, True), enlarged(clean, times, False)
            engine.known.clear()
            result = usual.restore(degraded, ingredients=ingredients).image
            before, after = (score(image, clean, is_tone_matched) for image in (degraded, result))
            inputs.append(before)
            results.append(after)
            for rule, restorer in others.items():
                without = restorer.restore(degraded, ingredients=ingredients).image
                if not np.array_equal(result, without):
                    changes[rule].append(after - score(without, clean, is_tone_matched))
        for rule, each in changes.items():
            if each:
                numbers = np.mean(inputs), np.mean(results) - sum(each) / len(results), np.mean(results)
                means = [f"{number:.2f}" for number in numbers]
                cells = rule, name, f"{len(each)} of {len(results)}", *means, f"{max(each):+.2f}", f"{min(each):+.2f}"
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--rule", action="append", choices=OFF, help="may be repeated; default: all")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="may be repeated")
    parser.add_argument("--told")
    parser.add_argument("--enlarged", type=float)
    parser.add_argument("--tone-matched", action="store_true")
    given = parser.parse_args()
    rules = [*(given.rule or []), *given.set] or list(OFF)
    main(rules, given.sets, given.told, given.enlarged, given.tone_matched)
