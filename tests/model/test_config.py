import dataclasses
import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from idrestore.model.config import PLACEMENTS, PRESETS, ModelConfig
from idrestore.model.network import RestorationNetwork


def budget(config):
    """Return parameters in millions, and thousands of multiply-accumulates a pixel."""
    network = RestorationNetwork(config).to("meta")  # counts without computing
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, 64, 64, device="meta"))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return parameters / 1e6, counter.get_total_flops() / 2 / 64**2 / 1e3


def test_fast_stays_within_its_budget():
    millions, kmac = budget(PRESETS["fast"])
    _, without_additive = budget(dataclasses.replace(PRESETS["fast"], additive_refiner=()))
    assert millions <= 8  # 16 MB in 16 bits
    assert max(without_additive, kmac - without_additive) <= 200  # one works in place of the other


PARAMETERS = {"2E+1D": 11.85, "3E": 11.21, "3D": 11.85}


@pytest.mark.parametrize(("placement", "expected"), [("2E+1D", 1_175), ("3E", 1_175), ("3D", 1_794)])
def test_paper_has_the_published_size(placement, expected):
    millions, kmac = budget(dataclasses.replace(PRESETS["paper"], placement=placement))
    assert millions == pytest.approx(PARAMETERS[placement], abs=0.005)  # published: 15.34
    # method, Sec. 2; a little less, because attention mixes and projects by one matrix
    assert kmac == pytest.approx(expected, rel=0.04)


def test_paper_is_the_supplements_configuration():
    paper = PRESETS["paper"]
    assert (paper.depths, paper.refinement, paper.heads) == ((2, 3, 3, 4), 2, (1, 2, 4, 8))
    assert (paper.dim, paper.prior_width, paper.expansion) == (32, 256, 2.66)
    assert PLACEMENTS[paper.placement] == ("encoder2", "encoder3", "decoder2")
    assert (paper.attention, paper.stop_gradient, paper.integration) == ("degraded", True, "pca")


@pytest.mark.parametrize("preset", PRESETS)
def test_round_trip_through_json(preset):
    text = json.dumps(dataclasses.asdict(PRESETS[preset]))
    read = ModelConfig.from_mapping(json.loads(text))
    assert read == PRESETS[preset]
    assert hash(read) == hash(PRESETS[preset])  # JSON's lists are tuples again


def test_a_table_starts_from_its_preset():
    config = ModelConfig.from_mapping({"preset": "fast", "num_priors": 7})
    assert config == dataclasses.replace(PRESETS["fast"], num_priors=7)
    assert ModelConfig.from_mapping({}) == PRESETS["paper"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_prior": 24}, "unknown model setting 'num_prior'; the nearest one is 'num_priors'"),
        ({"Placement": "3E"}, "'Placement'; the nearest one is 'placement'"),
        ({"preset": "fats"}, r"preset: got 'fats', expected one of \('paper', 'fast', 'tiny'\)"),
        ({"placement": "2E"}, r"placement: got '2E', expected one of \('2E\+1D', '3E', '3D', 'none'\)"),
        ({"num_priors": -1}, "num_priors: got -1, expected a whole number"),
        ({"num_priors": 2.5}, "num_priors: got 2.5, expected a whole number"),
        ({"dim": 7}, "dim: got 7, expected an even number"),
        ({"dim": 0}, "dim: got 0"),
        ({"depths": [1, 2, 3]}, r"depths: got \(1, 2, 3\), expected 4 numbers"),
        ({"heads": [1, 2, 4, 7]}, r"heads: got \(1, 2, 4, 7\), expected divisors"),
        ({"degradations": ["noise", "fog"]}, r"degradations: got \('noise', 'fog'\)"),
        ({"degradations": []}, r"degradations: got \(\)"),
        # What would only fail much later, in a network or at the boundary of the stages:
        ({"degradations": ["noise", "noise"]}, "degradations: got"),
        ({"heads": [0, 1, 1, 1]}, "heads: got"),
        ({"depths": [1, 1, 1, "1"]}, "depths: got"),
        ({"operations_by": "kind"}, "operations_by: got 'kind'"),
        ({"stem_stride": 0}, "stem_stride: got 0"),
        ({"stem_stride": 3}, "stem_stride: got 3, expected 1, 2, 4 or 8"),
        ({"query_stride": 0}, "query_stride: got 0"),
        ({"expansion": "2"}, "expansion: got '2'"),
        ({"double_top": 1}, "double_top: got 1, expected true or false"),
        ({"affine_from": 3}, r"affine_from: got 3, expected \[a number, a number\]"),
        ({"affine_from": ["a", "b"]}, r"affine_from: got \('a', 'b'\), expected \[a number, a number\]"),
        ({"deblurring_refiner": 3}, r"deblurring_refiner: got 3, expected \[a whole number, ...\]"),
        ({"deblurring_refiner": [3]}, r"deblurring_refiner: got \(3,\), expected none, or 2 numbers"),
        ({"degradations": [{}]}, r"degradations: got \(\{\},\), expected \[a text, ...\]"),
        ({"added": 3}, r"added: got 3, expected \[\[a text, one of \('additive', 'affine', 'convolutive'\)\], ...\]"),
        ({"dim": 2, "heads": [1, 1, 1, 1], "num_priors": 24}, "num_priors: got 24"),  # > D = 16
    ],
)
def test_impossible_settings_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig.from_mapping(values)
