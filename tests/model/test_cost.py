from pathlib import Path

import pytest
import torch
from small import BOTH, FAST
from torch.utils.flop_counter import FlopCounterMode

from idrestore.model.config import PRESETS
from idrestore.model.cost import costs
from idrestore.model.network import RestorationNetwork


@pytest.mark.parametrize("config", BOTH.values(), ids=BOTH)
def test_the_parts_make_the_whole(config):
    network = RestorationNetwork(config)
    *parts, whole = costs(network)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.rand(1, 3, 128, 128))
    assert whole.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert whole.kmac == pytest.approx(counter.get_total_flops() / 2 / 128**2 / 1000)
    assert sum(part.parameters for part in parts) == whole.parameters
    names = [part.name for part in parts]
    assert len(set(names)) == len(names)
    # A hub is asked from within the meta-prior blocks, so its few products are counted twice.
    assert sum(part.kmac for part in parts if part.name != "hub") == pytest.approx(whole.kmac, rel=1e-3)


def test_a_convolution_counted_by_hand():
    stem = next(part for part in costs(RestorationNetwork(FAST)) if part.name == "stem")
    assert stem.parameters == 12 * 6 * 9  # 2x2 RGB pixels to dim 6, no bias
    assert stem.kmac == pytest.approx(12 * 6 * 9 / 4 / 1000)


@pytest.mark.parametrize(("preset", "column"), [("paper", 2), ("fast", 4)])
def test_the_printed_table_is_what_the_code_counts(preset, column):
    """`docs/method/method.md`, Cost: every part, parameters and thousands of multiply-accumulates."""
    page = Path(__file__).parents[2] / "docs" / "method" / "method.md"
    rows = [
        line.split("|") for line in page.read_text().split("## Cost")[1].split("## ")[0].splitlines() if "|" in line
    ]
    printed = {row[1].strip(): (row[column].strip(), row[column + 1].strip()) for row in rows[2:]}
    counted = {
        each.name: (f"{each.parameters:,}", f"{each.kmac:.2f}") for each in costs(RestorationNetwork(PRESETS[preset]))
    }
    assert {name: cells for name, cells in printed.items() if cells[0] != "–"} == counted
