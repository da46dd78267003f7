"""The shadows of a dark photo are lifted by its own tones."""

import numpy as np
import pytest
import torch

from idrestore.restoration import tone

SIZE = 96, 128


def night(black=0.01, shadow=0.08, lamp=0.9):
    """Return a photo (1, 3, 96, 128): black above, a dark red street below, a lamp in it."""
    photo = torch.full((1, 3, *SIZE), black)
    street = shadow * (1 + 0.1 * torch.from_numpy(np.random.default_rng(0).standard_normal((1, 1, 56, 128))))
    photo[:, :, 40:] = street * torch.tensor([1.0, 0.6, 0.4])[None, :, None, None]
    photo[:, :, 70:78, 60:70] = lamp
    return photo


def geometric_mean(photo):
    """Return that of the grey of what is not black."""
    return float((photo[:, :, 40:].mean(dim=1) + tone.DARKEST).log().mean().exp()) - tone.DARKEST


@pytest.mark.parametrize("brightness", [0.1, 0.15, 0.2])
def test_shadows_are_lifted_until_what_is_not_black_is_as_bright_as_wanted(brightness):
    lifted = tone.lift(night(black=0.0), tone.fit(night(black=0.0), brightness, 12.0), SIZE)
    assert geometric_mean(lifted) == pytest.approx(brightness, rel=0.1)


def test_nothing_is_lifted_further_than_by_the_largest_gain():
    how = tone.fit(night(shadow=0.03), 0.3, 4.0)
    assert how.gain == pytest.approx(4, abs=1e-3)
    assert float((tone.lift(night(shadow=0.03), how, SIZE) / night(shadow=0.03)).max()) <= 4
    assert tone.fit(night(shadow=0.03), 0.3, 4.0, amount=0.5).gain == pytest.approx(2.5, abs=1e-3)


def test_what_is_bright_enough_stays():
    photo = night(shadow=0.4)
    how = tone.fit(photo, 0.2, 4.0)
    assert how.gain == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close(tone.lift(photo, how, SIZE), photo, atol=1e-3, rtol=0)


def test_black_stays_black_lamps_stay_light_hues_stay_and_there_are_no_halos():
    photo = night()
    lifted = tone.lift(photo, tone.fit(photo, 0.2, 4.0), SIZE)
    assert float(lifted[:, :, :36].max()) < 4.5 / 255  # of 2.55: no grey sky, nor beside the street
    assert float(lifted[:, :, 71:77, 61:69].max()) < 0.98  # of 0.9
    ratio = lifted[:, :, 40:].mean(dim=1, keepdim=True) / photo[:, :, 40:].mean(dim=1, keepdim=True)
    order = lifted[:, :, 40:68].diff(dim=1)
    assert (order < 0).all()  # still more red than green, and more green than blue
    gains = ratio[0, 0, 5:].mean(dim=0)  # of columns
    assert float(ratio[0, 0, 32:36, 50:58].mean()) == pytest.approx(float(gains[:20].mean()), rel=0.05)  # by the lamp


def test_lighter_stays_lighter():
    steps = torch.linspace(0.02, 1, 128).expand(1, 3, *SIZE).clone()
    lifted = tone.lift(steps, tone.fit(steps, 0.9, 4.0)._replace(gain=4.0), SIZE)
    assert (lifted.diff(dim=3) > 0).all()
    assert float(lifted.max()) <= 1


def test_a_part_of_a_photo_is_lifted_as_the_whole_is():
    photo = night()
    how = tone.fit(torch.nn.functional.avg_pool2d(photo, 2), 0.2, 4.0)
    whole = tone.lift(photo, how, SIZE)
    part = tone.lift(photo[:, :, 24:80, 40:100], how, SIZE, (24, 40))
    torch.testing.assert_close(part, whole[:, :, 24:80, 40:100])
