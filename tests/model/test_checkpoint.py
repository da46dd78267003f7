import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from small import BOTH, FAST, network

from idrestore.model import checkpoint, shipped
from idrestore.model.checkpoint import METADATA_KEY, load, save
from idrestore.model.shipped import SHIPPED, CheckpointError, Shipped, resolve

CARD = {"data": ["own photos"], "validation": {"noise": 27.5}}


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """Return a small model's file."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save(path, network(FAST), CARD)
    return path


def rewritten(path, target, change):
    """Write `target` as `path` after `change(header, tensors)`."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()[METADATA_KEY])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(header, tensors)
    save_file(tensors, target, metadata={METADATA_KEY: json.dumps(header)})
    return target


def refused(name_or_path, message):
    """Assert that a file is refused in one line that names it."""
    with pytest.raises(CheckpointError, match=message) as caught:
        load(name_or_path)
    assert "\n" not in str(caught.value)
    assert Path(name_or_path).name in str(caught.value)


@pytest.mark.parametrize("config", BOTH.values(), ids=BOTH)
@pytest.mark.parametrize("hub", ["prior", "ingredient"])
@pytest.mark.parametrize("half", [False, True])
def test_round_trip(tmp_path, config, hub, half):
    model, path = network(config, hub), tmp_path / "model.safetensors"
    save(path, model, CARD, half)
    loaded = load(path)
    assert (loaded.card, loaded.path) == (CARD, path)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.network.config == config
    assert type(loaded.network.hub) is type(model.hub)
    assert not loaded.network.training
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())
    for name, tensor in loaded.network.state_dict().items():
        assert tensor.dtype == torch.float32
        written = model.state_dict()[name]
        assert torch.equal(tensor, written.half().float() if half else written)
    assert list(tmp_path.iterdir()) == [path]
    photo = torch.rand(1, 3, 16, 16)
    if not half:
        assert torch.equal(loaded.network(photo).restored, model(photo).restored)


def test_a_file_from_before_there_was_a_choice_has_an_operation_for_each_degradation(tmp_path):
    save(tmp_path / "now", network(FAST, operations_by="degradation"), CARD)
    path = rewritten(tmp_path / "now", tmp_path / "before", lambda header, _: header["config"].pop("operations_by"))
    assert load(path).network.config.operations_by == "degradation"
    photo = torch.rand(1, 3, 16, 16)
    assert torch.equal(load(path).network(photo).restored, load(tmp_path / "now").network(photo).restored)


def test_half_is_half_the_size(tmp_path):
    sizes = []
    for half in (False, True):
        save(tmp_path / "model", network(FAST), {}, half)
        sizes.append((tmp_path / "model").stat().st_size)
    assert sizes[1] < 0.6 * sizes[0]


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, -1])
def test_truncated(tmp_path, intact, kept):
    whole = intact.read_bytes()
    path = tmp_path / "short.safetensors"
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    refused(path, "not a readable safetensors model file")


@pytest.mark.parametrize("start", [b"", b"\x08" + bytes(7)])
def test_random_bytes(tmp_path, start):
    path = tmp_path / "random.safetensors"
    path.write_bytes(start + hashlib.shake_256(b"seed").digest(10_000))
    refused(path, "not a readable safetensors model file")


@pytest.mark.parametrize("length", [10**8 + 1, 2**40, 2**63, 2**64 - 1])
def test_a_header_that_claims_to_be_huge(tmp_path, intact, length):
    path = tmp_path / "huge.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + intact.read_bytes()[8:])
    refused(path, "not a readable safetensors model file")


