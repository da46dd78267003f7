"""`idrestore web`: a page, and a service for other programs."""

from typing import TYPE_CHECKING, Annotated

import typer

from idrestore.cli.console import (
    DONE,
    DeviceOption,
    MemoryOption,
    PrecisionOption,
    load_model,
    out_console,
    parse_memory,
    refuse,
)

if TYPE_CHECKING:
    from idrestore.restoration.restorer import Restorer

LIMITS = "Limits"
EXTRA = ("fastapi", "gradio", "python_multipart", "uvicorn")


def web_command(
    host: Annotated[str, typer.Option(help="Address to serve; others than this machine's own need --token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to serve; 0: a free one.")] = 7860,
    token: Annotated[
        str, typer.Option(envvar="IDRESTORE_TOKEN", help="What clients have to show; browsers: as the password.")
    ] = "",
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="A shipped model's name, or a model file; several times for a choice."),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    memory: MemoryOption = "",
    tile: Annotated[
        int | None, typer.Option(help="Side of tiles, px; by default what memory allows, 1088 at most.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, rich_help_panel=LIMITS, help="Photos at work at once.")] = 1,
    queue: Annotated[int, typer.Option(min=0, rich_help_panel=LIMITS, help="Photos that may wait; more: 429.")] = 16,
    time_limit: Annotated[float, typer.Option(min=1, rich_help_panel=LIMITS, help="Seconds for one photo.")] = 600,
    max_bytes: Annotated[
        int, typer.Option(min=1, rich_help_panel=LIMITS, help="Largest request, in bytes.")
    ] = 100_000_000,
    max_pixels: Annotated[
        int, typer.Option(min=1, rich_help_panel=LIMITS, help="Refuse larger photos, before decoding them.")
    ] = 100_000_000,
) -> None:
    """Serve a page to restore photos with, and REST beside it; on this machine alone, unless told otherwise."""
    import signal
    import sys
    import tempfile
    from importlib.util import find_spec
    from pathlib import Path

    if missing := [name for name in EXTRA if find_spec(name) is None]:
        refuse(f'{", ".join(missing)} not installed: pip install ".[web]" in the folder of idrestore')
    from idrestore.server import app as service
    from idrestore.server import middleware as gate
    from idrestore.server.queue import Workshop

    if not token and not gate.is_loopback(host):
        refuse(f"--host: {host} can be reached by others: pass --token (or set IDRESTORE_TOKEN)")
    restorers = _load(model or ["fast"], device, precision, tile, parse_memory(memory), workers)
    try:
        listening = service.listen(host, port)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]
        refuse(f"--host, --port: {host}:{port} cannot be served ({reason})")
    from idrestore.server import page as web

    workshop = Workshop(workers, queue, time_limit)
    shared = service.Service(restorers, workshop, max_pixels)
    app = service.build(shared, gate.Rules(host, token, max_bytes))
    # The server has finished its photos when it hands these on; what remains is to remove the folder.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(DONE))
    with listening, tempfile.TemporaryDirectory(prefix="idrestore-") as folder:
        end_pages = web.mount(app, shared, Path(folder), max_bytes)
        name = f"[{host}]" if ":" in host else host
        out_console.print(f"http://{name}:{listening.getsockname()[1]}", markup=False)
        service.Server(app, workshop, end_pages).run([listening])


def _load(
    models: list[str], device: str, precision: str, tile: int | None, budget: int | None, workers: int
) -> "dict[str, Restorer]":
    """Load models, by their files' names."""
    restorers: dict[str, Restorer] = {}
    for name in models:
        restorer = load_model(name, device, precision, tile, budget)
        restorer.sharers = workers
        if restorer.model.path.stem in restorers:
            refuse(f"--model: there are two models of the name {restorer.model.path.stem}")
        restorers[restorer.model.path.stem] = restorer
    return restorers
