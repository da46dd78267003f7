"""`idrestore info`: what the models are."""

from typing import Annotated

import typer

from idrestore.cli.console import out_console, refuse


def info_command(
    model: Annotated[str, typer.Argument(help="A shipped model's name, a model file, or with --cost a preset.")] = "",
    cost: Annotated[bool, typer.Option("--cost", help="Parameters and kMAC a pixel, part by part.")] = False,
) -> None:
    """Show the shipped models, or one model's card, or what a network costs."""
    import json

    import idrestore
    from idrestore.model import checkpoint
    from idrestore.model import cost as costs
    from idrestore.model.config import PRESETS
    from idrestore.model.inference import arithmetic
    from idrestore.model.network import RestorationNetwork

    if cost and not model:
        refuse(f"--cost: expected a model or a preset, such as {', '.join(PRESETS)}")
    if not model:
        shipped = ", ".join(checkpoint.SHIPPED) or "none"
        out_console.print(f"idrestore {idrestore.__version__}; models: {shipped}; presets: {', '.join(PRESETS)}")
        out_console.print(f"this machine: {arithmetic()}")
        return
    if cost and model in PRESETS:
        network = RestorationNetwork(PRESETS[model])
    else:
        try:
            loaded = checkpoint.load(model)
        except checkpoint.CheckpointError as error:
            refuse(str(error))
        network = loaded.network
        if not cost:
            header = {"file": str(loaded.path), "sha256": loaded.sha256, **loaded.card}
            out_console.print(json.dumps(header, indent=2, ensure_ascii=False), markup=False)
            return
    out_console.print("| part | parameters | kMAC/pixel |\n|---|---|---|", markup=False)
    for row in costs.costs(network):
        out_console.print(f"| {row.name} | {row.parameters:,} | {row.kmac:.2f} |", markup=False)
