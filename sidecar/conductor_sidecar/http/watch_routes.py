"""Health and metrics over HTTP.

Promise: a probe gets 200 or 503 and a JSON object with `ok`, `state` and `reasons`; over TCP it
needs no credential and is told codes alone, no text in which an address or a path could stand; a
scrape over TCP needs a credential unless `metrics.open` says otherwise. Refusal: nothing is
changed by asking, and a probe that is answered with 503 is no denial.
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from conductor_sidecar.health.answers import Health, HealthReport
from conductor_sidecar.http.answers import HEADERS, TRACED
from conductor_sidecar.observatory import Observatory

LIVE, READY, HEARING, METRICS = "/health/live", "/health/ready", "/health/hearing", "/metrics"
PROBES = (LIVE, READY, HEARING)
_encode = msgspec.json.Encoder().encode


class _Code(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reason without its words."""

    code: str
    for_s: float | None = None


class _Plain(msgspec.Struct, frozen=True):
    """An answer without words."""

    ok: bool
    state: str
    reasons: list[_Code]


def watch_routes(observed: Observatory, *, local: bool) -> list[BaseRoute]:
    """Return the routes of one surface.

    Args:
        observed: What answers.
        local: Whether only the same user gets here: details are told, and all three answers
            together under /v1/health.
    """
    routes = _WatchRoutes(observed, local=local)
    found: list[BaseRoute] = [
        Route(LIVE, routes.live, methods=["GET"]),
        Route(READY, routes.ready, methods=["GET"]),
        Route(HEARING, routes.hearing, methods=["GET"]),
        Route(METRICS, routes.metrics, methods=["GET"]),
    ]
    if local:
        found.append(Route("/v1/health", routes.report, methods=["GET"]))
    return found


def open_paths(observed: Observatory) -> frozenset[str]:
    """Return the paths that are answered over TCP without a credential."""
    return frozenset({*PROBES, METRICS} if observed.open_metrics else PROBES)


class _WatchRoutes:
    """The requests, one method each."""

    def __init__(self, observed: Observatory, *, local: bool) -> None:
        self._observed = observed
        self._local = local

    async def live(self, request: Request) -> Response:
        """Say whether a restart would help."""
        return self._answer(request, self._report().live)

    async def ready(self, request: Request) -> Response:
        """Say whether events flow."""
        return self._answer(request, self._report().ready)

    async def hearing(self, request: Request) -> Response:
        """Say whether beats pass while events do not."""
        return self._answer(request, self._report().hearing)

    async def report(self, _: Request) -> Response:
        """Give all three answers; always 200."""
        return _json(self._report(), 200)

    async def metrics(self, request: Request) -> Response:
        """Answer a scrape."""
        accept = request.headers.get("accept", "")
        body, content_type = await self._observed.scraper.text(accept)
        return Response(body, headers={**HEADERS, "content-type": content_type})

    def _report(self) -> HealthReport:
        return self._observed.examiner.report()

    def _answer(self, request: Request, health: Health) -> Response:
        request.scope[TRACED] = True  # 503 is the answer here: nobody was denied anything
        if self._local:
            return _json(health, health.status_code)
        codes = [_Code(reason.code, reason.for_s) for reason in health.reasons]
        return _json(_Plain(health.ok, health.state, codes), health.status_code)


def _json(value: object, status: int) -> Response:
    return Response(_encode(value), status, media_type="application/json", headers=HEADERS)
