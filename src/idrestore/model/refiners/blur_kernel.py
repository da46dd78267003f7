"""Blur that is the same all over a photo: its kernel is read from how the photo correlates with itself, and undone."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from idrestore.model.layers import ResidualBlock, zero

REACH, RADIUS = 24, 12
"""How far correlations and kernels reach, px."""
TAPS = 48
"""How far filters that undo kernels reach, px; what they did beyond is folded back."""
DIRECTIONS = 4
LOG_NOISE = -12.0, 4.0
"""Least and most that the logarithm of noise is taken for: filters for less, or more, would be as good as these, and
their gradients no numbers."""
SMOOTH = 0.02
"""Squared frequency below which a photo's power grows no further."""
FIT, WIDE = 0.003, 20
"""Of the fit of kernels: regularisation relative to the mean power, and how far it looks, px."""
GREY = 0.299, 0.587, 0.114

Blur = tuple[Tensor, Tensor]
"""Kernels (B, 2 RADIUS + 1, 2 RADIUS + 1), whose sums are 1, and noise (B,): the power that it has where a photo's
power, which falls with the square of frequency, is 1."""


class BlurKernelEstimator(nn.Module):
    """Read kernels and noise from correlations; starts from a kernel that hardly blurs, whatever it sees."""

    near_kernel: Tensor

    def __init__(self, near: int, far: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(2 * DIRECTIONS, near, 3, padding=1), ResidualBlock(near, start_as_identity=True)
        )
        blocks = (ResidualBlock(far, start_as_identity=True) for _ in range(4))
        self.down = nn.Sequential(nn.Conv2d(near, far, 4, stride=2, padding=1), *blocks)
        self.pool, self.noise = nn.Linear(2 * far, far), nn.Linear(far, 1)
        self.up = nn.Sequential(nn.Conv2d(far, 4 * near, 1), nn.PixelShuffle(2))
        self.last = nn.Sequential(ResidualBlock(near, start_as_identity=True), zero(nn.Conv2d(near, 1, 3, padding=1)))
        offsets = range(-RADIUS, RADIUS + 1)
        near_kernel = torch.tensor([[-(down**2 + right**2) / 6 for right in offsets] for down in offsets])
        self.register_buffer("near_kernel", near_kernel, persistent=False)
        nn.init.zeros_(self.noise.weight)
        nn.init.constant_(self.noise.bias, -4.0)

    def forward(self, correlations: Tensor) -> Blur:
        """Return what B photos were blurred by, for `correlate`'s (B, ...)."""
        roots = correlations.sign() * correlations.abs().clamp(min=1e-6).sqrt()
        near = self.stem(roots[..., 1:, 1:])
        far = self.down(near)
        known = F.relu(self.pool(torch.cat([far.mean(dim=(2, 3)), far.amax(dim=(2, 3))], 1)))
        logits = self.last(near + self.up(far + known[:, :, None, None]))[:, 0]
        centre = slice(REACH - 1 - RADIUS, REACH + RADIUS)
        scaled = 5 * logits[:, centre, centre] + self.near_kernel
        noise = self.noise(known)[:, 0]
        bounded = noise + (noise.clamp(*LOG_NOISE) - noise).detach()  # the gradient passes, to lead back from outside
        return scaled.flatten(1).softmax(dim=1).view_as(scaled), bounded.exp()


def correlate(crops: Tensor) -> Tensor:
    """Return how differences of a photo's pixels with their neighbours correlate, (8, 2 REACH + 1, 2 REACH + 1).

    Crops (N, 3, H, W) in [0, 1] are of one photo. The four directions' differences, of mean 0 and mean square 1, are
    correlated with themselves, and with their cubes. The former give a kernel's own correlation, the latter tell it
    from its mirror image. Those of large differences are cut.
    """
    grey = torch.tensordot(crops.new_tensor(GREY), crops.transpose(0, 1).float(), 1)
    inner = grey[:, 1:-1, 1:-1]
    neighbours = grey[:, 1:-1, 2:], grey[:, 2:, 1:-1], grey[:, 2:, 2:], grey[:, 2:, :-2]
    sides = [_fast(side + REACH) for side in inner.shape[1:]]
    by_itself: list[Tensor] = []
    by_cube: list[Tensor] = []
    for neighbour in neighbours:
        difference = neighbour - inner
        difference -= difference.mean()
        difference = (difference / (difference.square().mean().sqrt() + 1e-4)).clamp(-8, 8)
        first, second = (torch.fft.rfft2(each, s=sides) for each in (difference, difference.clamp(-4, 4) ** 3 / 8))
        for spectrum, into in ((first, by_itself), (second, by_cube)):
            around = torch.fft.irfft2((first.conj() * spectrum).sum(dim=0), s=sides) / inner.numel()
            into.append(around.roll((REACH, REACH), dims=(0, 1))[: 2 * REACH + 1, : 2 * REACH + 1])
    return torch.stack(by_itself + by_cube)


