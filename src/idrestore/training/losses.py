"""What training minimises: restoration, side images, routing."""

from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from idrestore.configuration import check_at_least, check_shares
from idrestore.model.outputs import NetworkOutput, ReadBlur
from idrestore.model.refiners.blur_kernel import kernels_between

LOG_ERROR_FLOOR = 1e-4
"""Mean square error (40 dB) below which an improvement stops to count fully in the logarithmic term."""


@dataclass(frozen=True)
class LossWeights:
    """How much each term counts."""

    pixel: float = 1.0
    """L1 of the restored photo"""
    frequency: float = 0.0
    """L1 between orthonormal spectra: errors that are spread, such as noise and lost edges, count as in pixels;
    even ones, such as a wrong brightness, hardly count."""
    log_error: float = 0.0
    """ln(1 + mean square / 1e-4): a decibel counts the same in every photo, up to about 40 dB, so that hazy and dark
    photos, whose brightness nobody can know, do not drown fine errors"""
    kernel: float = 0.0
    """Cross-entropy of the blur kernels that were read with those that lead from clean to degraded photos"""
    presence: float = 0.0
    """Binary cross-entropy of a classifier; it counts for nothing where other parts learn"""
    side: float = 1.0
    """L1 of the side images against their target"""
    classification: float = 0.01
    """Cross-entropy of the routers' logits"""
    label_smoothing: float = 0.125
    """Share of a label that is spread evenly over all K degradations"""
    distillation: float = 0.0
    """Cross-entropy of the routers' logits with what those of the model say that the run starts from (learning without
    forgetting, Li and Hoiem 2016), so that what was chosen by its decisions still holds"""

    def __post_init__(self) -> None:
        check_at_least(self, **dict.fromkeys((field.name for field in fields(self)), 0))
        check_shares(self, "label_smoothing")


class Losses(NamedTuple):
    """Terms of the loss, (B,) each."""

    restoration: Tensor
    """Pixels, frequencies and logarithm, not yet weighted"""
    side: Tensor
    classification: Tensor
    kernel: Tensor
    presence: Tensor

    def total(self, weights: Tensor) -> Tensor:
        """Return the scalar to minimise; `weights` (B,) are those of the samples' restoration term."""
        return (self.restoration * weights + self.side + self.classification + self.kernel + self.presence).mean()


