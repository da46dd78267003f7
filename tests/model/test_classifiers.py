"""What tells whether a photo is hazy, or rainy."""

import dataclasses

import pytest
import torch
from small import FAST, network

from idrestore.model.classifiers import HazeClassifier, RainClassifier, presence
from idrestore.model.config import ModelConfig
from idrestore.model.inference import prepare
from idrestore.model.network import RestorationNetwork


def scenes(number, seed=0):
    """Return photos (2 · number, 3, 32, 48): the first half hazy towards the top, the others not."""
    generator = torch.Generator().manual_seed(seed)
    clear = torch.rand(number, 3, 32, 48, generator=generator).pow(torch.linspace(1, 3, number)[:, None, None, None])
    passes = torch.exp(-torch.linspace(2, 0.2, 32))[:, None]
    return torch.cat([clear * passes + 0.8 * (1 - passes), clear])


def rainy(number, seed=0):
    """Return photos (2 · number, 3, 32, 48) of smooth texture: the first half with upright streaks, the others not."""
    generator = torch.Generator().manual_seed(seed)
    rough = torch.rand(2 * number, 3, 8, 12, generator=generator)
    photos = 0.6 * torch.nn.functional.interpolate(rough, (32, 48), mode="bilinear")
    photos[:number] += 0.4 * (torch.rand(number, 1, 1, 48, generator=generator) > 0.8)
    return photos


@pytest.mark.parametrize(("kind", "photos"), [(HazeClassifier, scenes), (RainClassifier, rainy)])
def test_it_learns_to_tell_haze_or_rain_in_photos_that_it_never_saw(kind, photos):
    torch.manual_seed(0)
    classifier = kind(4, 6, 8)
    optimizer = torch.optim.AdamW(classifier.parameters(), 0.01)
    labels = torch.tensor([1.0] * 8 + [0.0] * 8)
    for seed in range(150):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(classifier(photos(8, seed)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        logits = classifier(photos(8, seed=1000))
    assert logits[:8].min() > 0 > logits[8:].max()


def test_the_haze_classifier_sees_where_up_is_and_one_photo_says_nothing_of_another():
    classifier, photos = network(FAST).haze_classifier, scenes(2)
    logits = classifier(photos)
    assert logits.shape == (4,)
    assert not torch.allclose(classifier(photos.flip(2)), logits, atol=1e-4)
    torch.testing.assert_close(classifier(photos[:1]), logits[:1], atol=1e-5, rtol=1e-4)


def test_rain_is_told_from_photos_of_any_size():
    classifier, photos = network(FAST).rain_classifier, torch.rand(2, 3, 38, 50)
    assert torch.equal(classifier(photos), classifier(photos[..., :32, :48]))


@pytest.mark.parametrize(
    ("change", "share", "label"),
    [(0.1, 1.0, 1.0), (0.1, 0.5, 1.0), (0.1, 0.0, 0.0), (10**-1.4, 1.0, 0.5), (0.02, 1.0, 0.0), (0.0, 1.0, 0.0)],
)
def test_what_changes_hardly_anything_hardly_counts(change, share, label):
    """20, 28 and 34 dB, and no change at all."""
    clean = torch.full((1, 3, 16, 16), 0.4)
    found = presence(clean + change, clean, torch.tensor([share]), HazeClassifier.errors)
    torch.testing.assert_close(found, torch.tensor([label]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("ask", [RestorationNetwork.classify_haze, RestorationNetwork.classify_rain])
def test_they_work_in_fp32_whatever_the_rest_works_in(half, ask):
    model = network(FAST)
    torch.testing.assert_close(ask(prepare(model, half), scenes(1)), ask(model, scenes(1)))


def test_a_network_can_be_given_them():
    model = network(FAST, haze_classifier=(), rain_classifier=())
    assert model.classify_haze(scenes(1)) is model.classify_rain(scenes(1)) is None
    model.grow(FAST)
    assert model.config == FAST
    assert model.classify_haze(scenes(1)).shape == model.classify_rain(scenes(1)).shape == (2,)
    RestorationNetwork(FAST).load_state_dict(model.state_dict())


def test_a_network_that_knows_neither_haze_nor_rain_has_none():
    model = network(FAST, degradations=("noise", "blur", "clean"))
    assert model.haze_classifier is model.rain_classifier is None


@pytest.mark.parametrize("name", ["haze_classifier", "rain_classifier"])
@pytest.mark.parametrize("value", [(3,), (3, 4), (0, 2, 3)])
def test_their_channels_are_checked(name, value):
    with pytest.raises(ValueError, match=rf"{name}: got .*, expected none, or 3 numbers from 1 to 4096"):
        dataclasses.replace(FAST, **{name: value})
    assert getattr(ModelConfig(), name) == ()
