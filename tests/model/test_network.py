import copy
import dataclasses
import itertools
from typing import get_args

import pytest
import torch
from small import BOTH, FAST, PAPER, mixture, network, one_hot

from idrestore.degradations import FIVE, NAMES, operation_of
from idrestore.model import config as fields
from idrestore.model.config import PLACEMENTS
from idrestore.model.hub import integrate
from idrestore.model.network import RestorationNetwork
from idrestore.model.published import PublishedNetwork
from idrestore.model.refiners.affine import refine
from idrestore.model.refiners.blur_kernel import wiener_filter
from idrestore.restoration.rules import Rules
from idrestore.training.losses import LossWeights, losses

RULES = Rules()

SIZE = 16
FIELDS = (fields.Attention, fields.Operations, fields.OperationsBy, fields.Predictor)
CHOICES = list(itertools.product(*map(get_args, FIELDS)))
OF_WHOLE_PHOTOS = (
    "blur_kernel_estimator.",
    "deblurring_refiner.unblurred_stem.",
    "deblurring_refiner.blend_mask.",
    "affine_refiner.",
    "haze_classifier.",
    "rain_classifier.",
)
both = pytest.mark.parametrize("config", BOTH.values(), ids=BOTH)
hubs = pytest.mark.parametrize("hub", ["prior", "ingredient"])
placements = pytest.mark.parametrize("placement", [name for name, levels in PLACEMENTS.items() if levels])


def photos(batch=3, height=SIZE, width=SIZE):
    return torch.rand(batch, 3, height, width)


@both
@placements
def test_what_is_published_is_all_there_is_before_refiners_are_called_for(config, placement):
    whole = network(config, placement=placement, per_operation_top=False)
    alone = PublishedNetwork(whole.config)
    alone.load_state_dict({name: whole.state_dict()[name] for name in alone.state_dict()})
    photo, clean = photos(1), one_hot("clean", 1)
    expected, seen = whole(photo, clean), alone(photo, clean)
    assert torch.equal(seen.restored, expected.restored)
    assert torch.equal(seen.logits, expected.logits)


