"""`idrestore evaluate`: sets of photos in, a table out."""

from pathlib import Path
from typing import Annotated

import typer

from idrestore.cli.common import (
    DONE,
    SOME_FAILED,
    Bar,
    DeviceOption,
    ModelOption,
    PrecisionOption,
    complain,
    load_model,
    make_folder,
    out_console,
    refuse,
)


def evaluate_command(
    data: Annotated[list[str], typer.Option(help="NAME=FOLDER[:OPTION]...; see docs/evaluation.md. May be repeated.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Results as JSON; the table goes beside it as Markdown.")],
    model: ModelOption = "fast",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Measure a model on folders of pairs, or of clean photos degraded here."""
    from idrestore import evaluate as evaluation
    from idrestore.data.pairs import parse_data

    if out.suffix == ".md":
        refuse(f"--out: got {out}, expected a name for the JSON file; the table is written beside it, as .md")
    make_folder(out.parent)
    try:
        sets = parse_data(data)
        restorer = load_model(model, device, precision)
        with Bar(1) as bar:
            report = evaluation.evaluate(restorer, sets, bar.step)
        out.write_text(report.to_json({"model": str(restorer.model.path.name), "sha256": restorer.model.sha256}) + "\n")
        out.with_suffix(".md").write_text(report.to_markdown())
    except (ValueError, OSError, ImportError) as error:
        refuse(str(error))
    out_console.print(report.to_markdown(), markup=False)
    for failure in report.failures:
        complain(f"{failure.set}: {failure.file}: {failure.message}")
    raise typer.Exit(SOME_FAILED if report.failures else DONE)
