"""The numbers of a web host.

Promise: the names `host.*` of docs/reference/flow-metrics.md, with the labels `host` (always
`web_starlette`), `flow` and `route` (the template of the main path, whichever alias was used);
nothing is computed where nobody records. Refusal: no id of a run or of a request in a label.
"""

from __future__ import annotations

from typing import Final

from conductor_flows.execute.measures import Recorder

HOST: Final = "web_starlette"


class Meter:
    """One for each route."""

    def __init__(self, recorder: Recorder | None, flow: str, route: str) -> None:
        self.route = route
        self._recorder = recorder
        self._labels = {"host": HOST, "flow": flow, "route": route}
        self._inflight = 0
        self._streams = 0

    def begun(self) -> None:
        """A request has come."""
        self._inflight += 1
        if self._recorder is not None:
            self._recorder.level("host.http_inflight_requests", self._labels, self._inflight)

    def answered(self, status: int, took_s: float) -> None:
        """An answer was begun; for a stream that is its first byte."""
        if self._recorder is not None:
            classed = self._labels | {"status_class": f"{status // 100}xx"}
            self._recorder.count("host.http_requests_total", classed)
            self._recorder.observe("host.http_request_latency_ms", self._labels, took_s * 1000)

    def ended(self) -> None:
        """A request is over."""
        self._inflight -= 1
        if self._recorder is not None:
            self._recorder.level("host.http_inflight_requests", self._labels, self._inflight)

    def late(self) -> None:
        """A deadline came first."""
        if self._recorder is not None:
            self._recorder.count("host.deadline_exceeded_total", self._labels)

    def streams(self, by: int) -> None:
        """A client of a stream has come, or gone."""
        self._streams += by
        if self._recorder is not None:
            self._recorder.level("host.sse_clients", self._labels, self._streams)
