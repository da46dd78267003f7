"""Figures for Prometheus: how many requests, how long, and how much waits."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from idrestore.server.queue import JobQueue
from idrestore.server.storage import Storage

MEDIA_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)


class Metrics:
    """What is counted while the service runs."""

    def __init__(self, queue: JobQueue, storage: Storage) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "idrestore_requests", "Requests that were answered", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "idrestore_request_seconds",
            "Seconds until they were answered",
            ["route"],
            buckets=SECONDS,
            registry=self._registry,
        )
        Gauge("idrestore_queue_jobs", "Photos that wait or are at work", registry=self._registry).set_function(
            lambda: queue.load
        )
        Gauge("idrestore_queue_seats", "How many of them there may be", registry=self._registry).set_function(
            lambda: queue.seats
        )
        Gauge("idrestore_storage_bytes", "Bytes of uploads and results", registry=self._registry).set_function(
            lambda: storage.used
        )

    def count(self, route: str, status: int, seconds: float) -> None:
        """Count an answer; `route` is the address as the document has it, so that names do not add up."""
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Return all figures in the text format of Prometheus."""
        return generate_latest(self._registry)
