"""Photos as the web hands them on."""

import numpy as np
import pytest
import torch

from idrestore.data import web
from idrestore.data.web import Passage

PLAIN = Passage(0, 0, 16, 0.0, 0, False)


def texture(side=22, number=1):
    return torch.rand(number, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_a_photo_to_which_nothing_happens_is_cut_out():
    photos = (texture(number=2) * 255).round() / 255
    handed = web.hand_on(photos, [PLAIN._replace(top=2, left=5), PLAIN], 16)
    assert torch.equal(handed[0], photos[0, :, 2:18, 5:21])
    assert torch.equal(handed[1], photos[1, :, :16, :16])


@pytest.mark.parametrize("change", [{"side": 22}, {"softness": 1.0}])
def test_detail_is_lost_and_brightness_stays(change):
    photos = texture()
    handed = web.hand_on(photos, [PLAIN._replace(**change)], 16)
    kept = photos[..., : change.get("side", 16), : change.get("side", 16)]
    assert handed.shape == (1, 3, 16, 16)
    assert handed.std() < 0.97 * photos[..., :16, :16].std()
    assert handed.mean() == pytest.approx(float(kept.mean()), abs=0.02)
    assert torch.equal(handed, (handed * 255).round() / 255)


@pytest.mark.parametrize("is_halved", [False, True])
def test_the_coarser_a_jpeg_the_more_is_lost(is_halved):
    photos = texture().mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    fine, coarse = (
        web.hand_on(photos, [PLAIN._replace(quality=quality, is_halved=is_halved)], 16) for quality in (95, 40)
    )
    lost = [float((handed - photos[..., :16, :16]).abs().mean()) for handed in (fine, coarse)]
    assert 0.003 < lost[0] < 0.7 * lost[1]


def test_each_photo_is_handed_on_for_itself():
    photos, rng = texture(number=8), np.random.default_rng(0)
    passages = [web.draw(16, rng) for _ in range(8)]
    together = web.hand_on(photos, passages, 16)
    for photo, passage, handed in zip(photos, passages, together, strict=True):
        assert torch.equal(web.hand_on(photo[None], [passage], 16)[0], handed)


def test_all_that_may_happen_does_happen_and_fits():
    rng = np.random.default_rng(0)
    passages = [web.draw(16, rng) for _ in range(200)]
    assert {passage.side for passage in passages} == set(range(16, 23))
    assert all(passage.top + passage.side <= 22 and passage.left + passage.side <= 22 for passage in passages)
    for happens in ("softness", "quality", "is_halved", "top", "left"):
        assert 0 < sum(bool(getattr(passage, happens)) for passage in passages) < 200


def test_all_but_a_share_stay_as_they_are():
    rng = np.random.default_rng(0)
    stay = sum(web.draw(16, rng, 0.4) == PLAIN for _ in range(400))
    assert 400 * 0.53 < stay < 400 * 0.67
    assert all(web.draw(16, rng, 0.0) == PLAIN for _ in range(20))
