"""What a network costs: parameters and multiply-accumulates, part by part."""

from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from idrestore.model.network import RestorationNetwork

SIDE = 128
"""Side of the photo on which operations are counted, px; padding at its border is counted too."""


class Cost(NamedTuple):
    """The cost of one part of a network."""

    name: str
    parameters: int
    kmac: float
    """Thousands of multiply-accumulates for each pixel of the photo, of convolutions and matrix products"""


def costs(network: RestorationNetwork) -> list[Cost]:
    """Count what a network does for a tile, in the order in which they are defined; the last row is the whole."""
    photo = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(photo)
    counts = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}
    top = type(network).__name__

    def row(name: str, module: torch.nn.Module, label: str) -> Cost:
        parameters = sum(parameter.numel() for parameter in module.parameters())
        return Cost(name, parameters, counts.get(label, 0) / 2 / SIDE**2 / 1000)

    rows = []
    for name, child in network.named_children():
        is_container = isinstance(child, torch.nn.ModuleDict | torch.nn.ModuleList)
        parts = child.named_children() if is_container else [("", child)]
        for part, module in parts:
            full = f"{name}.{part}".rstrip(".")
            rows.append(row(full, module, f"{top}.{full}"))
    rows = [each for each in rows if each.parameters or each.kmac]
    return [*rows, row("all", network, top)]