def losses(
    output: NetworkOutput,
    degraded: Tensor,
    clean: Tensor,
    ingredients: Tensor,
    weights: LossWeights,
    side_target: str = "degraded",
    decided: Tensor | None = None,
    present: Tensor | None = None,
) -> Losses:
    """Compare a network's output with the truth.

    `degraded` and `clean` are (B, 3, H, W) in [0, 1], `ingredients` (B, K) the true ones: one-hot, or even over what a
    mixture contains, and `present` (B,) what a classifier should say. `side_target` says what side images must look
    like (supplement, Sec. 2: the degraded photo), and `decided` (B, M, K) are the logits of the model to distil.
    """
    error = output.restored.float() - clean
    restoration = weights.pixel * error.abs().mean(dim=(1, 2, 3))
    if weights.frequency:
        spectrum = torch.fft.rfft2(error, norm="ortho").abs()
        restoration = restoration + weights.frequency * spectrum.mean(dim=(1, 2, 3))
    if weights.log_error:
        mean_square = error.square().mean(dim=(1, 2, 3))
        restoration = restoration + weights.log_error * (mean_square / LOG_ERROR_FLOOR).log1p()
    target = clean if side_target == "clean" else degraded
    side = torch.zeros_like(restoration)
    for side_image in output.side_images:
        small = F.interpolate(target, side_image.shape[-2:], mode="area")
        side = side + (side_image.float() - small).abs().mean(dim=(1, 2, 3))
    num_degradations = ingredients.shape[1]
    labels = ingredients * (1 - weights.label_smoothing) + weights.label_smoothing / num_degradations
    classification = weights.classification * _cross_entropy(output.logits, labels[:, None])
    if decided is not None:
        classification = classification + weights.distillation * _cross_entropy(output.logits, decided.softmax(dim=2))
    kernel = weights.kernel * _kernel_term(output.blur, degraded, clean) if weights.kernel else torch.zeros_like(side)
    presence = torch.zeros_like(side)
    if output.classified is not None and present is not None:
        presence = weights.presence * F.binary_cross_entropy_with_logits(output.classified, present, reduction="none")
    return Losses(restoration, weights.side * side, classification, kernel, presence)


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return that of logits (B, M, K) with labels that sum to 1, of the M routers together, (B,)."""
    return -(logits.log_softmax(dim=2) * labels).sum(dim=2).sum(dim=1)


def _kernel_term(blur: ReadBlur | None, degraded: Tensor, clean: Tensor) -> Tensor:
    """Return the cross-entropy (B,) of the kernels that were read; 0 where none was, or none fits."""
    term = clean.new_zeros(len(clean))
    if blur is None:
        return term
    with torch.no_grad():
        fitted = kernels_between(clean[blur.photos].float(), degraded[blur.photos].float())
    entropy = -(fitted * (blur.kernels + 1e-8).log()).sum(dim=(1, 2))
    return term.index_copy(0, blur.photos, entropy)


class Typical:
    """Running means of the restoration term, one a degradation."""

    def __init__(self, num_degradations: int, decay: float = 0.99) -> None:
        self.decay = decay
        self.means = torch.zeros(num_degradations)
        self.seen = torch.zeros(num_degradations)

    def of(self, ingredients: Tensor) -> Tensor:
        """Return the restoration term (B,) that samples of true ingredients (B, K) had so far; 1 before the first."""
        typical = self.means / (1 - self.decay**self.seen).clamp_min(1e-12)  # as Adam corrects its start
        known = self.seen > 0
        filled = torch.where(known, typical, typical[known].mean() if known.any() else torch.ones(()))
        return ingredients @ filled.to(ingredients.device)

    def update(self, restoration: Tensor, ingredients: Tensor) -> None:
        """Take the terms (B,) of a step's samples into account."""
        restoration, ingredients = restoration.detach().cpu(), ingredients.cpu()
        present = ingredients.sum(dim=0)
        mean = (ingredients * restoration[:, None]).sum(dim=0) / present.clamp_min(1e-6)
        self.means = torch.where(present > 0, self.decay * self.means + (1 - self.decay) * mean, self.means)
        self.seen = self.seen + (present > 0)

    def state(self) -> dict[str, Tensor]:
        """Return what a resumed run needs."""
        return {"means": self.means, "seen": self.seen}

    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from `state()`."""
        self.means, self.seen = state["means"].cpu(), state["seen"].cpu()


class Confusions:
    """Running means of what the routers take each degradation for."""

    def __init__(self, num_degradations: int, decay: float = 0.995) -> None:
        self.decay = decay
        self.shares = torch.full((num_degradations, num_degradations), 1 / num_degradations)
        """(K, K): of samples of the degradation of a row, the mean shares that were found"""

    def update(self, found: Tensor, ingredients: Tensor) -> None:
        """Take into account the shares (B, K) found in samples of true ingredients (B, K)."""
        found, ingredients = found.detach().float().cpu(), ingredients.cpu()
        present = ingredients.sum(dim=0)[:, None]
        mean = (ingredients.T @ found) / present.clamp_min(1e-6)
        self.shares = torch.where(present > 0, self.decay * self.shares + (1 - self.decay) * mean, self.shares)

    def mistakes(self, ingredients: Tensor) -> Tensor:
        """Return for what samples of true ingredients (B, K) are mistaken: chances (B, K) that sum to 1, or none."""
        absent = (ingredients.cpu() == 0).float()
        likely = (ingredients.cpu() @ self.shares + 1e-3) * absent
        return likely / likely.sum(dim=1, keepdim=True).clamp_min(1e-9)
