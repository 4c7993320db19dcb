"""Where a flow is reached: a method, a path, and what may pass there.

Promise: what is wrong with a route is said when the host starts: a trigger or a capture that is not
there, a path that no request can have, two routes in one place (DAG103). Refusal: what a run would
refuse (a missing capability, a surface that is not served) is left to the run, so that one flow's
trouble does not keep the others from being served.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from conductor_flows.execute.planning.compiling import Ends
from conductor_flows.execute.runner import default_ends
from conductor_flows.host.errors import RouteRefused, RoutesClash
from conductor_flows.host.hosting import Host
from conductor_flows.ir.model import Entrypoint
from conductor_flows.ir.terms import NodeKind, Profile

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
WEB_DEADLINE_S: Final = 25.0
BODY_MAX: Final = 1024 * 1024
OWN: Final = ("/.flows", "/healthz", "/openapi.json")
"""Paths that the host keeps for itself, with all below the first."""
_PARAMETER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?::(str|int|path))?\}")
_REFUSED: Final = re.compile(r"[\x00-\x1f\x7f-\xa0%?#\\]|//|/\.{1,2}(/|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way into one flow."""

    host: Host
    path: str
    """Begins with `/`; `{name}`, `{name:int}` and `{name:path}` are parameters. Decoded."""
    trigger: str
    capture: str
    method: str = "POST"
    aliases: tuple[str, ...] = ()
    """More paths."""
    deadline_s: float | None = None
    """Until the answer, or until a stream begins; None: none."""
    concurrency: int = 256
    """Runs at once, streams included."""
    waiting: int = 256
    """Requests that may wait for one of them to end."""
    wait_s: float = 5.0
    """How long one waits before it is refused with 503."""
    max_body_bytes: int = BODY_MAX
    resumable_s: float = 0.0
    """How long a stream's run outlives its connection, to be taken up by `Last-Event-ID`; 0: the
    run ends with the connection."""
    tells_token: bool = True
    """Whether a halt's answer carries the token that ends it; no, where whoever asks may not
    decide."""

    @property
    def ends(self) -> Ends:
        """Where a run goes in and comes out."""
        return Ends(self.trigger, self.capture)

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths, the main one first, each once."""
        return tuple(dict.fromkeys((self.path, *self.aliases)))


def routes_of(host: Host) -> tuple[Route, ...]:
    """Return the routes that a flow declares: one for each entrypoint.

    An entrypoint without a path is at `/<flow name>`, one without a method is POST; a flow without
    entrypoints has one, from its only trigger to its only sink. Flows of the profile web have a
    deadline of 25 s where they name none.

    Raises:
        UnknownAlias: No entrypoint, and more than one trigger or sink.
        RouteRefused: As `checked`.
    """
    flow = host.flow
    entries = flow.metadata.entrypoints
    if not entries:
        ends = default_ends(flow)
        entries = [Entrypoint(trigger_alias=ends.trigger, capture_alias=ends.capture)]
    default_s = WEB_DEADLINE_S if flow.profile is Profile.WEB else None
    routes = [
        Route(
            host=host, path=normal(each.route_path or flow.name), trigger=each.trigger_alias,
            capture=each.capture_alias, method=(each.method or "POST").upper(),
            aliases=tuple(normal(alias) for alias in each.route_aliases),
            deadline_s=default_s if each.deadline_ms is None else each.deadline_ms / 1000,
        )
        for each in entries
    ]  # fmt: skip
    return checked(routes)


def normal(path: str) -> str:
    """Return a path with its first `/` and without spaces around it."""
    return "/" + path.strip().lstrip("/")


def checked(routes: Iterable[Route]) -> tuple[Route, ...]:
    """Return the routes, if all can be served together.

    Raises:
        RouteRefused: A method, path, trigger, capture or limit that is none.
        RoutesClash: DAG103.
    """
    taken: dict[tuple[str, str], Route] = {}
    found = tuple(routes)
    for route in found:
        _check(route)
        for path in route.paths:
            place = (route.method, _PARAMETER.sub("{}", path))
            first = taken.setdefault(place, route)
            if first is not route:
                names = f"{first.host.flow.name} ({first.trigger})"
                raise RoutesClash(
                    f"{route.method} {path}: {names} and {route.host.flow.name} ({route.trigger})"
                )
    return found


def _check(route: Route) -> None:
    where = f"{route.host.flow.name}: {route.method} {route.path}"
    nodes = {node.alias: node for node in route.host.flow.nodes}
    if route.trigger not in nodes or nodes[route.trigger].kind is not NodeKind.TRIGGER:
        raise RouteRefused(f"{where}: {route.trigger!r} is no trigger of the flow")
    if route.capture not in nodes:
        raise RouteRefused(f"{where}: the flow has no node {route.capture!r}")
    if route.method not in METHODS:
        raise RouteRefused(f"{where}: the method is none of {', '.join(METHODS)}")
    for path in route.paths:
        _check_path(path, where)
    least = {"concurrency": 1, "waiting": 0, "wait_s": 0, "max_body_bytes": 0, "resumable_s": 0}
    for name, smallest in least.items():
        if not getattr(route, name) >= smallest:
            raise RouteRefused(f"{where}: {name} is at least {smallest}")
    if route.deadline_s is not None and not route.deadline_s > 0:
        raise RouteRefused(f"{where}: a deadline is more than 0 s")


def _check_path(path: str, where: str) -> None:
    bad = _REFUSED.search(path)
    if not path.startswith("/") or bad is not None:
        found = "" if bad is None else f" (at {bad.group()!r})"
        text = f"{path!r} is no path{found}; write it decoded, from the first / on"
        raise RouteRefused(f"{where}: {text}")
    names = [name for name, _ in _PARAMETER.findall(path)]
    if len(names) != len(set(names)) or re.search(r"[{}]", _PARAMETER.sub("", path)):
        raise RouteRefused(f"{where}: {path!r} has parameters like {{name}} or {{name:int}}, once")
    if any(path == own or path.startswith(f"{own}/") for own in OWN):
        raise RouteRefused(f"{where}: the host keeps {path} for itself")