def test_a_header_nested_without_end(tmp_path):
    path = tmp_path / "deep.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata={METADATA_KEY: "[" * 100_000})
    refused(path, "not a readable safetensors model file")


class Malicious:
    """A pickle that would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_is_refused_and_not_run(tmp_path):
    path, trace = tmp_path / "pickle.safetensors", tmp_path / "trace"
    torch.save({"state": Malicious(trace)}, path)
    refused(path, "not a readable safetensors model file")
    assert not trace.exists()


def test_a_missing_model_names_what_there_is(tmp_path, monkeypatch):
    monkeypatch.setitem(SHIPPED, "fast", Shipped("fast.safetensors", "0"))
    refused(tmp_path / "nothing", r"no model .*nothing'.*expected one of fast or the path")
    refused(tmp_path, "no model")


def test_another_programs_safetensors(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    refused(path, "not written by idrestore")


def entry(key, value):
    return lambda header, _: header.update({key: value})


def setting(key, value):
    return lambda header, _: header["config"].update({key: value})


def add_65(header, _):
    names = [f"damage{number}" for number in range(65)]
    header["config"]["degradations"] += names
    header["config"]["added"] = [(name, "affine") for name in names]


def with_old_names(header, tensors):
    """Call settings and tensors as they were called before version 0.2, and add its additive refiner."""
    header["config"]["additive_refiner"], tensors["additive_refiner.0.first.weight"] = 1, torch.ones(6, 6, 3, 3)
    for old, new in checkpoint.RENAMED.items():
        if new in header["config"]:
            header["config"][old] = header["config"].pop(new)
        for name in [name for name in tensors if old.endswith(".") and name.startswith(new)]:
            tensors[old + name.removeprefix(new)] = tensors.pop(name)


def test_a_file_with_old_names_is_the_same_model(intact, tmp_path):
    """Nothing is called as before in a file of today, and everything in one of old is found."""
    old = rewritten(intact, tmp_path / "old.safetensors", with_old_names)
    with safe_open(old, framework="pt") as file:
        header, names = json.loads(file.metadata()[METADATA_KEY]), set(file.keys())
    olds = {"overlay.0.first.weight", "wide.look.bias", "wide.take.bias", "wide.stem.bias", "kernel.pool.bias"}
    assert olds | {"tone.stem.bias"} <= names
    assert {"mixed_top", "overlay_blocks", "wide_view", "kernel_view", "tone_view"} <= header["config"].keys()
    today, found = load(intact).network, load(old).network
    assert found.config == today.config == FAST
    assert found.state_dict().keys() == today.state_dict().keys()
    assert all(torch.equal(found.state_dict()[name], tensor) for name, tensor in today.state_dict().items())


def test_a_file_of_version_0_2_is_the_same_model(intact, tmp_path):
    """But for its additive refiner, which was another: residual blocks before the top."""

    def rename(header, tensors):
        header["config"]["per_degradation_top"] = header["config"].pop("per_operation_top")
        header["config"]["additive_refiner"], tensors["additive_refiner.0.first.weight"] = 2, torch.ones(6, 6, 3, 3)

    found = load(rewritten(intact, tmp_path / "old.safetensors", rename)).network
    assert found.config == FAST
    assert found.additive_refiner is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (entry("format_version", 2), "unknown format version, expected 1; update idrestore"),
        (lambda header, _: header.pop("format_version"), "unknown format version"),
        (lambda header, _: header.pop("config"), "unusable configuration"),
        (lambda header, _: header.pop("card"), "card"),
        (entry("config", [1]), "unusable configuration"),
        (entry("hub", "other"), "hub"),
        (setting("width", 8), "unknown model setting 'width'; the nearest"),
        (setting("placement", "4E"), "placement: got '4E'"),
        (setting("heads", [0, 1, 1, 1]), "unusable configuration"),
        (setting("depths", ["1"] * 4), "unusable configuration"),
        (setting("stem_stride", 0), "unusable configuration"),
        (entry("hub", ["prior"]), "hub"),
        (setting("num_priors", 6), "wrong shape"),
        (setting("dim", 6 * 2**7), "wrong shape"),  # gigabytes
        (setting("dim", 6 * 2**20), "dim: got 6291456, expected a whole number from 1 to 1024"),
        (setting("dim", 2**62), "unusable configuration"),
        (setting("depths", [1, 1, 1, 10**9]), r"depths: got .*, expected 4 numbers from 1 to 64"),
        (add_65, "added: got 65 degradations, expected at most 64"),
        (
            setting("additive_refiner", [10**7] * 3),
            r"additive_refiner: got \(10000000, 10000000, 10000000\), expected none, or 3",
        ),
        (setting("refinement", 10**7), "refinement: got 10000000"),
        (
            setting("deblurring_refiner", [1, 10**7]),
            "deblurring_refiner: got .*, expected none, or 2 numbers from 1",
        ),
        (setting("query_stride", 10**7), "query_stride: got 10000000"),
        (setting("wi\ndth", 8), "unknown model setting 'wi"),
        (
            lambda _, tensors: tensors.update({"stem.weight": tensors["stem.weight"].to(torch.float8_e4m3fn)}),
            "float8_e4m3fn",
        ),
        (
            lambda _, tensors: tensors.update({"stem.weight": tensors["stem.weight"].int()}),
            "int32, expected 16- or 32-bit",
        ),
        (lambda _, tensors: tensors.pop("stem.weight"), "'stem.weight' is missing"),
        (lambda _, tensors: tensors.update(more=torch.zeros(1)), "'more' is missing, unknown"),
        (
            lambda _, tensors: tensors.update({"stem.weight": torch.zeros(1)}),
            "'stem.weight' is missing, unknown or of the wrong shape",
        ),
        (lambda _, tensors: tensors["stem.weight"].view(-1)[7].fill_(torch.nan), "NaN or infinite"),
        (lambda _, tensors: tensors["stem.weight"].view(-1)[7].fill_(torch.inf), "NaN or infinite"),
    ],
)
def test_a_changed_file_is_refused(tmp_path, intact, change, message):
    refused(rewritten(intact, tmp_path / "changed.safetensors", change), message)


def test_the_hubs_kind_must_fit_its_tensors(tmp_path, intact):
    path = rewritten(intact, tmp_path / "changed.safetensors", entry("hub", "ingredient"))
    refused(path, r"tensor 'hub\.\w+' is missing, unknown")


def test_a_shipped_model_is_found_by_name_and_its_hash_checked(tmp_path, intact, monkeypatch):
    digest = hashlib.sha256(intact.read_bytes()).hexdigest()
    monkeypatch.setattr(shipped, "WEIGHTS_FOLDER", intact.parent)
    monkeypatch.setitem(SHIPPED, "fast", Shipped(intact.name, digest))
    assert resolve("fast") == intact
    assert load().sha256 == digest
    monkeypatch.setattr(shipped, "WEIGHTS_FOLDER", tmp_path)
    rewritten(intact, tmp_path / intact.name, entry("card", {"forged": True}))
    with pytest.raises(CheckpointError, match=f"SHA-256 is .*expected {digest[:12]}.*reinstall"):
        load("fast")
    load(tmp_path / intact.name)  # by its path it is a model like any other


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    save(path, network(FAST), CARD)
    before = path.read_bytes()

    def fail(_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        save(path, network(FAST), {})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_loading_leaves_the_callers_random_numbers_alone(intact):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    checkpoint.load(intact)
    assert torch.equal(torch.rand(3), expected)
