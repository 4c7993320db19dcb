"""All routes of a web host as one ASGI application.

Promise: what cannot be served is said before anything is; every answer that is no answer of a flow
has the same envelope; timers fire while the application lives, and it ends without losing a
request that it could finish in time. Refusal: no authentication and no TLS: a proxy has those.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence

import msgspec
from starlette.routing import Match, Router
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from conductor_flows.host.errors import HttpRefusal
from conductor_flows.host.failures import failure_of
from conductor_flows.host.waking import Waker, wakers
from conductor_flows.host.web.answers import CLOSE, send_failure, send_json
from conductor_flows.host.web.complaints import Complaints
from conductor_flows.host.web.endpoint import Endpoint
from conductor_flows.host.web.openapi import document
from conductor_flows.host.web.reading import ambiguous
from conductor_flows.host.web.resuming import RESUME, ResumeEndpoint
from conductor_flows.host.web.route import Route, checked
from conductor_flows.host.web.site import Choices, Site


class WebHost:
    """An ASGI application; `application` makes one."""

    def __init__(self, routes: Sequence[Route], choices: Choices, wake_every_s: float) -> None:
        self.routes = checked(routes)
        self.site = Site(choices, failed=Complaints().tell)
        self._wake_every_s = wake_every_s
        self._hosts = list({id(route.host): route.host for route in self.routes}.values())
        self._document: bytes | None = None
        self._wakers: list[Waker] = []
        self._looking: list[asyncio.Task[None]] = []
        own, flows = self._own(), self._flows()
        # Most paths have no parameters: they are found without asking every route.
        self._plain = {route.path: route for route in (*flows, *own) if "{" not in route.path}
        self._router = Router(
            [*own, *flows], redirect_slashes=False, default=_nowhere,
            lifespan=lambda _: self.alive(),
        )  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] == "http" and ambiguous(scope):
            refused = failure_of(
                HttpRefusal(400, "The head says two things about the body's length")
            )
            await send_failure(send, refused, events=False, more=[CLOSE])
            return
        if scope["type"] == "http" and not scope.get("root_path"):
            found = self._plain.get(scope["path"])
            if found is not None and found.serves(scope["method"]):
                scope["path_params"] = {}
                await found.handle(scope, receive, send)
                return
        await self._router(scope, receive, send)

    def _flows(self) -> list[_Route]:
        places: dict[str, dict[str, Endpoint]] = {}
        for route in self.routes:
            endpoint = Endpoint(route, self.site)
            for path in route.paths:
                places.setdefault(path, {})[route.method] = endpoint
        found_by_path = sorted(places.items(), key=lambda each: _from_narrow_to_wide(each[0]))
        return [_Route(path, dict[str, ASGIApp](found)) for path, found in found_by_path]

    def _own(self) -> list[_Route]:
        resume: ASGIApp = ResumeEndpoint(self.routes, self.site)
        return [
            _Route("/healthz", {"GET": self._health, "HEAD": self._health}),
            _Route("/openapi.json", {"GET": self._openapi}),
            _Route(RESUME, {"POST": resume}),
        ]

    @contextlib.asynccontextmanager
    async def alive(self) -> AsyncGenerator[None]:
        """Fire timers for the time of the block, and drain at its end."""
        self._wakers = wakers(self._hosts)
        self._looking = [
            asyncio.create_task(waker.run(every_s=self._wake_every_s), name="flow.timers")
            for waker in self._wakers
        ]
        try:
            yield
        finally:
            await self.drain()

    async def drain(self) -> None:
        """Refuse what comes, wake nothing more, and wait for what runs. Idempotent.

        After `Choices.drain_s` it is cancelled.
        """
        looking, self._looking = self._looking, []
        for task in looking:
            task.cancel()
        if looking:
            await asyncio.wait(looking)
        drain_s = self.site.choices.drain_s
        woken = (waker.ended(drain_s) for waker in self._wakers)
        await asyncio.gather(self.site.guests.drain(drain_s), *woken)
        await self.site.close()

    async def _health(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        draining = self.site.guests.draining
        body = msgspec.json.encode({"status": "draining" if draining else "ok"})
        await send_json(send, body, 503 if draining else 200)

    async def _openapi(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        if self._document is None:
            self._document = msgspec.json.encode(document(self.routes))
        await send_json(send, self._document)


def application(
    routes: Sequence[Route], *, choices: Choices | None = None, wake_every_s: float = 1.0
) -> WebHost:
    """Make the application of some routes.

    Args:
        routes: As `routes_of` gives, of one or of several hosts.
        choices: The operator's.
        wake_every_s: How often timers are looked at.

    Raises:
        RouteRefused: A route cannot be served. RoutesClash: DAG103.
    """
    return WebHost(routes, choices or Choices(), wake_every_s)


class _Route(StarletteRoute):
    """One path, with an application for each method."""

    def __init__(self, path: str, by_method: dict[str, ASGIApp]) -> None:
        super().__init__(path, next(iter(by_method.values())), methods=list(by_method), name="flow")
        self._by_method = by_method

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Say whether a request is for this path; a number with thousands of digits is none."""
        try:
            return super().matches(scope)
        except ValueError:
            return Match.NONE, {}

    def serves(self, method: str) -> bool:
        """Whether there is an application for a method."""
        return method in self._by_method

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that matches the path; HEAD is no GET: it would run the flow."""
        serve = self._by_method.get(scope["method"])
        if serve is not None:
            await serve(scope, receive, send)
            return
        allow = ", ".join(sorted(self._by_method))
        refusal = HttpRefusal(405, f"This path takes {allow}")
        more = [(b"allow", allow.encode())]
        await send_failure(send, failure_of(refusal), events=False, more=more)


def _from_narrow_to_wide(path: str) -> list[int]:
    """Sort paths so that what is written out comes before what is a parameter."""
    return [
        (":path}" in part) + (":int}" not in part) + 1 if "{" in part else 0
        for part in path.split("/")
    ]


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    del receive
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
        return
    await send_failure(send, failure_of(HttpRefusal(404, "There is nothing here")), events=False)
