"""`idrestore web`: a page, and a service for other programs."""

from typing import TYPE_CHECKING, Annotated

import typer

from idrestore.cli.console import (
    DONE,
    DeviceOption,
    MemoryOption,
    PrecisionOption,
    error_console,
    load_model,
    out_console,
    parse_memory,
    refuse,
)
from idrestore.extras import how_to_install

if TYPE_CHECKING:
    from idrestore.device import Precision
    from idrestore.restoration.restorer import Restorer

LIMITS = "Limits"
EXTRA = ("fastapi", "prometheus_client", "python_multipart", "uvicorn")


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
    max_storage: Annotated[
        int,
        typer.Option(min=1, rich_help_panel=LIMITS, help="Bytes of uploads and results on the disk, of all clients."),
    ] = 2_000_000_000,
    max_jobs: Annotated[
        int, typer.Option(min=1, rich_help_panel=LIMITS, help="Photos of open pages and jobs that are kept.")
    ] = 500,
    access_log: Annotated[bool, typer.Option("--access-log", help="Print a line for each request.")] = False,
) -> None:
    """Serve a page to restore photos with, and REST beside it; on this machine alone, unless told otherwise."""
    import logging
    import signal
    import sys
    from importlib.util import find_spec

    if missing := [name for name in EXTRA if find_spec(name) is None]:
        refuse(f"{', '.join(missing)} not installed: {how_to_install('web')}")
    from idrestore.server import app, jobs, middleware, server, service, storage
    from idrestore.server.queue import JobQueue

    if not token and not middleware.is_loopback(host):
        refuse(f"--host: {host} can be reached by others: pass --token (or set IDRESTORE_TOKEN)")
    restorers = _load(model or ["fast"], device, precision, tile, parse_memory(memory), workers)
    try:
        listening = server.listen(host, port)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]
        refuse(f"--host, --port: {host}:{port} cannot be served ({reason})")
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # the client is told what is wrong with its form
    if access_log:
        _print_accesses()
    job_queue = JobQueue(workers, queue, time_limit)
    # The server has finished its photos when it hands these on; what remains is to remove the folder.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(DONE))
    with listening, storage.temporary_folder() as folder:
        kept = jobs.Jobs(job_queue, storage.Storage(folder, max_storage), max_jobs)
        served = app.build(
            service.Service(restorers, job_queue, kept, max_pixels), middleware.Limits(host, token, max_bytes)
        )
        name = f"[{host}]" if ":" in host else host
        out_console.print(f"http://{name}:{listening.getsockname()[1]}", markup=False)
        if out_console.is_terminal:  # a program that reads the address needs no advice
            out_console.print("Open it in a browser; /docs says how programs ask. Ctrl-C ends it.", markup=False)
        server.Server(served, job_queue, folder, _say).run([listening])


def _say(text: str) -> None:
    error_console.print(f"idrestore: {text}", markup=False)


def _print_accesses() -> None:
    """Have a line printed for each request, to where errors go."""
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log = logging.getLogger("idrestore.access")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def _load(
    models: list[str], device: str, precision: "Precision", tile: int | None, budget: int | None, workers: int
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
