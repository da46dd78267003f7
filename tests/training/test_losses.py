import numpy as np
import pytest
import torch

from idrestore.model.outputs import NetworkOutput, ReadBlur
from idrestore.model.refiners.blur_kernel import RADIUS
from idrestore.training.losses import Confusions, LossWeights, Typical, losses

LABELS = torch.tensor([[1.0, 0, 0, 0, 0], [0, 0.5, 0, 0.5, 0]])


def output(side_images=()):
    """Return what a network of three blocks might say of two photos of 8x12."""
    return NetworkOutput(torch.randn(2, 3, 8, 12), torch.randn(2, 3, 5), list(side_images), [])


def compare(result, weights, side_target="degraded"):
    degraded, clean = torch.rand(2, 2, 3, 8, 12)
    terms = losses(result, degraded, clean, LABELS, weights, side_target)
    return terms, degraded.double().numpy(), clean.double().numpy()


@pytest.mark.parametrize(("pixel", "frequency"), [(1, 0), (1, 0.3), (0.4, 0.1)])
def test_restoration_is_l1_of_pixels_and_of_frequencies(pixel, frequency):
    result = output()
    terms, _, clean = compare(result, LossWeights(pixel=pixel, frequency=frequency))
    error = result.restored.double().numpy() - clean
    expected = np.abs(error).mean(axis=(1, 2, 3))
    spectrum = np.abs(np.fft.rfft2(error, norm="ortho")).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(terms.restoration, pixel * expected + frequency * spectrum, rtol=1e-5)


