"""A service as it runs, for tests: on a free port of this machine, with a tiny model."""

import threading
import time
from contextlib import contextmanager
from pathlib import Path

from idrestore import batch
from idrestore.server import app as service
from idrestore.server import middleware as gate
from idrestore.server.queue import Workshop


def client(url, **options):
    """Return an HTTP client of the service that takes nothing from the environment."""
    import httpx

    return httpx.Client(base_url=url, trust_env=False, timeout=30, **options)


def expected(restorer, data, name="a.png", settings=batch.Settings()):  # noqa: B008 (frozen)
    """Return what a run makes of a photo's bytes; the same again only with SOURCE_DATE_EPOCH in the environment."""
    return batch.process(restorer, batch.Job(Path(name), Path(name)), data, settings)


@contextmanager
def serving(restorers, workshop=None, max_pixels=10**6, page=None, **rules):
    """Serve, and give the URL and the server; `page` is the folder of the page's files, None for no page."""
    workshop = workshop or Workshop()
    shared = service.Service(restorers, workshop, max_pixels)
    rules = gate.Rules(**rules)
    app = service.build(shared, rules)
    end_pages = lambda: None  # noqa: E731
    if page:
        from idrestore.server import page as web

        end_pages = web.mount(app, shared, page, rules.max_bytes)
    server = service.Server(app, workshop, end_pages)
    listening = service.listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}", server
    finally:
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()
