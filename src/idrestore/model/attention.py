"""The two attentions of a meta-prior block: to the degradation in a feature map, and to the priors of a hub."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from idrestore.model.config import Attention
from idrestore.model.layers import ChannelNorm


class Intensified(NamedTuple):
    """What degradation attention returns."""

    features: Tensor
    """(B, C, H, W), degradation intensified and content diluted"""
    side_image: Tensor | None
    """(B, 3, H, W) to be supervised, or None without attention"""


class SupervisedDegradationAttention(nn.Module):
    """SDAM: gate features by a side image that must look like the degraded photo (supplement, Sec. 2).

    It has the shape of MPRNet's supervised attention and another purpose. With `stop_gradient`, gradients stop at its
    input, so it cannot disturb the backbone. `kind="clean"` is the released research code's way: the degraded photo is
    added to the side image, whose target is then the clean photo (with `degraded` as target that sum would be solved
    by zero).
    """

    def __init__(self, dim: int, kind: Attention, stop_gradient: bool) -> None:
        super().__init__()
        self.kind = kind
        self.stop_gradient = stop_gradient
        if kind != "none":
            self.to_features = nn.Conv2d(dim, dim, 1)
            self.to_side_image = nn.Conv2d(dim, 3, 1)
            self.to_mask = nn.Conv2d(3, dim, 1)

    def forward(self, x: Tensor, degraded: Tensor) -> Intensified:
        """Take features (B, C, H, W) and the whole degraded photo (B, 3, ·, ·) in [0, 1]."""
        x = x.detach() if self.stop_gradient else x
        if self.kind == "none":
            return Intensified(x, None)
        side_image = self.to_side_image(x)  # (B, 3, H, W)
        if self.kind == "clean":
            side_image = side_image + F.interpolate(degraded, x.shape[-2:], mode="area")
        mask = torch.sigmoid(self.to_mask(side_image))
        return Intensified(torch.addcmul(x, self.to_features(x), mask), side_image)


class KeysAndValues(NamedTuple):
    """A hub as one block sees it."""

    keys: Tensor
    """(B, heads, L, d)"""
    values: Tensor
    """(B, heads, L, d)"""


class HubAttention(nn.Module):
    """Every pixel asks the hub's L priors what degrades it; the answer is h_p.

    Queries come from the features, keys and values from the hub, softmax runs over the priors. With `query_stride` s
    one query is asked per s x s pixels and the answer is interpolated.
    """

    def __init__(self, dim: int, heads: int, prior_width: int, query_stride: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_stride = query_stride
        self.norm = ChannelNorm(dim)
        self.to_queries = nn.Sequential(nn.Conv2d(dim, dim, 1), nn.Conv2d(dim, dim, 3, padding=1, groups=dim))
        self.normalise_hub = nn.LayerNorm(prior_width, elementwise_affine=False)
        self.to_keys_and_values = nn.Linear(prior_width, 2 * dim)
        self.project = nn.Conv2d(dim, dim, 1)

    def keys_and_values(self, hub: Tensor) -> KeysAndValues:
        """Return what the priors of a hub (B, L, D) are asked by and what they answer."""
        keys, values = self.to_keys_and_values(self.normalise_hub(hub)).chunk(2, dim=-1)
        return KeysAndValues(self._split(keys), self._split(values))

    def forward(self, x: Tensor, priors: KeysAndValues) -> Tensor:
        """Take features (B, C, H, W) and the keys and values of a hub's priors; return h_p (B, C, H, W)."""
        size = x.shape[-2:]
        if self.query_stride > 1:
            x = F.avg_pool2d(x, self.query_stride, ceil_mode=True)
        q = self._split(self.to_queries(self.norm(x)).flatten(2).transpose(1, 2))  # (B, heads, N, d)
        scores = (q @ priors.keys.transpose(-2, -1)) * x.shape[1] ** -0.5
        answer = scores.softmax(dim=-1).to(priors.values.dtype) @ priors.values
        rows = answer.transpose(1, 2).flatten(2)  # (B, N, C), in channels_last order as it is
        h_p = self.project(rows.transpose(1, 2).unflatten(2, x.shape[-2:]))
        if self.query_stride > 1:
            h_p = F.interpolate(h_p, size, mode="bilinear", align_corners=False)
        return h_p

    def _split(self, rows: Tensor) -> Tensor:
        """Split the channels of (B, N, C) into heads: (B, heads, N, d)."""
        return rows.unflatten(-1, (self.heads, -1)).transpose(1, 2)
