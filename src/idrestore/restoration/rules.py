"""The rules between what the routers find and what is done to a photo: every limit, and what follows from it.

A `Planner` (`restoration/plan.py`) asks them in this order. What was found is `corrected`. Then is decided if it is
dark all the same (`lift`), how much of the change is kept (`kept_change`), if the photo is worked on at half its size
(`is_soft`, `is_coarse_rain`), what waits for a second pass (`what_waits`), if there is nothing to do (`is_nothing`),
how far brightness and colours are changed, which takes haze and darkness away (`affine_certainty`) and as which of the
two (`haziness`, `darkness`), if a dark photo was exposed for its lights (`has_lights`), whether blur is filtered away
(`is_deconvolved`), and, once the photo is restored, if it needs a second pass (`may_hide_something`, `hidden`,
`needs_second_pass`, `may_hide_blur`, `is_blurring`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from idrestore.restoration.evidence import Evidence, brightness, ramps
from idrestore.restoration.pixels import Photo

NOTHING = 0.005
"""Sum of shares up to which there is nothing to undo: it would change single pixels by a level."""
SUREST = 0.99
"""How sure that a photo is hazy or rainy, or not, the classifiers are believed to be."""
LEAST_GRAIN = 0.1
"""Grain that rounding alone may leave, in 8-bit levels."""


@dataclass(frozen=True)
class Rules:
    """The limits; docs/guide/explain.md says how they came about. A pair is where a rule begins and where it is full.

    `dataclasses.replace(Rules(), min_second_share=2)` is another set, for `Restorer(..., rules=...)`.
    """

    clean_shares: tuple[float, float] = (0.25, 0.5)
    """Shares of `clean` from which a photo is changed less, and from which it is left alone."""
    min_soft_share: float = 0.25
    """Share of blur from which a photo is looked at at half its size too ..."""
    soft_rest: float = 0.5
    """... at which it is worked on if less than this part of that share is left ..."""
    sure_soft_share: float = 0.7
    """... and something else has such a share."""
    grain: tuple[float, float] = (0.4, 0.8)
    """Grain (`pixels.grain`, in 8-bit levels) from which blur is taken for noise in part, and as a whole."""
    smoothed_grain: tuple[float, float] = (1.6, 1.9)
    """How many times as much grain there is at half the size as at full from which it is noise that a camera smoothed
    in part, and surely, and then there is no blur ..."""
    scene_grain: tuple[float, float] = (1.45, 1.2)
    """... if at a quarter there is not so many times as much as at half, as in the detail of a scene."""
    smoothed_noise: tuple[float, float] = (0.2, 0.4)
    """Grain at half the size from which that is noise worth removing in part, and fully ..."""
    max_smoothed_noise: tuple[float, float] = (1.7, 1.5)
    """... and from which it is not, for fine texture has more ..."""
    even_grain: tuple[float, float] = (2.8, 2.4)
    """... and is not everywhere, as noise is: how many times as strong it may be elsewhere (`pixels.spread`) to be that
    in part, and fully."""
    max_smoothed_darkness: float = 0.1
    """Share of low light above which smoothed grain is not looked at: what is dark has little grain left."""
    max_smoothed_haze: float = 0.3
    """Share of haze up to which it is taken for smoothed noise."""
    min_blur_share: float = 0.1
    """Share of blur below which its kernel is not looked at, nor grain, unless a photo is changed less because it is
    called clean."""
    sharp_kernels: tuple[float, float] = (0.35, 0.45)
    """Sum of the squares of a blur kernel (`Evidence.sharpness`) from which blur is not believed in part, and not at
    all."""
    min_grainy_rain: float = 0.25
    """Share of rain from which grain may be that of its streaks."""
    rain_lines: tuple[float, float] = (0.12, 0.24)
    """Lines unlike rain (`evidence.lines_unlike_rain`) from which rain is not believed in part, and not at all."""
    min_rain_share: float = 0.1
    """Share of rain below which lines are not looked at."""
    likely_rain: float = 0.65
    """How likely the rain classifier must find rain, in a photo or at half its size, for that to come first."""
    coarser_rain: float = 4.0
    """How many times as high the odds of rain must be at half the size for a rainy photo to be worked on there."""
    hazy_odds: tuple[float, float, float] = (0.4, 0.06, 0.025)
    """How many times as likely a photo is hazy, before it is looked at, as those were that the haze classifier learned
    from, of which two in five are: as it came, and where rain was undone, or anything else."""
    most_raised: float = 0.7
    """Part of haze, `clean` and blur up to which that may raise the share of haze: surer, photos are overdone."""
    min_change: float = 0.02
    """Change of shares by what that says up to which they stay as the routers found them, and what was worked out for
    them is used."""
    lift_brightness: tuple[float, float] = (0.2, 0.15)
    """Brightness that two thirds of a photo do not reach (`Brightness.most`) from which one that is called clean,
    blurred or noisy is dark in part, and surely ..."""
    lifted_share: float = 0.7
    """... and then has at least this share of low light."""
    traces: tuple[float, float] = (0.03, 0.3)
    """A share of low light between these is taken for noise where that is the largest: strong noise looks like it."""
    dark_shares: tuple[float, float] = (0.3, 0.5)
    """Shares of low light from which a photo counts as dark, and in full: highlights are rolled off, one exposure is
    undone."""
    highlights: tuple[float, float] = (0.2, 0.3)
    """Brightness from which highlights of a dark photo are rolled off, and below which they then stay."""
    min_lights: float = 0.35
    """Brightness of the brightest parts of a dark photo (`Brightness.lights`) from which it was exposed for them. Then,
    and where the routers do not call it dark, its shadows are lifted by its own tones (`restoration/tone.py`) ..."""
    lifted_brightness: tuple[float, float] = (0.3, 0.2)
    """... until the geometric mean of what is neither black nor a light is as bright as this, without lights and with
    them ..."""
    max_lift: tuple[float, float] = (12.0, 3.0)
    """... but nothing becomes so many times as bright: it may have been meant to be dark."""
    told_brightness: float = 0.4
    """As `lifted_brightness`, of what is told to be dark and has lights; its shadows may become twice as bright."""
    affine_shares: tuple[float, float] | None = None
    """Shares of haze and darkness from which brightness and colours of the whole photo are changed in part, and fully;
    None: those with which the model learned it (`ModelConfig.affine_from`)."""
    min_deconvolution_share: float = 0.02
    """Share of blur above which a photo is deconvolved ..."""
    max_deconvolution_haze: float = 0.3
    """... unless haze and darkness have more than this, which the filtered photo would bring back."""
    min_second_share: float = 0.03
    """A second degradation of this share is reason to route the restored photo again: noise hides haze and blur."""
    sure_share: float = 0.55
    """A second pass is for a degradation that then has at least this share ..."""
    min_evidence: float = 0.075
    """... if the product of its shares, before (the largest) and after, is at least this ..."""
    max_second_clean: float = 0.15
    """... and the share of `clean` is then at most this; in a third pass, over what noise and rain hid, that from which
    less would be changed."""
    min_first_noise: float = 0.3
    """Share of noise from which an additive refiner takes it off before anything else is looked at, as it does where
    noise has the largest share. It takes off rain alike where that has the largest ..."""
    max_dark_rain: float = 0.25
    """... unless low light has at least this share: rain in the dark is undone with the dark."""
    min_hiding_noise: float = 6 / 255
    """Removing noise must have changed a photo by this much (root mean square) for blur to have hidden behind it."""
    min_hidden_blur_share: float = 0.3
    """Share of blur, after noise was removed, from which its kernel is read ..."""
    max_hidden_clean_share: float = 0.5
    """... if the share of `clean` is then at most this."""
    max_kernel_power: float = 0.3
    """A kernel whose squares sum to less than this (1: a point) blurs: then the second pass is for blur."""

    def kept_change(self, clean_share: float) -> float:
        """Return how much of the change is kept, in [0, 1]: the less, the surer a photo is clean."""
        return ramp(clean_share, self.clean_shares[::-1])

    def may_be_soft(self, found: Mapping[str, float], seen: Evidence) -> bool:
        """Tell whether a photo of such shares is to be looked at at half its size as well.

        What is called blurred may be softness at the scale of a pixel, and streaks of rain may be larger than usual.
        """
        return found.get("blur", 0.0) >= self.min_soft_share or self.is_rainy(seen)

    def is_soft(self, found: Mapping[str, float], halved: Mapping[str, float]) -> bool:
        """Tell from shares in a photo and in its half, the largest first, if what is called blurred is only soft.

        Photos that were enlarged, or come from sensors finer than their lenses, have nothing at the scale of a pixel,
        and what is wrong with them is coarser than any that models learn from.
        """
        name, share = next(iter(halved.items()))
        is_sure = name not in ("blur", "clean", "rain") and share >= self.sure_soft_share
        is_blurred = found.get("blur", 0.0) >= self.min_soft_share
        return is_sure and is_blurred and halved.get("blur", 0.0) < self.soft_rest * found["blur"]

    def is_coarse_rain(self, halved: Mapping[str, float], seen: Evidence, half_seen: Evidence) -> bool:
        """Tell whether streaks, which come first in the half of a photo, are seen better there."""
        if seen.rain is None or half_seen.rain is None or largest(halved) != "rain" or not self.is_rainy(half_seen):
            return False
        return not self.is_rainy(seen) or odds(half_seen.rain) >= self.coarser_rain * odds(seen.rain)

    def is_rainy(self, seen: Evidence) -> bool:
        """Tell whether the rain classifier finds rain in a photo."""
        return seen.rain is not None and seen.rain >= self.likely_rain

    def darkness(self, names: Sequence[str], rows: Tensor) -> float:
        """Return how far a photo of ingredients (1, M, K) counts as dark, in [0, 1]."""
        return ramp(mean_shares(names, rows).get("low_light", 0.0), self.dark_shares)

    def haziness(self, names: Sequence[str], rows: Tensor) -> float:
        """Return how much of what haze and darkness did to a photo of ingredients (1, M, K) was haze, in [0, 1]."""
        shares = mean_shares(names, rows)
        haze, dark = (shares.get(name, 0.0) for name in ("haze", "low_light"))
        return 1.0 if not dark else haze / (haze + dark)

    def affine_certainty(self, share: Tensor, learned: tuple[float, float]) -> Tensor:
        """Return how far brightness and colours are changed, (B,) in [0, 1], for shares (B,) of haze and darkness.

        `learned` are the limits of the model, for rules that have none of their own.
        """
        return ramps(share, self.affine_shares or learned)

    def is_deconvolved(self, blur: Tensor, haze: Tensor) -> bool:
        """Tell whether a photo of such shares (1,) of blur, and of haze and darkness, is to be deconvolved."""
        return bool(blur > self.min_deconvolution_share) and bool(haze <= self.max_deconvolution_haze)

    def corrected(self, names: Sequence[str], rows: Tensor, seen: Evidence) -> Tensor:
        """Return what the routers say, (1, M, K), as far as the photo itself does not speak against it.

        Rows of which nothing changes are returned themselves, here and by each of the rules.
        """
        rows = self.noise_for_grain(names, rows, seen)
        rows = self.rain_of_streaks(names, rows, seen)
        rows = self.nothing_for_rain(names, rows, seen)
        rows = self.nothing_for_blur(names, rows, seen)
        rows = self.noise_for_darkness(names, rows)
        return self.haze_of_scene(names, rows, seen)

    def noise_for_grain(self, names: Sequence[str], rows: Tensor, seen: Evidence) -> Tensor:
        """Correct shares of noise, blur and `clean` in rows (1, M, K), as far as a photo's grain speaks against them.

        Blur takes the finest detail first. Where all of a photo has some, it is noise, which deblurring would sharpen.
        Cameras smooth noise, so that little is left at full size, and more shows at half; a scene's detail grows
        further, and is not everywhere. Then blur is noise as well, or nothing if that is weak, and so is what is called
        clean, and a trace of haze. Streaks of rain have such grain, too: where rain has a good share, what grain speaks
        for goes to noise and rain in the proportion of theirs.
        """
        shares = mean_shares(names, rows)
        is_unsure = shares.get("clean", 0.0) > self.clean_shares[0]
        if not {"noise", "blur"} <= set(names) or not (shares["blur"] >= self.min_blur_share or is_unsure):
            return rows
        grain = seen.grain
        fine = ramp(grain.full, self.grain) if shares["blur"] >= self.min_blur_share else 0.0
        smoothed = ramp(grain.half / max(grain.full, LEAST_GRAIN), self.smoothed_grain)
        smoothed *= ramp(grain.quarter / max(grain.half, LEAST_GRAIN), self.scene_grain)
        if shares.get("low_light", 0.0) > self.max_smoothed_darkness:
            smoothed = 0.0
        noise = smoothed * ramp(grain.half, self.smoothed_noise) * ramp(grain.half, self.max_smoothed_noise)
        noise *= ramp(grain.spread, self.even_grain)
        if not fine and not smoothed:
            return rows
        blur = one_hot(names, "blur")
        kept = 1 - max(fine, noise) * blur
        is_rainy = shares.get("rain", 0.0) >= self.min_grainy_rain
        grainy = {name: shares[name] for name in ("noise", "rain")} if is_rainy else "noise"
        if "clean" not in names:
            return scale_shares(names, rows, kept, grainy)
        kept = kept - noise * one_hot(names, "clean")
        if shares.get("haze", 0.0) <= self.max_smoothed_haze:
            kept = kept - noise * one_hot(names, "haze")
        return scale_shares(names, scale_shares(names, rows, kept, grainy), 1 - smoothed * blur)

    def rain_of_streaks(self, names: Sequence[str], rows: Tensor, seen: Evidence) -> Tensor:
        """Let rain come first in rows (1, M, K) where the rain classifier finds it.

        Routers take most real rain for clean or blurred, and coarse streaks for haze. It is asked of photos as they
        came, where neither noise goes first nor darkness has much of a share.
        """
        shares = mean_shares(names, rows)
        is_asked = "rain" in names and not seen.undone and not self.noise_is_first(shares)
        if not is_asked or self.is_dark_rain(shares) or not self.is_rainy(seen):
            return rows
        return put_first(names, rows, "rain")

    def nothing_for_rain(self, names: Sequence[str], rows: Tensor, seen: Evidence) -> Tensor:
        """Give the share of rain in rows (1, M, K) to `clean`, as far as lines speak against rain."""
        if not {"rain", "clean"} <= set(names) or mean_shares(names, rows)["rain"] < self.min_rain_share:
            return rows
        part = ramp(seen.lines, self.rain_lines)
        return scale_shares(names, rows, 1 - part * one_hot(names, "rain")) if part else rows

    def nothing_for_blur(self, names: Sequence[str], rows: Tensor, seen: Evidence) -> Tensor:
        """Give the share of blur in rows (1, M, K) to `clean`, as far as the photo's kernel hardly blurs.

        That is asked where blur comes before any other degradation, of photos as they came: what restoring leaves has
        another kernel.
        """
        shares = mean_shares(names, rows)
        if not _comes_first("blur", names, shares, seen) or shares["blur"] < self.min_blur_share:
            return rows
        part = ramp(seen.sharpness, self.sharp_kernels)
        return scale_shares(names, rows, 1 - part * one_hot(names, "blur")) if part else rows

    def haze_of_scene(self, names: Sequence[str], rows: Tensor, seen: Evidence) -> Tensor:
        """Weigh haze against `clean` and blur in rows (1, M, K) by what the whole photo says of it.

        Routers see too little of a scene to tell haze from pale colours. Their odds of haze are multiplied by those of
        the haze classifier, as those of two that know nothing of each other. It is asked where neither noise, rain nor
        darkness is the largest of what is wrong: what lies over haze is undone first. Blur speaks against haze, but not
        in a photo of which anything but rain was undone: it is soft for that. Haze is raised to `most_raised` only: the
        refiners learned from shares as routers give them, and overdo surer ones.
        """
        first = largest(mean_shares(names, rows))
        if not {"haze", "clean"} <= set(names) or first not in ("haze", "blur") or seen.haze is None:
            return rows
        speaks = ("clean",) if {*seen.undone} - {"rain"} else ("clean", "blur")
        before = self.hazy_odds[0 if not seen.undone else 1 if seen.undone[-1] == "rain" else 2]
        it, against, gives = (
            sum(one_hot(names, name).to(rows) for name in group) for group in (("haze",), speaks, ("clean", "blur"))
        )
        for_it, not_it = before * odds(seen.haze) * (rows @ it), rows @ against  # (1, M) each
        doubt = rows @ (it + gives)
        most = ((rows @ it) / doubt.clamp_min(1e-9)).clamp_min(self.most_raised)
        belief = (for_it / (for_it + not_it).clamp_min(1e-9)).minimum(most)[..., None]
        rest = rows * gives
        rest = rest / rest.sum(dim=2, keepdim=True).clamp_min(1e-9)
        weighed = rows * (1 - it - gives) + doubt[..., None] * (belief * it + (1 - belief) * rest)
        return weighed if (weighed - rows).abs().max() > self.min_change else rows

    def noise_for_darkness(self, names: Sequence[str], rows: Tensor) -> Tensor:
        """Give a trace of low light in rows (1, M, K) to noise where that is the largest share."""
        shares = mean_shares(names, rows)
        trace = shares.get("low_light", 0.0)
        start, end = self.traces
        if next(iter(shares)) != "noise" or not start <= trace <= end:
            return rows
        return scale_shares(names, rows, 1 - one_hot(names, "low_light"), "noise")

    def what_waits(self, names: Sequence[str], rows: Tensor, wanted: Mapping[str, float]) -> Tensor:
        """Return rows (1, M, K) of noise or rain alone, where that comes off before all else; others as they are.

        What else is wrong with a photo shows once what lies over it is gone. How much of that there is, additive
        refiners see for themselves: `wanted` is how much of what each of them takes off the user wants gone, in [0, 1];
        empty: the model has none, and all is undone at once.
        """
        shares = mean_shares(names, rows)
        first = "noise" if self.noise_is_first(shares) else largest(shares)
        if first not in ("noise", "rain") or first not in wanted or (first == "rain" and self.is_dark_rain(shares)):
            return rows
        part = wanted[first]
        return (part * one_hot(names, first) + (1 - part) * one_hot(names, "clean")).to(rows).expand_as(rows)

    def noise_is_first(self, shares: Mapping[str, float]) -> bool:
        """Tell whether noise is to be taken off a photo of such shares, the largest first, before all else."""
        return largest(shares) == "noise" or shares.get("noise", 0.0) >= self.min_first_noise

    def is_dark_rain(self, shares: Mapping[str, float]) -> bool:
        """Tell whether rain in a photo of such shares is undone with the dark."""
        return shares.get("low_light", 0.0) >= self.max_dark_rain

    def is_nothing(self, names: Sequence[str], rows: Tensor) -> bool:
        """Tell whether rows (1, M, K) leave nothing to undo."""
        degradations = [index for index, name in enumerate(names) if name != "clean"]
        return bool(rows[..., degradations].sum(dim=2).max() < NOTHING)

    def lift(self, names: Sequence[str], rows: Tensor, seen: Evidence, undone: str | None = None) -> float:
        """Return how surely a photo is dark that rows (1, M, K) call something else, in [0, 1].

        Routers call a dark photo that has lights clean or blurred, or noisy, for what is dark has little texture. It is
        lifted first, and then shows how much of that is noise; in one without lights noise is all there is, and is
        removed first. `undone` is what was, most of all, in the pass before; None: there was none.
        """
        first = next(iter(mean_shares(names, rows)))
        if undone is None:
            is_dark = first in ("clean", "blur") or (first == "noise" and self.has_lights(seen))
        else:
            is_dark = first in ("clean", "blur") and undone == "noise"
        if "low_light" not in names or not is_dark:
            return 0.0
        return ramp(seen.brightness.most, self.lift_brightness)

    def has_lights(self, seen: Evidence) -> bool:
        """Tell whether a dark photo was exposed for its lights, so that its shadows are dark and its black is black."""
        return seen.brightness.lights >= self.min_lights

    def lifted(self, has_lights: bool, is_told: bool) -> tuple[float, float]:
        """Return how bright a dark photo may become, and how many times as bright what is darkest in it.

        Who says that it is dark did not mean it to be, and has twice as much.
        """
        if is_told:
            return self.told_brightness, 2 * self.max_lift[has_lights]
        return self.lifted_brightness[has_lights], self.max_lift[has_lights]

    def may_hide_something(self, found: Mapping[str, float], photo: Photo) -> bool:
        """Tell whether a photo of such shares, the largest first, is to be routed again once it is restored.

        That is where something else has a share, or where it is noisy, and dark.
        """
        degradations = [share for name, share in found.items() if name != "clean"]
        return len(degradations) > 1 and (
            degradations[1] >= self.min_second_share
            or (largest(found) == "noise" and brightness(photo).most < self.lift_brightness[0])
        )

    def needs_second_pass(
        self, before: Sequence[Mapping[str, float]], undone: str | None, after: Mapping[str, float], seen: Evidence
    ) -> bool:
        """Tell from what was found before each pass so far, and after, the largest first, if something was hidden.

        `undone` is what the last pass undid most of all, and `seen` what the photo says after it. Noise may hide rain
        without a trace, and photos whose noise is gone do not look rainy if they are not; haze needs none where the
        whole photo speaks for it. Blur is never told so: `may_hide_blur`, and the kernel decides.
        """
        name, share = next(iter(after.items()))
        if share < self.sure_share or name in (undone, "clean", "blur"):
            return False
        if (name == "rain" and undone == "noise") or (name == "haze" and seen.haze is not None):
            return True
        most_clean = self.max_second_clean if len(before) == 1 else self.clean_shares[0]
        hint = max(found.get(name, 0.0) for found in before)
        return share * hint >= self.min_evidence and after.get("clean", 0.0) <= most_clean

    def hidden(self, names: Sequence[str], undone: str | None, rows: Tensor, seen: Evidence) -> Tensor:
        """Take all of rows (1, M, K) for darkness if noise hid it and was undone.

        What then is called anything else is soft for having been noisy. Rows of which nothing changes are returned
        themselves.
        """
        if undone != "noise":
            return rows
        shares = mean_shares(names, rows)
        if next(iter(shares)) == "low_light" and seen.brightness.most < self.lift_brightness[0]:
            return one_hot(names, "low_light").to(rows).expand_as(rows)
        return rows

    def may_hide_blur(self, undone: str | None, after: Mapping[str, float], change: float) -> bool:
        """Tell whether blur may have hidden behind noise whose removal changed a photo by `change`, in [0, 1]."""
        is_hidden = undone == "noise" and change >= self.min_hiding_noise
        likely = after.get("blur", 0.0) >= self.min_hidden_blur_share
        return is_hidden and likely and after.get("clean", 0.0) <= self.max_hidden_clean_share

    def is_blurring(self, seen: Evidence) -> bool:
        """Tell whether a photo's kernel was read, and blurs."""
        return 0 < seen.sharpness < self.max_kernel_power


