"""What `restore` and `watch` may be told about a restoration: one list of options, and a flag for each degradation."""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from idrestore.cli.console import (
    EXPERT,
    DeviceOption,
    MaxPixelsOption,
    MemoryOption,
    ModelOption,
    PrecisionOption,
    as_options,
    parse_memory,
    refuse,
)
from idrestore.degradations import DEGRADATIONS, FIVE, NAMES, canonical, check_known

if TYPE_CHECKING:
    from idrestore.batch import Settings
    from idrestore.restoration.restorer import Restorer

INSIST = "What is wrong, if you know better"
LESS = "Do less"
FILES = "Files"
OUTPUT = "What is printed"
MANY = "Many photos"


@dataclass(frozen=True)
class Options:
    """All that is asked for, as it was typed."""

    amounts: Mapping[str, float] = field(default_factory=dict)
    """Of degradations that the user names, 0 to 1"""
    strength: Annotated[
        str,
        typer.Option(rich_help_panel=LESS, help="How much of it all to do. Example: 60%, or haze=50%,noise=0.8"),
    ] = "1"
    only: Annotated[
        str, typer.Option(rich_help_panel=LESS, help="Remove only these, where they are found. Example: rain,haze")
    ] = ""
    protect: Annotated[
        Path | None,
        typer.Option(rich_help_panel=LESS, help="A picture of the photo's size: what is white in it is left alone."),
    ] = None
    guard: Annotated[
        bool,
        typer.Option(rich_help_panel=LESS, help="Leave alone what looks pixelated, blurred or covered on purpose."),
    ] = True
    suffix: Annotated[
        str | None,
        typer.Option(rich_help_panel=FILES, help="What the names of results end in; without -o: -restored."),
    ] = None
    format: Annotated[
        str, typer.Option(rich_help_panel=FILES, help="Format of results, such as png; by default the photo's own.")
    ] = ""
    pages: Annotated[
        Literal["first", "all"], typer.Option(rich_help_panel=FILES, help="Which pages of a TIFF are restored.")
    ] = "first"
    quality: Annotated[
        int | None,
        typer.Option(
            min=1, max=100, rich_help_panel=FILES, help="Of JPEG, WebP and AVIF; by default near the photo's."
        ),
    ] = None
    overwrite: Annotated[
        bool, typer.Option("--overwrite", rich_help_panel=FILES, help="Replace files that are no results of ours.")
    ] = False
    keep_dates: Annotated[
        bool, typer.Option("--keep-dates", rich_help_panel=FILES, help="Give results the dates of the photos' files.")
    ] = False
    recursive: Annotated[bool, typer.Option(rich_help_panel=FILES, help="Search folders to the bottom.")] = True
    provenance: Annotated[
        bool, typer.Option(rich_help_panel=FILES, help="Write into the metadata that, and how, it was restored.")
    ] = True
    quiet: Annotated[bool, typer.Option("--quiet", "-q", rich_help_panel=OUTPUT, help="Only what went wrong.")] = False
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", rich_help_panel=OUTPUT, help="Shares, times, and what was done already.")
    ] = False
    json: Annotated[
        bool, typer.Option("--json", rich_help_panel=OUTPUT, help="A line of JSON for each photo, for other programs.")
    ] = False
    workers: Annotated[
        int, typer.Option(min=1, rich_help_panel=MANY, help="Threads to read and write in; with Ray, processes.")
    ] = 1
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", rich_help_panel=MANY, help="Try again what failed in an earlier run.")
    ] = False
    model: ModelOption = "fast"
    ingredients: Annotated[
        str, typer.Option(rich_help_panel=EXPERT, help="Exact shares of what is wrong, such as rain=0.7,noise=0.3.")
    ] = ""
    memory: MemoryOption = ""
    tile: Annotated[
        int | None,
        typer.Option(rich_help_panel=EXPERT, help="Side of the tiles of large photos, px, whatever --memory says."),
    ] = None
    device: DeviceOption = "auto"
    precision: PrecisionOption = "auto"
    max_pixels: MaxPixelsOption = 300_000_000
    config: Annotated[
        Path | None, typer.Option(help="A TOML file of defaults and presets. Default: ~/.config/idrestore/config.toml")
    ] = None
    preset: Annotated[str, typer.Option(help="A preset of that file, such as night for its [presets.night].")] = ""

    def check(self) -> None:
        """Refuse what is wrong whatever the photos are, as far as can be before a model is loaded."""
        from idrestore.model import shipped

        if self.protect is not None and not self.protect.is_file():
            refuse(f"--protect: {self.protect} is no file: expected a picture of the photo's size")
        if self.pages == "all" and self.format.lower().lstrip(".") not in ("", "tif", "tiff"):
            refuse(f"--pages: got all with --format {self.format}, which holds one: expected --format tif, or none")
        wish = self.wish(FIVE)
        self.budget()
        try:
            shipped.resolve(self.model)
            for what in ("strength", "only", "ingredients") if self.model in shipped.SHIPPED else ():
                if isinstance(words := wish[what], Collection):
                    check_known(NAMES, what, {canonical(word) for word in words})
        except ValueError as error:
            refuse(as_options(error))

    def wish(self, names: Collection[str]) -> dict[str, Any]:
        """Return what is asked of a model that knows degradations of such names, or refuse."""
        from idrestore.batch import parse_steering

        try:
            wish = parse_steering(self.strength, self.only, self.ingredients)
            return wish | insisted(self.amounts, wish, names)
        except ValueError as error:
            refuse(as_options(error))

    def settings(self, restorer: "Restorer") -> "Settings":
        """Return the settings of a run, or refuse."""
        from idrestore import batch

        wish = self.wish(restorer.names)
        try:
            restorer.request(**wish)
        except ValueError as error:
            refuse(as_options(error))
        return batch.Settings(
            **wish,
            guard=self.guard,
            protect=self.protect,
            provenance=self.provenance,
            pages=self.pages,
            quality=self.quality,
            max_pixels=self.max_pixels,
            keep_dates=self.keep_dates,
            overwrite=self.overwrite,
            retry_failed=self.retry_failed,
            workers=self.workers,
        )

    def budget(self) -> int | None:
        """Return the bytes of --memory, or refuse."""
        return parse_memory(self.memory)