@pytest.mark.parametrize("target", ["degraded", "clean", "none"])
def test_side_images_are_compared_with_the_shrunk_target(target):
    """Method, Sec. 2: the degraded photo, by area; only the research code's way takes the clean one."""
    sides = [torch.randn(2, 3, 4, 6), torch.randn(2, 3, 2, 3)]
    terms, degraded, clean = compare(output(sides), LossWeights(side=0.7), target)
    wanted, expected = clean if target == "clean" else degraded, 0
    for side, by in zip(sides, (2, 4), strict=True):
        small = wanted.reshape(2, 3, 8 // by, by, 12 // by, by).mean(axis=(3, 5))
        expected += 0.7 * np.abs(side.numpy() - small).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(terms.side, expected, rtol=1e-5)


def test_without_side_images_their_term_is_zero():
    assert compare(output(), LossWeights())[0].side.tolist() == [0, 0]


def test_classification_is_smoothed_cross_entropy_summed_over_blocks():
    """A smoothing of 0.125 spreads 0.1 over the other four: 0.9 and 4 x 0.025 (method, Sec. 3)."""
    result = output()
    terms, _, _ = compare(result, LossWeights(classification=0.01, label_smoothing=0.125))
    logits = result.logits.double().numpy()
    log_shares = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    smooth = np.array([[0.9] + [0.025] * 4, [0.025, 0.4625, 0.025, 0.4625, 0.025]])
    expected = -0.01 * (log_shares * smooth[:, None]).sum(axis=(1, 2))
    np.testing.assert_allclose(terms.classification, expected, rtol=1e-5)
    one_hot = torch.nn.functional.cross_entropy(
        result.logits[0], torch.zeros(3, dtype=torch.long), label_smoothing=0.125, reduction="sum"
    )
    torch.testing.assert_close(terms.classification[0], 0.01 * one_hot)


def test_decisions_are_distilled():
    """They cost the least, their own entropy, where they are those of the model that is distilled."""
    result, decided = output(), torch.randn(2, 3, 5)
    weights = LossWeights(classification=0.01, distillation=0.3)
    photos = torch.rand(2, 2, 3, 8, 12)
    plain, distilled = (losses(result, *photos, LABELS, weights, decided=other) for other in (None, decided))
    added = distilled.classification - plain.classification
    expected = torch.nn.functional.cross_entropy(
        result.logits.flatten(0, 1), decided.flatten(0, 1).softmax(dim=1), reduction="none"
    )
    torch.testing.assert_close(added, 0.3 * expected.view(2, 3).sum(dim=1))
    alone = LossWeights(classification=0, distillation=1)
    same = losses(result._replace(logits=decided), *photos, LABELS, alone, decided=decided)
    entropy = torch.distributions.Categorical(logits=decided).entropy().sum(dim=1)
    torch.testing.assert_close(same.classification, entropy)


def test_total_weighs_the_restoration_alone():
    terms, _, _ = compare(output([torch.randn(2, 3, 4, 6)]), LossWeights())
    weights = torch.tensor([0.5, 1.5])
    expected = weights * terms.restoration + terms.side + terms.classification
    assert terms.total(weights).item() == pytest.approx(expected.mean().item())


def test_typical_follows_its_running_mean():
    typical = Typical(2, decay=0.5)
    for first in (0.1, 0.3):
        typical.update(torch.tensor([first, first + 0.02, 0.1]), torch.eye(2)[[0, 0, 1]])
    mean = (0.5 * 0.5 * 0.11 + 0.5 * 0.31) / 0.75  # of the batches, start corrected
    torch.testing.assert_close(typical.of(torch.eye(2)), torch.tensor([mean, 0.1]))


def test_what_was_never_seen_counts_as_typical():
    typical = Typical(3)
    assert typical.of(torch.eye(3)).tolist() == [1, 1, 1]
    typical.update(torch.tensor([0.1, 0.3]), torch.eye(3)[:2])
    torch.testing.assert_close(typical.of(torch.eye(3)), torch.tensor([0.1, 0.3, 0.2]))
    torch.testing.assert_close(typical.of(torch.tensor([[0.5, 0.5, 0]])), torch.tensor([0.2]))


def test_typical_state_round_trip():
    typical, other = Typical(2), Typical(2)
    typical.update(torch.tensor([0.1, 0.4]), torch.eye(2))
    other.load(typical.state())
    for each in (typical, other):
        each.update(torch.tensor([0.2, 0.1]), torch.eye(2))
    assert torch.equal(typical.of(torch.eye(2)), other.of(torch.eye(2)))


def test_kernels_are_compared_with_those_that_lead_from_clean_to_degraded():
    """Least for the kernel that did it; only photos whose blur was read count."""
    clean = torch.rand(2, 3, 96, 96)
    degraded = clean.clone()
    degraded[1] = (clean[1] + clean[1].roll(1, 2) + clean[1].roll(2, 2)) / 3
    side = 2 * RADIUS + 1
    still, moved = torch.zeros(2, 1, side, side)
    still[:, RADIUS, RADIUS] = 1
    moved[:, RADIUS, RADIUS : RADIUS + 3] = 1 / 3

    def term(kernel):
        blur = ReadBlur(torch.tensor([1]), kernel, torch.ones(1))
        result = NetworkOutput(clean, torch.zeros(2, 3, 5), [], [], blur)
        return losses(result, degraded, clean, LABELS, LossWeights(kernel=1.0)).kernel.tolist()

    assert term(still)[0] == 0
    assert term(moved)[1] == pytest.approx(np.log(3), abs=0.15)
    assert term(still)[1] > 5


def test_confusions_are_what_was_found_for_each():
    confusions = Confusions(3, decay=0.0)
    confusions.update(torch.tensor([[0.6, 0.4, 0.0], [0.2, 0.0, 0.8]]), torch.eye(3)[[0, 0]])
    torch.testing.assert_close(confusions.shares[0], torch.tensor([0.4, 0.2, 0.4]))
    mistakes = confusions.mistakes(torch.tensor([[1.0, 0, 0], [0.5, 0, 0.5], [0.4, 0.3, 0.3]]))
    torch.testing.assert_close(mistakes[0], torch.tensor([0.0, 0.333, 0.667]), atol=5e-3, rtol=0)
    assert mistakes[1].tolist() == [0, 1, 0]
    assert mistakes[2].tolist() == [0, 0, 0]  # nothing that is not there
