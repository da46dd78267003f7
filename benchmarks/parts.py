"""What each refiner and classifier of a model brings: the same weights without it.

    python benchmarks/parts.py NAME=FOLDER... [--model fast] [--precision fp32]

Sets are those of `idrestore evaluate --data`. Prints a Markdown table: of the whole model, and of the model without
each part in turn, its parameters, thousands of multiply-accumulates a pixel, and the mean PSNR (at most 60 dB, for no
change) that it reaches in each set by itself. What learned beside a part was made to go with it, so that a model
trained without it may be better than its row (recipes/ablations/refiners.toml trains some).
"""

import argparse
import dataclasses
from statistics import fmean
from typing import get_args

from idrestore.data.pairs import parse_data
from idrestore.device import Precision
from idrestore.evaluation.evaluate import evaluate
from idrestore.metrics import MOST
from idrestore.model.checkpoint import Model, load
from idrestore.model.config import ModelConfig
from idrestore.model.cost import costs
from idrestore.model.hub import IngredientHub
from idrestore.model.network import REFINERS, RestorationNetwork
from idrestore.model.published import ingredient_hub
from idrestore.restoration.restorer import Restorer

NEEDED = {"deblurring_refiner": ("blur_kernel_estimator",)}
"""What goes with a part, since it is of no use without."""


def without(model: Model, part: str) -> Model:
    """Return a model without one of its parts."""
    none = {name: getattr(ModelConfig, name) for name in (part, *NEEDED.get(part, ()))}
    config = dataclasses.replace(model.network.config, **none)
    network = RestorationNetwork(config)
    if isinstance(model.network.hub, IngredientHub):
        network.hub = ingredient_hub(config)
    kept = network.state_dict().keys()
    network.load_state_dict({name: each for name, each in model.network.state_dict().items() if name in kept})
    return dataclasses.replace(model, network=network.eval().requires_grad_(False))


def main(sets: list[str], name: str, precision: Precision) -> None:
    """Print the table."""
    data, model = parse_data(sets), load(name)
    print(f"| | parameters | kMAC/pixel | {' | '.join(data)} |\n|---" + "|---" * (len(data) + 2) + "|")
    parts = [part for part in REFINERS if getattr(model.network.config, part)]
    for label, changed in [("whole", model), *((f"without {part}", without(model, part)) for part in parts)]:
        rows = evaluate(Restorer(changed, precision=precision), data).rows
        means = [fmean(min(row.psnr_restored, MOST) for row in rows if row.set == each) for each in data]
        cost = costs(changed.network)[-1]
        cells = label, f"{cost.parameters:,}", f"{cost.kmac:.1f}", *(f"{mean:.2f}" for mean in means)
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--model", "-m", default="fast")
    parser.add_argument("--precision", choices=get_args(Precision), default="auto")
    given = parser.parse_args()
    main(given.sets, given.model, given.precision)
