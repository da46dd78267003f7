"""The command: a file a verb; parse, one call, print. No image logic, and nothing heavy is imported before its use."""

from typing import Annotated

import typer

import idrestore
from idrestore.cli.ablate import ablate_command
from idrestore.cli.console import EXIT_CODES, out_console
from idrestore.cli.degrade import degrade_command
from idrestore.cli.evaluate import evaluate_command
from idrestore.cli.explain import explain_command
from idrestore.cli.export import export_command
from idrestore.cli.extend import extend_command
from idrestore.cli.info import info_command
from idrestore.cli.restore import restore_command
from idrestore.cli.train import train_command
from idrestore.cli.web import web_command

app = typer.Typer(
    help=f"Restore photos that are noisy, rainy, hazy, blurred or dark.\n\n{EXIT_CODES}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        out_console.print(idrestore.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


app.command("restore")(restore_command)
app.command("explain")(explain_command)
app.command("degrade")(degrade_command)
app.command("train")(train_command)
app.command("extend")(extend_command)
app.command("ablate")(ablate_command)
app.command("evaluate")(evaluate_command)
app.command("export")(export_command)
app.command("info")(info_command)
app.command("web")(web_command)


def main() -> None:
    """Run the command."""
    app()
