"""A service as it runs, for tests: on a free port of this machine, with a tiny model."""

import threading
import time
from contextlib import contextmanager
from pathlib import Path

from idrestore import batch
from idrestore.server.app import build
from idrestore.server.jobs import Jobs
from idrestore.server.middleware import Limits
from idrestore.server.queue import JobQueue
from idrestore.server.server import Server, listen
from idrestore.server.service import Service
from idrestore.server.storage import Storage, temporary_folder


def client(url, **options):
    """Return an HTTP client of the service that takes nothing from the environment, nor reads certificates in vain."""
    import httpx

    return httpx.Client(base_url=url, trust_env=False, verify=False, timeout=30, **options)


def expected(restorer, data, name="a.png", settings=batch.Settings()):  # noqa: B008 (frozen)
    """Return what a run makes of a photo's bytes; the same again only with SOURCE_DATE_EPOCH in the environment."""
    return batch.process(restorer, batch.Job(Path(name), Path(name)), data, settings)


@contextmanager
def serving(restorers, queue=None, max_pixels=10**6, max_storage=10**8, max_jobs=100, **limits):
    """Serve, page and all, and give the URL and the server, whose `service` it is."""
    queue = queue or JobQueue()
    with temporary_folder() as folder:
        jobs = Jobs(queue, Storage(folder, max_storage), max_jobs)
        service = Service(restorers, queue, jobs, max_pixels)
        server = Server(build(service, Limits(**limits)), queue, folder)
        server.service = service
        listening = listen("127.0.0.1", 0)
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
