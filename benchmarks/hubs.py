"""How much of what stage 1 learned does an ingredient hub keep, by the way it starts, of hubs that are all chance?

    python benchmarks/hubs.py

Prints a Markdown table for hubs of the size of `fast`, drawn apart from each other, and drawn around one common table:
|hub(e_k) - T_k| / |T_k|, and how far hub(e_k) and T_k lie from their means over k, relative to their own size.
"""

from typing import cast, get_args

import torch
from torch import Tensor

from idrestore.model.config import Integration
from idrestore.model.hub import PRIOR_DEVIATION, PriorHub, forgetting, integrate

SIZES = 6, 24, 256
COMMON = 0.3
"""How far hubs lie from a common table, relative to it."""


def spread(tables: Tensor) -> float:
    """Return how far tables (K, L, D) lie from their mean, relative to their own size."""
    norms = [each.flatten(1).norm(dim=1).mean() for each in (tables - tables.mean(dim=0), tables)]
    return float(norms[0] / norms[1])


def main() -> None:
    """Print the table."""
    torch.manual_seed(0)
    apart, around = PriorHub(*SIZES), PriorHub(*SIZES)
    with torch.no_grad():
        around.priors.mul_(COMMON).add_(PRIOR_DEVIATION * torch.randn(SIZES[1:]))
    print("| hubs | start | forgotten | spread of hub(e_k) | of T_k |\n|---|---|---|---|---|")
    for label, hub in (("apart", apart), ("around a common table", around)):
        for kind in cast("tuple[Integration, ...]", get_args(Integration)):
            with torch.no_grad():
                after = integrate(hub, kind)
                forgotten = sum(forgetting(hub, after)) / SIZES[0]
                now, before = spread(after(torch.eye(SIZES[0]))), spread(hub.priors)
            print(f"| {label} | {kind} | {forgotten:.2f} | {now:.2f} | {before:.2f} |")


if __name__ == "__main__":
    main()
