"""The network as restoring sees it: arrays (N, H, W, 3) in [0, 1] in, at a place and in a precision of its own."""

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from idrestore.device import Precision
from idrestore.model.inference import arithmetic, prepare
from idrestore.model.network import RestorationNetwork
from idrestore.model.outputs import NetworkOutput, Routed
from idrestore.model.refiners.affine import Colours
from idrestore.model.refiners.blur_kernel import Blur

Floats = NDArray[np.float32]


class NotFiniteError(RuntimeError):
    """A network's numbers are NaN or infinite."""

    def __init__(self) -> None:
        super().__init__("the model's numbers are NaN or infinite: its file is damaged, or it was never trained well")


class Engine:
    """A network prepared for inference on a device, in a precision; raise `ValueError` for what cannot be."""

    def __init__(self, network: RestorationNetwork, device: str = "auto", precision: Precision = "auto") -> None:
        self.arithmetic = arithmetic(device, precision)
        self.device = torch.device(self.arithmetic.device)
        self.half = self.arithmetic.precision == "bf16"
        self.names = network.config.degradations
        self.multiple = network.config.size_multiple
        self.network = prepare(network, self.half).to(self.device)
        self._original = network

    @functools.cached_property
    def exact(self) -> "Engine":
        """The same in fp32."""
        return Engine(self._original, str(self.device), "fp32")

    def route(self, crops: Floats, ingredients: Tensor | None = None) -> Routed:
        """Ask the routers for one answer on crops of a photo, or go as far with given ingredients (1, M, K)."""
        with torch.inference_mode(), self._autocast():
            return self.network.route(self.placed(crops), ingredients)

    def restore(
        self, photos: Floats, ingredients: Tensor, deconvolution: Tensor | None = None, routed: Routed | None = None
    ) -> NetworkOutput:
        """Undo ingredients (1, M, K); `routed` is what `route` gave for the same photos and ingredients."""
        with torch.inference_mode(), self._autocast():
            restored: NetworkOutput = self.network(self.placed(photos), ingredients, deconvolution, routed)
            return restored

    def colours(self, thumbnails: Floats, ingredients: Tensor, certainty: Tensor) -> Colours | None:
        """Return what the affine refiner says of thumbnails, as far as it counts; None: the network has none."""
        with torch.inference_mode(), self._autocast():
            return self.network.colours(self.placed(thumbnails), ingredients, certainty)

    def haze(self, thumbnails: Floats) -> float | None:
        """Tell from the thumbnail of a photo how likely haze is, in [0, 1]; None: the network has nothing to tell by.

        In fp32.
        """
        with torch.inference_mode():
            logits = self.network.classify_haze(self.placed(thumbnails))
            return None if logits is None else float(logits.mean().sigmoid())

    def rain(self, crops: Floats) -> float | None:
        """Tell from crops of one photo how likely it rains in it, as `haze` does.

        The half of the crops that look rainier tell: drops show before what is dark, not before a pale sky.
        """
        with torch.inference_mode():
            logits = self.network.classify_rain(self.placed(crops))
            return None if logits is None else float(logits.topk(-(-len(logits) // 2)).values.mean().sigmoid())

    def read_blur(self, crops: Floats) -> Blur | None:
        """Read from crops of one photo how it was blurred, in fp32; None if the network has nothing to read it by."""
        with torch.inference_mode():
            return self.network.read_blur(self.placed(crops))

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)

    def placed(self, photos: Floats) -> Tensor:
        """Return photos as (N, 3, H, W): permuted, they lie in channels_last order as they are."""
        return torch.from_numpy(photos).to(self.device).permute(0, 3, 1, 2)
