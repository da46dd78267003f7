"""`idrestore evaluate`: sets of photos in, a table and comparison figures out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from idrestore.cli.console import (
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

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idrestore.data.pairs import SetSpec
    from idrestore.evaluation.figures import Gallery
    from idrestore.evaluation.report import Report


def evaluate_command(
    data: Annotated[
        list[str] | None, typer.Option(help="NAME=FOLDER[:OPTION]...; see docs/method/evaluation.md. May be repeated.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Keep the results as JSON, the table beside it as Markdown.")
    ] = None,
    model: ModelOption = "fast",
    protocol: Annotated[str, typer.Option(help="full: every pixel; research: as the field's scripts crop.")] = "full",
    routing: Annotated[
        str,
        typer.Option(help="Who says what is wrong: the routers' shares (soft), their largest alone (hard), or oracle."),
    ] = "soft",
    versus: Annotated[
        list[str] | None, typer.Option(help="NAME=FOLDER of another method's results, to compare. May be repeated.")
    ] = None,
    told: Annotated[
        list[str] | None,
        typer.Option(help="A degradation: measure too what the model does when told it. May be repeated."),
    ] = None,
    tone_matched: Annotated[
        bool, typer.Option("--tone-matched", help="PSNR after the best tone curve: detail counts, brightness does not.")
    ] = False,
    figures: Annotated[Path | None, typer.Option(help="Folder for comparison figures: PNGs and a page.")] = None,
    figures_limit: Annotated[int, typer.Option(help="Draw at most this many photos of a set, the first.")] = 8,
    shard: Annotated[str, typer.Option(help="I/N: measure the I-th of N parts alone; --merge joins them.")] = "1/1",
    merge: Annotated[list[Path] | None, typer.Option(help="Results of a shard, to be joined; for each.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only read the data, and say what is wrong with it.")] = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Measure a model on folders of pairs, or of clean photos degraded here."""
    from idrestore.batch.shard import Shard
    from idrestore.data.pairs import parse_data
    from idrestore.evaluation import evaluate as evaluation
    from idrestore.evaluation import report as reports
    from idrestore.evaluation.figures import Gallery
    from idrestore.files.overwriting import check_free

    try:
        sets = parse_data(data or [])
        if not sets and not merge:
            refuse("--data: got no set, expected at least one")
        if check:
            _check(sets)
        if out is None and shard != "1/1":
            refuse(f"--shard: got {shard} without --out, expected the name of a JSON file, which --merge joins")
        if out and out.suffix == ".md":
            refuse(f"--out: got {out}, expected a name for the JSON file; the table is written beside it, as .md")
        if figures and any((figures / name).exists() for name in ("index.html", *sets)):
            refuse(f"--figures: {figures} holds figures already; name another folder")
        check_free([out, out.with_suffix(".md")] if out else [], overwrite, merge or [])
        if protocol not in reports.PROTOCOLS:
            refuse(f"--protocol: got {protocol!r}, expected one of {', '.join(reports.PROTOCOLS)}")
        others = _named_folders(versus or [])
        part = Shard.parse(shard)
        merged = reports.merge([_results_in(path) for path in merge]) if merge else None
        if out:
            make_folder(out.parent)
        if merged:
            _finish(merged, out)
        restorer = load_model(model, device, precision)
        gallery = Gallery(figures, figures_limit) if figures else None
        with Bar(1) as bar:
            report = evaluation.evaluate(
                restorer,
                sets,
                bar.step,
                protocol=protocol,
                routing=routing,  # type: ignore[arg-type]
                versus=others,
                told=told or (),
                tone_matched=tone_matched,
                shard=part,
                observe=gallery.add if gallery else None,
                about={"model": restorer.model.path.name, "sha256": restorer.model.sha256, "routing": routing},
            )
        _finish(report, out, gallery)
    except (ValueError, OSError, ImportError) as error:
        refuse(str(error))


def _finish(report: Report, out: Path | None, gallery: Gallery | None = None) -> NoReturn:
    """Print a report, write it and the figures' page if they are asked for, and leave."""
    from idrestore.atomic import replacing

    out_console.print(report.to_markdown(), markup=False)
    if out:
        for path, text in ((out, report.to_json()), (out.with_suffix(".md"), report.to_markdown())):
            with replacing(path) as file:
                file.write(text.encode())
    if gallery:
        gallery.finish("idrestore: comparison", report.to_markdown())
    for failure in report.failures:
        complain(f"{failure.set}: {failure.file}: {failure.message}")
    raise typer.Exit(SOME_FAILED if report.failures else DONE)


def _check(sets: Mapping[str, SetSpec]) -> NoReturn:
    """Say what is wrong with data sets, and leave."""
    from idrestore.data.pairs import check

    faults = 0
    for name, spec in sets.items():
        with Bar(1) as bar:
            count, wrong = check(spec, bar.step)
        for path, message in wrong:
            complain(f"{name}: {path} {message}")
        out_console.print(f"{name}: {count} photos, {len(wrong) or 'nothing'} wrong", markup=False)
        faults += len(wrong)
    raise typer.Exit(SOME_FAILED if faults else DONE)


def _results_in(path: Path) -> Report:
    from idrestore.evaluation.report import Report

    try:
        return Report.from_json(path.read_text())
    except ValueError as error:
        raise ValueError(f"--merge: {path}: {error}") from None


def _named_folders(texts: list[str]) -> dict[str, Path]:
    """Read NAME=FOLDER."""
    folders: dict[str, Path] = {}
    for text in texts:
        name, _, folder = text.partition("=")
        if not name or not folder or name in folders or name in ("degraded", "restored", "clean"):
            refuse(f"--versus: got {text!r}, expected NAME=FOLDER, each name once, not degraded, restored or clean")
        folders[name] = Path(folder)
    return folders
