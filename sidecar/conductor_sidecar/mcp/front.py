"""The daemon's own front: MCP requests to calls of the tool host.

Promise: the caller is the one that the HTTP surface authenticated, made narrower by the selection
of this workspace and of this client, and a call that falls outside of it is denied by the host,
with its evidence. Refusal: no decision about a call is made here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolRequestParams, CallToolResult, ListToolsResult

from conductor_handlers.toolhost.records import Caller, Listing, Request
from conductor_sdk.tool_output import failed
from conductor_sidecar.errors import RequestInvalid
from conductor_sidecar.http.access import Tools, may_call
from conductor_sidecar.http.bodies import idempotency_key
from conductor_sidecar.http.errors import Refusal
from conductor_sidecar.logs import get_logger
from conductor_sidecar.mcp.names import named
from conductor_sidecar.mcp.present import PREFIX, result_of, tool_of
from conductor_sidecar.mcp.selection import EVERYTHING, Selection, selected
from conductor_sidecar.mcp.server import progress

KEY = PREFIX + "idempotency-key"
RUN, TASK, SESSION = PREFIX + "run-id", PREFIX + "task-id", PREFIX + "session-id"
MENTION_MAX = 160
VIEWS_MAX = 256
NAME_SHOWN = 100

Context = ServerRequestContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks, and what of it all they want to see."""

    caller: Caller
    words: tuple[str, ...] = ()
    """As `selected` reads them."""


@dataclass(frozen=True, slots=True)
class View:
    """The tools as one client has them."""

    names: Mapping[str, Listing]
    """Every tool there is, by its MCP name: so that a denied call reaches the host."""
    seen: Mapping[str, Listing]
    caller: Caller
    """May call what the client selected, and nothing else; the policy is still the host's."""


class HostFront:
    """Tools of the host in this process."""

    def __init__(
        self, tools: Tools, client: Callable[[Context], Client],
        patterns: Sequence[str] | None = None, known: Sequence[Listing] | None = None,
    ) -> None:  # fmt: skip
        """Describe the front.

        Args:
            tools: The tool host; what it lists stays the same as long as it lives.
            client: Who sent a request.
            patterns: What the workspace offers to MCP; None: everything.
            known: Every tool that is not internal, those too that the policy never allows: so that
                names do not depend on the policy and a call of one is denied with evidence. None:
                what the host lists.
        """
        self._tools = tools
        self._known = known
        self._client = client
        self._workspace = EVERYTHING if patterns is None else Selection(tuple(patterns))
        self._views: dict[Client, View] = {}

    async def list_tools(self, ctx: Context) -> ListToolsResult:
        """List what this client may call and wants to see."""
        await self._tools.ready()
        view = self._view(ctx)
        return ListToolsResult(tools=[tool_of(name, one) for name, one in view.seen.items()])

    async def call_tool(self, ctx: Context, params: CallToolRequestParams) -> CallToolResult:
        """Run one call through the host."""
        await self._tools.ready()
        view = self._view(ctx)
        listing = view.names.get(params.name)
        if listing is None:
            shown = params.name[:NAME_SHOWN]
            return result_of(failed("TOOL_NOT_FOUND", f"No tool is called {shown!r}."))
        try:
            request = _request(listing, params.arguments or {}, view.caller, ctx.meta or {})
        except Refusal as error:
            return result_of(failed("INVALID_INPUT", error.message))
        async with progress(ctx):
            return result_of(await self._tools.call(request))

    def _view(self, ctx: Context) -> View:
        client = self._client(ctx)
        view = self._views.get(client)
        if view is None:
            if len(self._views) >= VIEWS_MAX:
                self._views.clear()
            view = self._views[client] = self._looked_at(client)
        return view

    def _looked_at(self, client: Client) -> View:
        try:
            wanted = selected(client.words)
        except RequestInvalid as error:
            raise MCPError(INVALID_PARAMS, error.message) from None
        caller = client.caller
        known = self._known
        if known is None:
            known = self._tools.listings(Caller(caller.actor, "mcp", caller.scopes))
        names = named(known)
        theirs = {
            name: one
            for name, one in names.items()
            if may_call(caller, one.name)
            and self._workspace.takes(one.name, name)
            and wanted.takes(one.name, name)
        }
        listed = {one.name: one for one in self._tools.listings(caller)}
        seen = {name: listed[one.name] for name, one in theirs.items() if one.name in listed}
        get_logger(part="mcp").info(
            "tools_offered", actor=caller.actor, tools=len(seen), left_out=len(names) - len(seen)
        )
        tools = tuple(escape(one.name) for one in theirs.values())
        return View(names, seen, Caller(caller.actor, "mcp", caller.scopes, tools))


def _request(
    listing: Listing, arguments: Mapping[str, Any], caller: Caller, meta: Mapping[str, Any]
) -> Request:
    key = _text(meta, KEY)
    return Request(
        listing.name, arguments, caller, key=None if key is None else idempotency_key([key]),
        run_id=_text(meta, RUN), task_id=_text(meta, TASK), session_id=_text(meta, SESSION),
    )  # fmt: skip


def _text(meta: Mapping[str, Any], name: str) -> str | None:
    value = meta.get(name)
    if value is None:
        return None
    if isinstance(value, str) and 0 < len(value) <= MENTION_MAX and value.isprintable():
        return value
    text = f"_meta {name} is not a string of 1 to {MENTION_MAX} printable characters."
    raise Refusal(400, "INVALID_INPUT", text)