@pytest.mark.parametrize("choices", CHOICES, ids="-".join)
@both
@placements
def test_every_combination_runs(config, placement, choices):
    attention, operations, operations_by, predictor = choices
    model = network(
        config,
        placement=placement,
        attention=attention,
        operations=operations,
        operations_by=operations_by,
        predictor=predictor,
    )
    photo = photos(1, 16, 32)
    output = model(photo)
    assert output.restored.shape == photo.shape
    assert output.logits.shape == (1, 3, len(NAMES))
    assert torch.isfinite(output.restored).all()
    widths = {
        "encoder1": config.dim,
        "encoder2": 2 * config.dim,
        "encoder3": 4 * config.dim,
        "decoder3": 4 * config.dim,
        "decoder2": 2 * config.dim,
        "decoder1": config.dim * (2 if config.double_top else 1),
    }
    assert list(model.prior_blocks) == list(PLACEMENTS[placement])
    for level, latents in zip(PLACEMENTS[placement], output.latents, strict=True):
        shrink = config.stem_stride << (int(level[-1]) - 1)
        for latent in latents:
            assert latent.shape == (1, widths[level], 16 // shrink, 32 // shrink)
    shapes = [(1, 3, *latents.features.shape[2:]) for latents in output.latents]
    assert [s.shape for s in output.side_images] == (shapes if attention != "none" else [])


@pytest.mark.parametrize(
    ("changes", "rows"),
    [({"placement": "none", "num_priors": 0}, 1), ({"num_priors": 0}, 3), ({"routing": "even"}, 3)],
    ids=["backbone alone", "without hub", "without routing"],
)
@both
def test_a_part_may_be_missing(config, changes, rows):
    model = network(config, "ingredient", **changes)
    degraded, truth = photos(len(NAMES)), torch.eye(len(NAMES))
    output = model(degraded)
    assert output.logits.shape == (len(NAMES), rows, len(NAMES))
    assert bool(output.logits.any()) == (model.config.routing == "learned" and rows > 1)
    losses(output, degraded, photos(len(NAMES)), truth, LossWeights()).total(torch.ones(len(NAMES))).backward()
    without = [name for name, parameter in model.named_parameters() if parameter.numel() and parameter.grad is None]
    assert [name for name in without if not name.startswith(OF_WHOLE_PHOTOS)] == []
    assert model.route(degraded).logits.shape == (1, rows, len(NAMES))


@pytest.mark.parametrize("degradations", [("blur",), ("haze", "clean"), FIVE])
@both
def test_any_set_of_degradations(config, degradations):
    model = network(config, degradations=degradations)
    assert model(photos(1)).logits.shape == (1, 3, len(degradations))


@both
def test_at_step_0_every_block_is_the_identity(config):
    output = RestorationNetwork(config)(photos(), mixture(3))
    assert all(torch.equal(latent.features, latent.pseudo_clean) for latent in output.latents)


def test_a_signal_keeps_its_size_through_plain_convolutions():
    """Without normalisation nothing else would do it; the default start shrinks it by √3 a layer."""
    model, sizes = RestorationNetwork(FAST), []
    for part in (model.stem, *model.blocks.values()):
        part.register_forward_hook(lambda _, __, result: sizes.append(result.std().item()))
    model(torch.randn(2, 3, 64, 64))
    assert len(sizes) == 8
    assert sizes == pytest.approx([1] * 8, rel=0.5)


@both
def test_the_photo_is_what_is_changed(config):
    model, photo = network(config), photos()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.startswith(("output.", "deblurring_refiner.output.")):
                weight.zero_()
    assert torch.equal(model(photo).restored, photo)


@pytest.mark.parametrize(("config", "size"), [(PAPER, (16, 20)), (FAST, (24, 16))])
def test_a_size_that_is_no_multiple_is_refused(config, size):
    expected = rf"got a photo of \({size[0]}, {size[1]}\), expected multiples of {config.size_multiple}"
    with pytest.raises(ValueError, match=expected):
        network(config)(photos(1, *size))


@both
@hubs
def test_a_batch_equals_its_photos_alone(config, hub):
    model, batch, w = network(config, hub), photos(), mixture(3)
    for rows in (w, None):
        together = model(batch, rows)
        for index in range(3):
            alone = model(batch[index : index + 1], None if rows is None else rows[index : index + 1])
            torch.testing.assert_close(together.restored[index], alone.restored[0], atol=2e-5, rtol=1e-4)
            torch.testing.assert_close(together.logits[index], alone.logits[0], atol=2e-5, rtol=1e-4)


@both
def test_one_row_serves_every_block(config):
    model, batch, w = network(config), photos(), mixture(3)
    broadcast, written_out = model(batch, w), model(batch, w[:, None].expand(-1, 3, -1))
    assert torch.equal(broadcast.restored, written_out.restored)


@both
def test_every_block_has_its_own_row(config):
    model, batch = network(config), photos(1)
    rows = torch.stack([one_hot("noise"), one_hot("haze"), one_hot("blur")], dim=1)  # (1, 3, K)
    latents = model(batch, rows).latents
    for block in range(3):
        changed = rows.clone()
        changed[:, block] = one_hot("rain")
        other = model(batch, changed).latents
        same = [torch.equal(a.pseudo_clean, b.pseudo_clean) for a, b in zip(latents, other, strict=True)]
        assert same[: block + 1] == [True] * block + [False]


@both
@hubs
def test_routing_lies_on_the_simplex(config, hub):
    model, asked = network(config, hub), []
    model.hub.register_forward_hook(lambda _, given, __: asked.append(given[0]))
    logits = model(photos()).logits
    assert len(asked) == 3
    for block, rows in enumerate(asked):
        torch.testing.assert_close(rows.sum(dim=1), torch.ones(3))
        assert torch.equal(rows, logits[:, block].softmax(dim=1))
    assert rows.min() >= 0


@both
@hubs
@pytest.mark.parametrize("name", NAMES)
def test_soft_routing_to_one_degradation_is_hard_routing(config, hub, name):
    """Bit for bit in fp32, whether the row is given or a router is certain of it."""
    model, batch, k = network(config, hub), photos(2), NAMES.index(name)
    given = model(batch, one_hot(name, 2)).restored
    for block in model.prior_blocks.values():
        torch.nn.init.zeros_(block.router.logits.weight)
        block.router.logits.bias.data = one_hot(name)[0] * 1e4
    assert torch.equal(model(batch).restored, given)
    tables = model.hub.priors if hub == "prior" else model.hub.spectra
    with torch.no_grad():  # hard: the other degradations might as well not exist
        tables[torch.arange(len(NAMES)) != k] = 1e3
    assert torch.equal(model(batch).restored, given)


@both
def test_crops_of_one_photo_are_decided_together_and_no_more_is_done(config):
    model, crops = network(config), photos()
    together = model.route(crops).logits
    assert together.shape == (1, 3, len(NAMES))
    assert not torch.allclose(model(crops).logits[0], model(crops).logits[1])
    twins = crops[:1].expand(3, -1, -1, -1)
    torch.testing.assert_close(model.route(twins).logits, model(twins).logits[:1])
    model.refinement.register_forward_hook(lambda *_: pytest.fail("restored what was only to be routed"))
    assert torch.equal(model.route(crops).logits, together)


@both
@placements
def test_what_was_routed_is_restored_from_there(config, placement):
    """Bit for bit as anew, and the way down is not gone twice."""
    model, photo = network(config, placement=placement).eval(), photos(1)
    routed = model.route(photo)
    rows = routed.logits.softmax(dim=2)
    anew = model(photo, rows)
    model.stem.register_forward_hook(lambda *_: pytest.fail("began again"))
    goes_on = model(photo, rows, routed=routed)
    assert torch.equal(goes_on.restored, anew.restored)
    assert goes_on.logits.shape == anew.logits.shape
    assert len(goes_on.latents) == 3


def test_whole_photos_are_restored_as_one_photo_and_its_tile_would_be():
    """Each of a batch by the filter and the grid that are read of itself."""
    model = network(FAST)
    batch = photos(3, 64, 80)
    rows = torch.stack([0.6 * one_hot("blur")[0] + 0.4 * one_hot("noise")[0], one_hot("haze")[0], one_hot("rain")[0]])
    rows = 0.99 * rows + 0.01 / len(NAMES)
    whole = model.restore_whole(batch, RULES, rows)
    assert whole.blur is not None
    assert whole.blur.photos.tolist() == [0]
    for index in range(3):
        photo, shares = batch[index : index + 1], rows[index : index + 1]
        is_filtered = RULES.is_deconvolved(*(model.share(kind, shares) for kind in ("convolutive", "affine")))
        deconvolution = wiener_filter(*model.read_blur(photo)) if is_filtered else None
        tile = model(photo, shares, deconvolution).restored
        share = model.share("affine", shares)
        certainty = RULES.affine_certainty(share, model.config.affine_from)
        colours = model.colours(photo, shares[:, None].expand(-1, 3, -1), certainty)
        tile = refine(photo, tile, colours, certainty, torch.zeros(1), (64, 80))
        assert bool(colours.grid.any()) == (index == 1)
        if index != 1:  # the colours of a photo are those of its thumbnail, which is restored without a filter
            torch.testing.assert_close(whole.restored[index], tile[0], atol=1e-4, rtol=1e-4)


def test_refiners_look_at_those_of_whole_photos_alone_for_which_they_count():
    """In training they used to look at all of a batch, which took a quarter longer."""
    model, seen = network(FAST, additive_refiner=(4, 6, 8)), {}
    batch, rows = photos(4, 64, 64), torch.cat([one_hot(name) for name in ("haze", "rain", "blur", "clean")])
    alone = [model.restore_whole(batch[k : k + 1], RULES, rows[k : k + 1]).restored for k in range(4)]
    for name, part in (("rain", model.additive_refiner["rain"]), ("colours", model.affine_refiner)):
        part.register_forward_hook(lambda _, args, __, name=name: seen.update({name: args[0]}))
    restored = model.restore_whole(batch, RULES, rows).restored
    assert torch.equal(seen["rain"], batch[1:2])
    assert torch.equal(seen["colours"], batch[:1])
    torch.testing.assert_close(restored, torch.cat(alone), atol=1e-4, rtol=1e-4)


def test_every_part_learns_from_whole_photos():
    model = network(FAST)
    truth = torch.eye(len(NAMES))
    output = model.restore_whole(photos(len(NAMES), 64, 64), RULES, truth)
    output.restored.square().mean().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    before_softmax = "blur_kernel_estimator.last.1.bias"  # moves all of a kernel, or only rounds
    others = [name for name in without if ".router." in name or "to_side_image" in name or "_classifier" in name]
    assert [name for name in without if name not in (*others, before_softmax)] == []


@both
@placements
@hubs
def test_every_parameter_gets_a_gradient_in_its_stage(config, placement, hub):
    """Collect with a photo of every degradation that is told, integrate with the routers."""
    model = network(config, hub, placement=placement)
    degraded, clean = photos(len(NAMES)), photos(len(NAMES))
    truth = torch.eye(len(NAMES))
    output = model(degraded, truth if hub == "prior" else None)
    losses(output, degraded, clean, truth, LossWeights()).total(torch.ones(len(NAMES))).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert [name for name in without if not name.startswith(OF_WHOLE_PHOTOS)] == []
    if hub == "prior":
        assert model.hub.priors.grad.flatten(1).any(dim=1).all()


@pytest.mark.parametrize("by", get_args(fields.OperationsBy))
def test_physics_leaves_idle_only_what_it_forbids(by):
    """Of the shared predictor's rows (O, gain and offset): noise needs no gain, blur neither."""
    model = network(FAST, operations_by=by)
    model(photos(len(NAMES)), torch.eye(len(NAMES))).restored.square().sum().backward()
    needed = {"additive": [False, True], "affine": [True, True], "convolutive": [False, False]}
    for block in model.prior_blocks.values():
        used = block.operations.bias.grad.any(dim=-1)
        kinds = [operation_of(name) for name in NAMES]
        assert used.tolist() == [needed[kind] for kind in (kinds if by == "degradation" else dict.fromkeys(kinds))]


@both
@pytest.mark.parametrize(("name", "kin"), [("noise", "rain"), ("haze", "low_light")])
def test_only_the_hub_tells_kin_apart(config, name, kin):
    """Told one or the other, all operations are the same; the hub's answer, and so the photo, is not."""
    model, photo = network(config), photos(1)
    assert torch.equal(model.shares(one_hot(name)), model.shares(one_hot(kin)))
    restored = [model(photo, one_hot(each)).restored for each in (name, kin)]
    assert (restored[0] - restored[1]).abs().max() > 1e-4
    with torch.no_grad():
        tables = model.hub.priors
        tables[[NAMES.index(name), NAMES.index(kin)]] = tables[[NAMES.index(kin), NAMES.index(name)]]
    swapped = [model(photo, one_hot(each)).restored for each in (kin, name)]
    assert all(torch.equal(a, b) for a, b in zip(restored, swapped, strict=True))


@both
def test_operations_by_degradation_tell_kin_apart_themselves(config):
    model, photo = network(config, operations_by="degradation", num_priors=0), photos(1)
    restored = [model(photo, one_hot(each)).restored for each in ("noise", "rain")]
    assert not torch.equal(*restored)


@both
def test_told_degradations_teach_only_their_own_priors(config):
    model = network(config)
    model(photos(2), one_hot("rain", 2)).restored.square().sum().backward()
    learned = model.hub.priors.grad.flatten(1).any(dim=1)
    assert [name for name, learns in zip(NAMES, learned, strict=True) if learns] == ["rain"]


@both
def test_no_decomposition_in_a_forward_pass(config, monkeypatch):
    model = network(config, "ingredient")

    def refuse(*_, **__):
        raise AssertionError("decomposed in forward")

    for name in ("svd", "eigh", "qr", "pinv", "lstsq"):
        monkeypatch.setattr(torch.linalg, name, refuse)
    monkeypatch.setattr(torch, "svd", refuse)
    model(photos(1)).restored.sum().backward()


@both
def test_the_installed_hub_is_the_stage(config):
    """Integration without reformulation changes nothing; with it, only the hub."""
    model = network(config)
    batch, w, before = photos(), mixture(3), copy.deepcopy(model.state_dict())
    collected = model(batch, w).restored
    model.hub = integrate(model.hub, "none")
    assert torch.equal(model(batch, w).restored, collected)
    model.hub = integrate(model.hub, "pca")
    assert not torch.equal(model(batch, w).restored, collected)
    others = {name for name in before if not name.startswith("hub.")}
    assert {name for name in model.state_dict() if not name.startswith("hub.")} == others


@both
def test_nothing_is_changed_in_place(config):
    model, batch, w = network(config), photos(), mixture(3)
    state = copy.deepcopy(model.state_dict())
    given = (batch.clone(), w.clone())
    first = model(batch, w).restored
    assert torch.equal(batch, given[0])
    assert torch.equal(w, given[1])
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(model(batch, w).restored, first)


def test_decoder_level_1_keeps_the_doubled_width_on_request():
    for doubled in (True, False):
        model = RestorationNetwork(dataclasses.replace(PAPER, double_top=doubled))
        assert model.output.in_channels == PAPER.dim * (1 + doubled)
