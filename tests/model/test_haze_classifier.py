"""What tells by a thumbnail whether a photo is hazy."""

import dataclasses

import pytest
import torch
from small import FAST, network

from idrestore.model.config import ModelConfig
from idrestore.model.haze_classifier import HazeClassifier, haze_label
from idrestore.model.inference import prepare
from idrestore.model.network import RestorationNetwork


def scenes(number, seed=0):
    """Return photos (2 · number, 3, 32, 48): the first half hazy towards the top, the others not."""
    generator = torch.Generator().manual_seed(seed)
    clear = torch.rand(number, 3, 32, 48, generator=generator).pow(torch.linspace(1, 3, number)[:, None, None, None])
    passes = torch.exp(-torch.linspace(2, 0.2, 32))[:, None]
    return torch.cat([clear * passes + 0.8 * (1 - passes), clear])


def test_it_learns_to_tell_haze_in_scenes_that_it_never_saw():
    torch.manual_seed(0)
    classifier = HazeClassifier(4, 6, 8)
    optimizer = torch.optim.AdamW(classifier.parameters(), 0.01)
    labels = torch.tensor([1.0] * 8 + [0.0] * 8)
    for seed in range(60):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(classifier(scenes(8, seed)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        logits = classifier(scenes(8, seed=1000))
    assert logits[:8].min() > 0 > logits[8:].max()


def test_it_sees_where_up_is_and_one_photo_says_nothing_of_another():
    classifier, photos = network(FAST).haze_classifier, scenes(2)
    logits = classifier(photos)
    assert logits.shape == (4,)
    assert not torch.allclose(classifier(photos.flip(2)), logits, atol=1e-4)
    torch.testing.assert_close(classifier(photos[:1]), logits[:1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "share", "label"),
    [(0.1, 1.0, 1.0), (0.1, 0.5, 1.0), (0.1, 0.0, 0.0), (10**-1.4, 1.0, 0.5), (0.02, 1.0, 0.0), (0.0, 1.0, 0.0)],
)
def test_haze_that_changes_hardly_anything_hardly_counts(change, share, label):
    """20, 28 and 34 dB, and no change at all."""
    clean = torch.full((1, 3, 16, 16), 0.4)
    found = haze_label(clean + change, clean, torch.tensor([share]))
    torch.testing.assert_close(found, torch.tensor([label]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("half", [False, True])
def test_it_works_in_fp32_whatever_the_rest_works_in(half):
    model = network(FAST)
    torch.testing.assert_close(prepare(model, half).classify_haze(scenes(1)), model.classify_haze(scenes(1)))


def test_a_network_can_be_given_one():
    model = network(FAST, haze_classifier=())
    assert model.classify_haze(scenes(1)) is None
    model.grow(FAST)
    assert model.config == FAST
    assert model.classify_haze(scenes(1)).shape == (2,)
    RestorationNetwork(FAST).load_state_dict(model.state_dict())


def test_a_network_that_knows_no_haze_has_none():
    assert network(FAST, degradations=("noise", "rain", "clean")).haze_classifier is None


@pytest.mark.parametrize("value", [(3,), (3, 4), (0, 2, 3)])
def test_its_channels_are_checked(value):
    with pytest.raises(ValueError, match=r"haze_classifier: got .*, expected none, or 3 numbers from 1 to 4096"):
        dataclasses.replace(FAST, haze_classifier=value)
    assert ModelConfig().haze_classifier == ()
