"""`idrestore info`: what the models are."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from idrestore.cli.console import out_console, refuse, say, say_row

if TYPE_CHECKING:
    from idrestore.model.checkpoint import Model
    from idrestore.model.network import RestorationNetwork

CREDITS = ("weights/LICENCES.md", "../../docs/guide/licences.md")
"""Where the authors of the photographs are named, in the installed package and in the source tree"""


def info_command(
    model: Annotated[str, typer.Argument(help="A shipped model's name, a model file, or with --cost a preset.")] = "",
    cost: Annotated[bool, typer.Option("--cost", help="Parameters and kMAC a pixel, part by part.")] = False,
    json: Annotated[bool, typer.Option("--json", help="All that the model's card says, for programs.")] = False,
) -> None:
    """Show the shipped models, or one model's card, or what a network costs. Example: idrestore info fast"""
    from idrestore.model.config import PRESETS
    from idrestore.model.network import RestorationNetwork
    from idrestore.model.shipped import SHIPPED

    if cost and not model:
        refuse(f"--cost: expected a model or a preset, such as {', '.join(PRESETS)}")
    if cost and json:
        refuse("--json: got --cost too, expected one of the two")
    if model in PRESETS and model not in SHIPPED and not cost:
        refuse(f"no model {model!r}: it is a preset, of which --cost says the parameters and the work")
    if not model:
        _tell_all()
    elif cost and model in PRESETS:
        if model in SHIPPED:  # its network need not be what the preset is by now
            _tell_cost(_load(model).network)
            for line in ("", f"and of the preset {model}, for new models:", ""):
                say(line)
        _tell_cost(RestorationNetwork(PRESETS[model]))
    else:
        loaded = _load(model)
        if cost:
            _tell_cost(loaded.network)
        elif json:
            _tell_json(loaded)
        else:
            _tell_card(loaded)


def _load(model: str) -> "Model":
    """Load a model, or refuse."""
    from idrestore.model import checkpoint
    from idrestore.model.shipped import CheckpointError

    try:
        return checkpoint.load(model)
    except CheckpointError as error:
        refuse(str(error))


def _tell_all() -> None:
    """Print which models and presets there are, and how this machine computes."""
    import idrestore
    from idrestore.model.config import PRESETS
    from idrestore.model.inference import arithmetic
    from idrestore.model.shipped import SHIPPED

    shipped = ", ".join(SHIPPED) or "none"
    say(f"idrestore {idrestore.__version__}; models: {shipped}; presets: {', '.join(PRESETS)}")
    say(f"this machine: {arithmetic()}")


def _tell_card(loaded: "Model") -> None:
    """Print what people want to know of a model."""
    from idrestore.model.inference import arithmetic
    from idrestore.model.shipped import WEIGHTS_FOLDER
    from idrestore.restoration.sentence import name_of

    card, network = loaded.card, loaded.network
    parameters = sum(each.numel() for each in network.parameters())
    removes = [name_of(name) for name in network.config.degradations if name != "clean"]
    training = card.get("training") if isinstance(card.get("training"), dict) else {}
    assert isinstance(training, dict)
    trained = [f"{card['step']:,} steps"] if isinstance(card.get("step"), int) else []
    trained += [f"{training['hours']} hours"] if training.get("hours") else []
    rows = {
        "model": ", version ".join(str(card[key]) for key in ("name", "version") if card.get(key)),
        "about": str(card.get("description", "")),
        "removes": ", ".join(removes),
        "licence": str(card.get("licence", "")),
        "trained on": str(card.get("data", "")),
        "training": ", ".join(trained),
        "credits": _credits() if loaded.path.parent == WEIGHTS_FOLDER else "",
        "size": f"{parameters / 1e6:.2f} million parameters, {loaded.path.stat().st_size / 1e6:.1f} MB",
        "file": str(loaded.path),
        "SHA-256": loaded.sha256,
        "here": str(arithmetic()),
        "more": "--json, --cost",
    }
    for label, text in rows.items():
        say_row(label, text)


def _credits() -> str:
    """Return where the photographers of the shipped weights are named."""
    return next((str(path) for path in map(_within, CREDITS) if path.is_file()), "")


def _within(path: str) -> Path:
    import idrestore

    return (Path(idrestore.__file__).parent / path).resolve()


def _tell_json(loaded: "Model") -> None:
    header = {"file": str(loaded.path), "sha256": loaded.sha256, **loaded.card}
    out_console.print(json.dumps(header, indent=2), markup=False)


def _tell_cost(network: "RestorationNetwork") -> None:
    from idrestore.model import cost as costs

    out_console.print("| part | parameters | kMAC/pixel |\n|---|---|---|", markup=False)
    for row in costs.costs(network):
        out_console.print(f"| {row.name} | {row.parameters:,} | {row.kmac:.2f} |", markup=False)
