"""What was measured, for Prometheus.

Promise: metrics have the documented names; nothing is loaded where nobody asked. Refusal: no
default registry: what other code measures is not ours.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from prometheus_client import CollectorRegistry, generate_latest, start_http_server

from conductor_flows.measures.prometheus import PrometheusRecorder


class Measured:
    """A registry of its own, and the recorder that fills it."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.recorder = PrometheusRecorder(self._registry)

    def text(self) -> bytes:
        """Return everything in the text format of Prometheus."""
        return generate_latest(self._registry)

    @contextlib.contextmanager
    def served(self, host: str, port: int) -> Generator[int]:
        """Serve it for the time of a block; gives the port.

        Raises:
            OSError: The address is not to be had.
        """
        server, thread = start_http_server(port, host, self._registry)
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
