"""How much of a model's work does its hub carry? Replaces the hub, and the shares of the operations, and measures.

    python benchmarks/priors.py FOLDER_OF_CLEAN_PHOTOS [--model MODEL] [--limit PHOTOS] [--routing oracle]

Prints a Markdown table of mean PSNR (dB) for photos with one synthetic degradation of strength 0.5, routers deciding
or, by the oracle, told the truth: by the model as it is, with a hub that answers the same whatever the shares are (the
mean over degradations, or zeros), with the hub of another degradation, and with operations that all degradations share
evenly; of a model that was only collected also with its hub integrated by each start, and what that forgets. Then, how
far the hubs of pure degradations lie apart, whether their priors form clusters, and how many degradations share an
ingredient.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import cast, get_args

import torch
from torch import Tensor, nn

from idrestore.data.pairs import parse_data
from idrestore.degradations import FIVE
from idrestore.evaluation.evaluate import Routing, evaluate
from idrestore.model import checkpoint
from idrestore.model.checkpoint import Model
from idrestore.model.config import Integration
from idrestore.model.hub import FoldedHub, IngredientHub, PriorHub, forgetting, integrate
from idrestore.model.network import RestorationNetwork
from idrestore.model.prior_block import MetaPriorBlock
from idrestore.restoration.restorer import Restorer


def tell(module: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
    """Let a module, whose one input is the shares (B, K), be told others than the routers found."""
    module.register_forward_pre_hook(lambda _, inputs: change(inputs[0]))


def even(shares: Tensor) -> Tensor:
    """Give all degradations the same share."""
    return torch.full_like(shares, 1 / shares.shape[1])


def wrap_operations(network: RestorationNetwork) -> None:
    """Let every block's operations be those of an even mixture."""
    for block in network.prior_blocks.values():
        assert isinstance(block, MetaPriorBlock)
        tell(block.shares, even)


def wrap_hub(change: Callable[[Tensor], Tensor]) -> Callable[[RestorationNetwork], None]:
    """Return what tells a network's hub other shares."""

    def wrap(network: RestorationNetwork) -> None:
        if isinstance(network.hub, IngredientHub):  # `prepare` would put a hub in its place that was told nothing
            network.hub = FoldedHub(network.hub.ingredients())
        tell(network.hub, change)

    return wrap


def kin(network: RestorationNetwork) -> list[int]:
    """Return for each degradation the next that is undone by the same operation, and is one; itself if none is."""
    names, operation_of = network.config.degradations, network.config.operation_of
    groups = [
        [k for k, other in enumerate(names) if other != "clean" and operation_of(other) == operation_of(name)]
        for name in names
    ]
    return [group[(group.index(k) + 1) % len(group)] if k in group else k for k, group in enumerate(groups)]


VARIANTS: dict[str, Callable[[RestorationNetwork], None]] = {
    "as it is": lambda network: None,
    "hub: the mean over degradations": wrap_hub(even),
    "hub: the next degradation's": wrap_hub(lambda shares: shares.roll(1, dims=1)),
    "hub: the kin's": lambda network: wrap_hub(lambda shares: shares[:, kin(network)])(network),
    "hub: zeros": wrap_hub(torch.zeros_like),
    "operations: an even mixture": wrap_operations,
}


STARTS = [kind for kind in cast("tuple[Integration, ...]", get_args(Integration)) if kind not in ("none", "frozen")]
"""Of an ingredient hub; a frozen one starts as `pca` does."""


def main(folder: Path, model: str, number: int, routing: Routing) -> None:
    """Print the table and the distances."""
    data = parse_data([f"{name}={folder}:degrade={name}:limit={number}" for name in FIVE])

    def row(label: str, changed: Model) -> None:
        means = evaluate(Restorer(changed), data, routing=routing).summaries()
        values = [means[name].psnr_restored.value for name in FIVE]
        print(f"| {label} | {' | '.join(f'{value:.2f}' for value in (*values, fmean(values)))} |", flush=True)

    print(f"| {model}, {number} photos each | {' | '.join(FIVE)} | mean |\n|---" + "|---" * (len(FIVE) + 1) + "|")
    for label, wrap in VARIANTS.items():
        loaded = checkpoint.load(model)
        wrap(loaded.network)
        row(label, loaded)
    if isinstance(checkpoint.load(model).network.hub, PriorHub):
        for kind in STARTS:
            loaded = checkpoint.load(model)
            before = cast("PriorHub", loaded.network.hub)
            loaded.network.hub = integrate(before, kind)
            row(f"{kind}, forgets {fmean(forgetting(before, loaded.network.hub)):.2f}", loaded)
    describe(checkpoint.load(model).network)


def describe(network: RestorationNetwork) -> None:
    """Print how far hubs lie apart, whether their priors cluster, and how many degradations share an ingredient."""
    names = network.config.degradations
    priors = network.hub(torch.eye(len(names)))  # (K, L, D)
    hubs = priors.flatten(1)
    moved = (hubs - hubs.mean(dim=0)).norm(dim=1) / hubs.norm(dim=1)
    named = ", ".join(f"{name} {value:.2f}" for name, value in zip(names, moved.tolist(), strict=True))
    print(f"\nDistance of each hub from their mean, relative to its size: {named}")
    points, rows = priors.flatten(0, 1), torch.arange(priors.shape[1]).repeat(len(names))
    nearest = torch.cdist(points, points).fill_diagonal_(torch.inf).argmin(dim=1)
    degradations = torch.arange(len(names)).repeat_interleave(priors.shape[1])
    for label, of in (("degradation", degradations), ("row", rows)):
        share, chance = (of[nearest] == of).float().mean(), ((of == of[0]).sum() - 1) / (len(of) - 1)
        print(f"The nearest other prior is of the same {label} in {share:.0%} ({chance:.0%} by chance)")
    if isinstance(network.hub, IngredientHub):
        energy = network.hub.ingredients().spectra.square()
        sharers = energy.sum(dim=0).square() / energy.square().sum(dim=0)
        print(f"An ingredient is shared by {sharers.mean():.1f} degradations (inverse participation ratio, mean)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", "-m", default="fast")
    parser.add_argument("--limit", type=int, default=4)
    parser.add_argument("--routing", choices=get_args(Routing), default="soft")
    given = parser.parse_args()
    main(given.folder, given.model, given.limit, given.routing)