def mean_shares(names: Sequence[str], rows: Tensor) -> dict[str, float]:
    """Return the mean of rows (1, M, K) by name, the largest share first."""
    named = dict(zip(names, rows.mean(dim=1)[0].tolist(), strict=True))
    return dict(sorted(named.items(), key=lambda item: -item[1]))


def scale_shares(
    names: Sequence[str], rows: Tensor, factors: Tensor, rest: str | Mapping[str, float] = "clean"
) -> Tensor:
    """Scale the shares in rows (1, M, K) by factors (K,), and give what is missing to 1 to `rest`, in proportion."""
    kept = rows * factors.to(rows.device)
    parts = {rest: 1.0} if isinstance(rest, str) else rest
    given = torch.tensor([parts.get(name, 0.0) for name in names]) / sum(parts.values())
    return kept + (1 - kept.sum(dim=2, keepdim=True)) * given.to(rows.device)


def raise_share(names: Sequence[str], rows: Tensor, name: str, least: float) -> Tensor:
    """Raise a share in rows (1, M, K) to `least`, and scale the others down."""
    index = names.index(name)
    raised = rows[..., index].clamp(min=least)  # (1, M)
    scaled = rows * ((1 - raised) / (1 - rows[..., index]).clamp(min=1e-6))[..., None]
    scaled[..., index] = raised
    return scaled


