"""A pack's door to the tool host: `ctx.tools`.

Promise: a pack calls as itself, and inside of a tool's call never with wider scopes than that
call's caller has. Refusal: nothing is decided here; the host decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conductor_handlers.ports import Span
from conductor_handlers.toolhost.host import ToolHost
from conductor_handlers.toolhost.records import Caller, Request
from conductor_handlers.traced import current_span
from conductor_sdk.tool_output import ToolOutput, failed


class PackTools:
    """The `ToolPort` of one pack. Contexts come before the host, so it is attached later."""

    def __init__(self, slug: str) -> None:
        self._caller = Caller(f"pack:{slug}", "pack")
        self._host: ToolHost | None = None

    def attach(self, host: ToolHost) -> None:
        """Open the door."""
        self._host = host

    async def call(
        self, tool: str, input: Mapping[str, Any] | None = None, *,  # noqa: A002  the wire's word
        key: str | None = None,
    ) -> ToolOutput:  # fmt: skip
        """Call a tool of any loaded pack; a refusal is an answer, not an exception."""
        if self._host is None:
            return failed("TOOL_UNAVAILABLE", "the tool host is not running yet")
        given: object = dict(input) if isinstance(input, Mapping) else input
        request = Request(tool, {} if given is None else given, self._caller, key)
        parent = current_span.get()
        if parent is None:
            return await self._host.call(request)
        return await _traced(self._host, request, parent.tool(tool))

    def names(self) -> Sequence[str]:
        """Return the names of the tools that a call would find, sorted."""
        return () if self._host is None else self._host.names(self._caller)


async def _traced(host: ToolHost, request: Request, span: Span) -> ToolOutput:
    """Call in a span: what the tool pushes and calls stands below it."""
    token = current_span.set(span)
    try:
        output = await host.call(request)
    except BaseException:
        span.end("interrupted", "INTERRUPTED")
        raise
    finally:
        current_span.reset(token)
    code = None if output.error is None else output.error.code
    span.end("success" if output.success else "failed", code)
    return output
