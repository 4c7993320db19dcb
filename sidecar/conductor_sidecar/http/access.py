"""Who calls over TCP, as the tool host is told: from a credential, never from a body.

Promise: over TCP a caller may use what the configuration and its credential both allow, and nothing
where either is silent. Refusal: nothing is authenticated here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import escape
from typing import Protocol

from starlette.requests import Request as HttpRequest
from starlette.types import Scope

from conductor_handlers.toolhost.records import AnyScope, Caller, Listing, Request
from conductor_sdk.tool_output import ToolOutput

CALLER = "conductor.caller"
"""Where in an ASGI scope the authenticated caller stands; the guard sets it, and only it."""
EVERYBODY = Caller("", "http")
_META = frozenset("*?[")


class Tools(Protocol):
    """What the surface needs of the tool host."""

    async def call(self, request: Request) -> ToolOutput:
        """Call a tool; a refusal is an answer."""
        ...

    async def ready(self) -> None:
        """Have the tools found, off the loop."""
        ...

    def listings(self, caller: Caller) -> list[Listing]:
        """Return the tools that a caller may use, by name; waits for them unless they are ready."""
        ...


@dataclass(frozen=True, slots=True)
class Credential:
    """One credential, as far as a call depends on it."""

    name: str
    tools: tuple[str, ...]
    scopes: tuple[AnyScope, ...] | None = None


class Callers:
    """The caller of each credential, made once: the host prepares its scopes once."""

    def __init__(self, allow_tools: Sequence[str], names: Callable[[], Iterable[str]]) -> None:
        """Remember what the configuration allows.

        Args:
            allow_tools: `http.allow_tools`.
            names: The names of all tools; asked when a credential is first used.
        """
        self._allow = tuple(allow_tools)
        self._names = names
        self._known: dict[Credential, Caller] = {}

    def of(self, credential: Credential) -> Caller:
        """Return the caller of a credential."""
        found = self._known.get(credential)
        if found is None:
            tools = intersect(self._allow, credential.tools, self._names())
            found = Caller(f"token:{credential.name}", "http", credential.scopes, tools)
            self._known[credential] = found
        return found


def caller_of(scope: Scope) -> Caller:
    """Return the caller that the guard has found for a request over TCP.

    Raises:
        KeyError: No guard stands before the application.
    """
    caller: Caller = scope[CALLER]
    return caller


def guarded(request: HttpRequest) -> Caller:
    """Return the caller of a request over TCP."""
    return caller_of(request.scope)


def may_call(caller: Caller, tool: str) -> bool:
    """Tell whether a caller's patterns cover a name, whether or not there is such a tool."""
    return caller.tools is None or any(fnmatchcase(tool, one) for one in caller.tools)


def intersect(first: Sequence[str], second: Sequence[str], names: Iterable[str]) -> tuple[str, ...]:
    """Return patterns for what both of two lists of patterns cover; never more.

    Two patterns of which neither contains the other become the names of `names` that both match.
    """
    known = tuple(names)
    found: dict[str, None] = {}
    for one in first:
        for other in second:
            found.update(dict.fromkeys(_both(one, other, known)))
    return tuple(found)


def _both(one: str, other: str, names: Iterable[str]) -> list[str]:
    if one == other or _contains(other, one):
        return [one]
    if _contains(one, other):
        return [other]
    return [escape(name) for name in names if fnmatchcase(name, one) and fnmatchcase(name, other)]


def _contains(wide: str, narrow: str) -> bool:
    """Tell whether everything that `narrow` matches surely matches `wide`; may miss some."""
    if wide == "*":
        return True
    if not _META & set(narrow):
        return fnmatchcase(narrow, wide)
    stem = wide.removesuffix("*")
    return wide != stem and not _META & set(stem) and narrow.startswith(stem)
