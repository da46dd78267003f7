"""A display in front of the lens."""

import math

import numpy as np
from torch import Tensor

from idrestore.data.physics.chance import Range, between, log_between, unit
from idrestore.data.physics.curves import encoded, linear_light
from idrestore.data.physics.kernels import convolve

PANEL_PITCH: Range = (0.5, 9.0)  # px between diffraction orders at the reference size
PANEL_OPEN: Range = (0.3, 0.6)  # transparent share of a stripe period
PANEL_ORDERS = 4
PANEL_TRANSMISSION: Range = (0.9, 0.06)  # log scale; Zhou et al.: T-OLED 20 %, P-OLED 2.9 %
PANEL_TINT = (1.0, 0.97, 0.75)  # the substrate absorbs blue
WAVELENGTHS = (1.13, 1.0, 0.85)  # of red, green and blue over green's 540 nm


def panel(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Look through the stripes of a display: diffraction orders, less light, little blue.

    A grating of open share a sends sinc²(m·a) of the light into order m, at a distance in
    proportion to the wavelength (Fraunhofer; measured on displays by Zhou et al. 2021).
    """
    pitch, share = between(PANEL_PITCH, strength) * unit(image), rng.uniform(*PANEL_OPEN)
    orders = np.arange(-PANEL_ORDERS, PANEL_ORDERS + 1)[:, None]
    reach = math.ceil(PANEL_ORDERS * pitch * max(WAVELENGTHS)) + 2
    offset = np.arange(-reach, reach + 1)
    centre = pitch * np.array(WAVELENGTHS)[:, None, None] * orders  # (3, orders, 1)
    spots = np.sinc(orders * share) ** 2 * np.exp(-2 * (offset - centre) ** 2)
    kernel = spots.sum(axis=1) / spots.sum(axis=(1, 2))[:, None]  # (3, k)
    gains = log_between(PANEL_TRANSMISSION, strength) * image.new_tensor(PANEL_TINT)[:, None, None]
    return encoded(convolve(linear_light(image), image.new_tensor(kernel)[None, :, None])[0] * gains)
