"""The command: a file a verb; parse, one call, print. No image logic, and nothing heavy is imported before its use."""

from typing import Annotated

import typer

import idrestore
from idrestore.cli.ablate import ablate_command
from idrestore.cli.console import EXIT_CODES, out_console, use_any_encoding
from idrestore.cli.degrade import degrade_command
from idrestore.cli.doctor import doctor_command
from idrestore.cli.evaluate import evaluate_command
from idrestore.cli.explain import explain_command
from idrestore.cli.export import export_command
from idrestore.cli.extend import extend_command
from idrestore.cli.help import Command, Group, RestoreCommand
from idrestore.cli.info import info_command
from idrestore.cli.pack import pack_command
from idrestore.cli.restore import restore_command
from idrestore.cli.supervise import SUPERVISED, SupervisedCommand
from idrestore.cli.train import train_command
from idrestore.cli.verify import verify_command
from idrestore.cli.watch import watch_command
from idrestore.cli.web import web_command

RESEARCH = "Research"
app = typer.Typer(
    cls=Group,
    help=f"""Restore photos that are noisy, rainy, hazy, blurred or dark.

idrestore photo.jpg writes photo-restored.jpg beside it; more by idrestore restore --help.

{EXIT_CODES}""",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
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


app.command("restore", cls=SupervisedCommand)(restore_command)
app.command("watch", cls=RestoreCommand)(watch_command)
app.command("verify", cls=Command)(verify_command)
app.command("explain", cls=Command)(explain_command)
app.command("web", cls=Command)(web_command)
app.command("info", cls=Command)(info_command)
app.command("doctor", cls=Command)(doctor_command)
app.command("degrade", cls=Command, rich_help_panel=RESEARCH)(degrade_command)
app.command("train", cls=Command, rich_help_panel=RESEARCH)(train_command)
app.command("pack", cls=Command, rich_help_panel=RESEARCH)(pack_command)
app.command("extend", cls=Command, rich_help_panel=RESEARCH)(extend_command)
app.command("ablate", cls=Command, rich_help_panel=RESEARCH)(ablate_command)
app.command("evaluate", cls=Command, rich_help_panel=RESEARCH)(evaluate_command)
app.command("export", cls=Command, rich_help_panel=RESEARCH)(export_command)


def main() -> None:
    """Run the command."""
    use_any_encoding()
    app(obj=SUPERVISED)