def wiener_filter(kernels: Tensor, noise: Tensor) -> Tensor:
    """Return Wiener's filters (B, 2 TAPS + 1, 2 TAPS + 1) for what `BlurKernelEstimator` found."""
    side, margin = 2 * TAPS + 1, TAPS - RADIUS
    response = torch.fft.rfft2(F.pad(kernels, (margin,) * 4).roll((-TAPS, -TAPS), dims=(1, 2)))
    down, right = torch.fft.fftfreq(side).to(kernels)[:, None], torch.fft.rfftfreq(side).to(kernels)
    roughness = 4 * (torch.pi * down).sin().square() + 4 * (torch.pi * right).sin().square() + SMOOTH
    power = response.real.square() + response.imag.square()
    filters = torch.fft.irfft2(response.conj() / (power + noise[:, None, None] * roughness), s=(side, side))
    return filters.roll((TAPS, TAPS), dims=(1, 2))


def kernels_between(clean: Tensor, degraded: Tensor) -> Tensor:
    """Return the kernels (B, 2 RADIUS + 1, 2 RADIUS + 1) that fit best to pairs (B, 3, H, W); 0 if none is as small.

    Kernels are fitted to the photos' slopes by least squares, in Fourier's domain.
    """
    grey = clean.new_tensor(GREY)
    window = torch.outer(*(torch.hann_window(side - 1, periodic=False).to(clean) for side in clean.shape[-2:]))
    slopes = [_slopes(torch.tensordot(grey, photo.transpose(0, 1), 1)) * window for photo in (clean, degraded)]
    sharp, blurred = (torch.fft.rfft2(each) for each in slopes)  # (B, 2, H - 1, ·)
    power = sharp.abs().square().sum(dim=1)
    ratio = (sharp.conj() * blurred).sum(dim=1) / (power + FIT * power.mean(dim=(1, 2), keepdim=True) + 1e-9)
    around = torch.fft.irfft2(ratio, s=slopes[0].shape[-2:]).roll((WIDE, WIDE), dims=(1, 2))
    fitted = around[:, : 2 * WIDE + 1, : 2 * WIDE + 1]
    fitted = (fitted - 0.02 * fitted.amax(dim=(1, 2), keepdim=True)).clamp(min=0)
    inside = slice(WIDE - RADIUS, WIDE + RADIUS + 1)
    small = fitted[:, inside, inside]
    mass, of_all = small.sum(dim=(1, 2), keepdim=True), fitted.sum(dim=(1, 2), keepdim=True)
    return small / mass.clamp_min(1e-8) * (mass > 0.9 * of_all)


def _slopes(planes: Tensor) -> Tensor:
    """Return the differences of planes (B, H, W) to the right and down, (B, 2, H - 1, W - 1)."""
    corner = planes[:, :-1, :-1]
    return torch.stack([planes[:, :-1, 1:] - corner, planes[:, 1:, :-1] - corner], dim=1)


def deconvolve(photos: Tensor, filters: Tensor) -> Tensor:
    """Filter photos (B, 3, H, W), one filter (B or 1, 2 TAPS + 1, 2 TAPS + 1) each, in fp32.

    Photos go on mirrored, or if they are too small for that, as their last pixels.
    """
    height, width = photos.shape[-2:]
    mode = "reflect" if min(height, width) > TAPS else "replicate"
    sides = [_fast(length + 2 * TAPS) for length in (height, width)]
    placed = F.pad(filters, (0, sides[1] - filters.shape[-1], 0, sides[0] - filters.shape[-2]))
    response = torch.fft.rfft2(placed.roll((-TAPS, -TAPS), dims=(1, 2)))
    undone = torch.empty_like(photos, dtype=torch.float32)
    for channel in range(photos.shape[1]):
        plane = F.pad(photos[:, channel : channel + 1].float(), (TAPS,) * 4, mode=mode)[:, 0]
        spectrum = torch.fft.rfft2(plane, s=sides) * response
        undone[:, channel] = torch.fft.irfft2(spectrum, s=sides)[:, TAPS : TAPS + height, TAPS : TAPS + width]
    return undone


def _fast(length: int) -> int:
    """Return the next length that Fourier transforms are fast for: 16 times a product of 2, 3 and 5.

    >>> _fast(1168)
    1200
    """
    length = -(-length // 16) * 16
    rest = length
    for prime in (2, 3, 5):
        while rest % prime == 0:
            rest //= prime
    return length if rest == 1 else _fast(length + 1)
