"""How the command reads its words and explains itself: plain text of any width, nothing cut off."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from idrestore.cli import configuration
from idrestore.cli.console import INTERRUPTED, WRONG_USAGE, complain, refuse
from idrestore.degradations import FIVE, canonical

AMOUNT = re.compile(r"(\d+\.?\d*|\.\d+)%?")
"""What may follow --haze as its amount: anything else is the next argument."""
ALL, NOTHING = "1", "0"
RESTORE = "restore"
USAGE_ERROR: type[Any] = typer.BadParameter.__bases__[0]
"""What typer raises for a command line that it cannot read, by no public name of its own"""


class Command(TyperCommand):
    """A command whose help stands in sections, as its options say (`rich_help_panel`)."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Read the command line; say how to write a file's name that looks like an option."""
        dashed = next((word for word in args if word.startswith("-") and Path(word).exists()), "")
        try:
            return super().parse_args(ctx, args)
        except USAGE_ERROR as error:
            if dashed:
                error.message += f" (for the file of this name: ./{dashed})"
            raise

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write the sections of options."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if record := param.get_help_record(ctx):
                default = "Arguments" if param.param_type_name == "argument" else "Options"
                sections.setdefault(getattr(param, "rich_help_panel", None) or default, []).append(_plain(*record))
        _write(formatter, sections)


class RestoreCommand(Command):
    """A command that restores: it understands --fog, --no-haze and --haze 0.5, and takes defaults from a file."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Read the command line; defaults are those of all commands that restore, and each takes its own."""
        group = getattr(ctx.parent and ctx.parent.command, "commands", {RESTORE: self})
        commands = [each for each in group.values() if isinstance(each, RestoreCommand)]
        known = {param.name for each in commands for param in each.params if param.name}
        try:
            wishes = configuration.defaults(_value_of("--config", args), _value_of("--preset", args) or "", known)
        except ValueError as error:
            complain(str(error))
            raise typer.Exit(WRONG_USAGE) from None
        ctx.default_map = wishes
        return super().parse_args(ctx, insisting(args))


class Group(TyperGroup):
    """The commands, in sections; what is none of them is a photo to restore."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Read the command line as far as the command's name; say in one line what is wrong with it."""
        with _one_line():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the command; say in one line what is wrong with how it was called, or that it was interrupted."""
        with _one_line():
            return super().invoke(ctx)

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Read the command line: `idrestore photo.jpg` is `idrestore restore photo.jpg`."""
        if not args:
            typer.echo(ctx.get_help(), err=True)
            raise typer.Exit(WRONG_USAGE)
        own = {name for param in self.get_params(ctx) for name in (*param.opts, *param.secondary_opts)}
        first = args[0]
        if first not in own and first not in self.commands and not self._is_typo(first):
            args = [RESTORE, *args]
        return super().parse_args(ctx, args)

    def _is_typo(self, word: str) -> bool:
        """Tell whether a word is rather a command misspelt than a photo."""
        near = difflib.get_close_matches(word, self.commands, n=1, cutoff=0.7)
        return bool(near) and not Path(word).exists()

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write the sections of commands, and the options."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command and not command.hidden:
                panel = getattr(command, "rich_help_panel", None)
                first = " ".join((command.help or "").split("\n\n")[0].split())
                sections.setdefault(panel if isinstance(panel, str) else "Commands", []).append((name, first))
        records = [record for param in self.get_params(ctx) if (record := param.get_help_record(ctx))]
        _write(formatter, sections | {"Options": records})


def insisting(args: Iterable[str]) -> list[str]:
    """Bring --haze, --no-fog, --dark 50% and their like to the form --NAME=AMOUNT.

    >>> insisting(["--fog", "a.jpg", "--no-grain", "--dark", "50%", "b.jpg"])
    ['--haze=1', 'a.jpg', '--noise=0', '--low-light=50%', 'b.jpg']
    """
    rest, result = list(args), list[str]()
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*result, word, *rest]
        flag, equals, value = word.partition("=")
        is_no, name = flag.startswith("--no-"), canonical(flag.removeprefix("--no-").removeprefix("--"))
        if not flag.startswith("--") or name not in FIVE:
            result.append(word)
            continue
        if is_no and not equals:
            value = NOTHING
        elif not equals:
            value = rest.pop(0) if rest and AMOUNT.fullmatch(rest[0]) else ALL
        option = f"--{name.replace('_', '-')}="
        earlier = {each.removeprefix(option) == NOTHING for each in result if each.startswith(option)}
        if earlier - {value == NOTHING}:
            refuse(f"{option[:-1]} and --no-{option[2:-1]} contradict each other: expected one of them")
        result.append(option + value)
    return result


@contextmanager
def _one_line() -> Iterator[None]:
    """Refuse what typer cannot read as everything else is refused."""
    try:
        yield
    except USAGE_ERROR as error:
        # Newer typers check by pydantic, whose error alone has what was got.
        found: list[dict[str, Any]] = getattr(error.__cause__, "errors", list)()
        message = _as_ours(error.format_message().rstrip("."), found[0]["input"] if found else "")
        more = f"; {error.ctx.command_path} --help says more" if error.ctx and message[-1] not in "?)" else ""
        refuse(message + more)
    except KeyboardInterrupt:
        complain("interrupted")
        raise typer.Exit(INTERRUPTED) from None


def _as_ours(message: str, got: object) -> str:
    """Say in this command's words what typer says of what it got.

    >>> _as_ours("Invalid value for '--out' / '-o': Too long", "")
    '--out: too long'
    >>> _as_ours("Invalid value for '--port': Input should be less than or equal to 65535", "99999")
    '--port: got 99999, expected at most 65535'
    """
    found = re.fullmatch(r"Invalid value for '([^']+)'.*?: (?:Value error, )?(.+)", message)
    where, words = (f"{found[1]}: ", found[2]) if found else ("", message)
    words = words.partition(", unable to parse")[0].replace("Input should be", f"got {got}, expected")
    words = words.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")
    return where + words[:1].lower() + words[1:]


def _plain(label: str, text: str) -> tuple[str, str]:
    """Return a line of help without what is Python's, not people's: `photos... <list[Path]>` is `photos...`."""
    return re.sub(r"<list\[(\w+)\]>", r"<\1>", label) if label.startswith("-") else label.partition(" <")[0], text


def _value_of(option: str, args: list[str]) -> str | None:
    """Return what an option is given, None if it is not there."""
    for index, word in enumerate(args):
        if word == "--":
            return None
        if word == option and index + 1 < len(args):
            return args[index + 1]
        if word.startswith(f"{option}="):
            return word.removeprefix(f"{option}=")
    return None


def _write(formatter: Any, sections: Mapping[str, list[tuple[str, str]]]) -> None:
    for title, records in sections.items():
        with formatter.section(title):
            formatter.write_dl(records, col_max=26)