def insisted(amounts: Mapping[str, float], wish: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Turn amounts of degradations that the user names into a wish, as `Restorer.restore` takes it.

    What is named takes the place of what the routers find, in the proportion of the amounts, and the photo goes as far
    of its way as the largest amount says: haze 0.5 alone is half of the way to a photo without haze. What is given an
    amount of 0 is left in the photo. Raise `ValueError` for wishes that contradict each other.
    """
    there = {name: amount for name, amount in amounts.items() if amount}
    spared = {name for name, amount in amounts.items() if not amount}
    first = next(iter(there or amounts), "")
    if not there:
        only = {word if word in names else canonical(word) for word in wish["only"] or ()}
        left = (only or {*names} - {"clean"}) - spared
        if spared and not left:
            flags = ", ".join(f"--no-{name.replace('_', '-')}" for name in sorted(spared))
            raise ValueError(f"{flags}: with these nothing is left to remove, expected fewer of them")
        return {"only": left} if spared else {}
    if wish["ingredients"] or wish["only"]:
        other = "ingredients" if wish["ingredients"] else "only"
        raise ValueError(f"{first}: got --{other} too, which also says what is wrong: expected one of the two")
    if isinstance(wish["strength"], Mapping):
        raise ValueError(f"{first}: got --strength with names too: expected amounts in one of the two")
    total, largest = sum(there.values()), max(there.values())
    shares = {name: amount / total for name, amount in there.items()}
    return {"ingredients": shares, "strength": wish["strength"] * largest}


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `Options`, and a flag for each degradation; it takes them as `options`."""
    own = [each for each in inspect.signature(command, eval_str=True).parameters.values() if each.name != "options"]
    hints = get_type_hints(Options, include_extras=True)
    shared = [_parameter(each.name, hints[each.name], each.default) for each in fields(Options)[1:]]
    flags = [_flag(each.name, each.words, each.also) for each in DEGRADATIONS if each.name in FIVE]

    def run(**values: Any) -> None:
        amounts = {name: text for name in FIVE if (text := values.pop(name)) is not None}
        options = Options(_amounts(amounts), **{each.name: values.pop(each.name) for each in shared})
        command(**values, options=options)

    run.__doc__ = command.__doc__
    run.__annotations__ = {}
    main = [each for each in own if getattr(each.annotation.__metadata__[0], "rich_help_panel", None) is None]
    rest = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own if each not in main]
    run.__signature__ = inspect.Signature([*main, *flags, *shared, *rest])  # type: ignore[attr-defined]
    return run


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _flag(name: str, words: str, also: tuple[str, ...]) -> inspect.Parameter:
    """Return the parameter of one degradation; `help.insisting` brings what is typed to its form."""
    flag = f"--{name.replace('_', '-')}"
    others = ", ".join(f"--{word}" for word in also[:2])
    text = f"Remove {words} ({others}). Example: idrestore a.jpg {flag}"
    option = typer.Option(flag, metavar="[AMOUNT]", rich_help_panel=INSIST, show_default=False, help=text)
    return _parameter(name, Annotated[str | None, option], None)


def _amounts(texts: Mapping[str, str]) -> dict[str, float]:
    """Read amounts, or refuse."""
    from idrestore.batch import parse_amount

    amounts = {}
    for name, text in texts.items():
        try:
            amounts[name] = parse_amount(text)
        except ValueError:
            refuse(f"--{name.replace('_', '-')}: got {text!r}, expected an amount of 0 to 1, or 0% to 100%")
    return amounts
