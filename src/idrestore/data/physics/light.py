"""Low light: a short exposure, and what the sensor adds to it."""

import numpy as np
from torch import Tensor

from idrestore.data.physics.chance import Range, log_between
from idrestore.data.physics.curves import encoded, linear_light
from idrestore.data.physics.noise import camera_plane, signal_dependent

LIGHT_LEVEL: Range = (0.85, 0.06)  # encoded brightness over the clean one, log scale; LOL 0.06-0.3
LIGHT_MIN_MEAN = 0.02  # darker than LOL's darkest (0.036), 8 bits would hold nothing
LIGHT_GAMMA: Range = (0.9, 1.2)  # on linear light
LIGHT_CAST = 0.08  # standard deviation of the log gain per channel
SENSOR_SHOT: Range = (1e-5, 2e-4)  # variance over linear light, log-uniform; LOL σ about 2 to 4
SENSOR_READ: Range = (1e-4, 6e-4)  # standard deviation, linear light, log-uniform


def darken(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Expose less, with a steeper or flatter curve and a colour cast, all on linear light."""
    mean = image.mean().clamp(min=1e-3)
    target = (log_between(LIGHT_LEVEL, strength) * mean).clamp(min=LIGHT_MIN_MEAN).minimum(mean)
    cast = image.new_tensor(np.exp(rng.normal(0, LIGHT_CAST, (3, 1, 1))))
    gains = cast * linear_light(target) / linear_light(mean)
    return encoded(linear_light(image) ** rng.uniform(*LIGHT_GAMMA) * gains)


def sensor(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Add the noise that a sensor makes of little light; its level is chance, not `strength`."""
    gain, read = log_between(SENSOR_SHOT, rng.random()), log_between(SENSOR_READ, rng.random())
    return signal_dependent(image, gain, read**2, camera_plane(image, rng))