def put_first(names: Sequence[str], rows: Tensor, name: str) -> Tensor:
    """Give what is called clean in rows (1, M, K) to a degradation, and, as far as needed, the largest share to it.

    What had that gets its share in turn, so that all others are as likely as before.
    """
    order = list(names)
    given = scale_shares(names, rows, 1 - one_hot(names, "clean"), name)
    first = next(iter(mean_shares(names, given)))
    order[names.index(name)], order[names.index(first)] = first, name
    return given[..., [names.index(each) for each in order]]


def all_blur(names: Sequence[str], rows: Tensor) -> Tensor:
    """Take for blur all that is not called clean in rows (1, M, K)."""
    return scale_shares(names, rows, one_hot(names, "clean"), "blur")


def one_hot(names: Sequence[str], name: str) -> Tensor:
    """Return 1 for one name and 0 for all others, (K,)."""
    return torch.tensor([float(each == name) for each in names])


def ramp(value: float, limits: tuple[float, float]) -> float:
    """Return how far a value is on its way from one limit, where that is 0, to the other, where it is 1."""
    start, end = limits
    return min(max((value - start) / (end - start), 0.0), 1.0)


def odds(likely: float) -> float:
    """Return the odds of something so likely, in [0, 1], as far as classifiers are believed."""
    likely = min(max(likely, 1 - SUREST), SUREST)
    return likely / (1 - likely)


def _comes_first(name: str, names: Sequence[str], shares: Mapping[str, float], seen: Evidence) -> bool:
    """Tell whether a photo as it came has a degradation before any other, and may be clean instead."""
    return not seen.undone and "clean" in names and largest(shares) == name


def largest(found: Mapping[str, float]) -> str | None:
    """Return the first degradation of those found, the largest first, that is one."""
    return next((name for name in found if name != "clean"), None)
