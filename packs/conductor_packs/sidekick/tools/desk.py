"""How a Sidekick tool is run: its input read, its scopes checked, its stores handed over.

Promise: every refusal is an answer with a code; a dry run stores and audits nothing. Refusal: what
a tool does is not here, and an unforeseen exception is left to the tool host.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from conductor_packs.sidekick import codes
from conductor_packs.sidekick.context import SidekickContext
from conductor_packs.sidekick.descriptors import I, ToolDescriptor
from conductor_packs.sidekick.records import AuditOp, R, Store
from conductor_packs.sidekick.storage.errors import StorageError
from conductor_packs.sidekick.storage.port import StoragePort, View
from conductor_packs.sidekick.tools.ledger import Ledger, Reader
from conductor_sdk.clock import wire_time
from conductor_sdk.errors import ConductorError
from conductor_sdk.tool import Tool, ToolContext
from conductor_sdk.tool_output import ToolOutput, failed, succeeded

T = TypeVar("T")
Answer = Mapping[str, Any]


class Refused(Exception):
    """The tool answers with a code."""

    def __init__(
        self, code: str, message: str, *,
        details: Mapping[str, Any] | None = None, data: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.output = failed(code, message, details=details, data=data)


class Desk:
    """What a tool works with during one call."""

    def __init__(self, tool: ToolDescriptor[Any], ctx: ToolContext, dry_run: bool) -> None:
        self.tool = tool
        self.ctx = ctx
        self.dry_run = dry_run
        self.now: datetime = ctx.clock.now()
        """The one time of this call."""
        self.stamp = wire_time(self.now)
        self.pack: SidekickContext = ctx.pack
        self._port: StoragePort = self.pack.storage_port()

    @property
    def root_dir(self) -> str:
        """The directory of the records, absolute."""
        return str(self._port.root_dir)

    async def read(self, work: Callable[[Reader], T]) -> T:
        """Run `work` on one consistent state. Creates nothing."""
        return await self._port.read(lambda view: work(Reader(view, self.tool)))

    async def change(self, work: Callable[[Ledger], T]) -> T:
        """Run `work` exclusively and store all of it; in a dry run show what it would answer."""
        tool, actor = self.tool, self.ctx.call.actor
        if self.dry_run:
            return await self._port.read(lambda view: work(Ledger(view, tool, actor, None)))
        return await self._port.change(lambda change: work(Ledger(change, tool, actor, change)))

    async def leave_trace(
        self, op: AuditOp, ids: Sequence[str] = (), details: Mapping[str, Any] | None = None
    ) -> None:
        """Audit what changed no record: the pack does, beyond the scopes of the call.

        A storage that cannot be written does not fail the call, whose evidence is the journal's.
        """
        try:
            await self._port.change(
                lambda change: change.audit(
                    op, self.tool.name, actor=self.ctx.call.actor, ids=ids, details=details
                )
            )
        except (StorageError, OSError) as error:
            self.ctx.log.info("sidekick_trace_skipped", tool=self.tool.name, error=str(error))

    def answer(self, **data: Any) -> Answer:
        """Return the answer; a dry run says so, and what is None is left out."""
        known = {key: value for key, value in data.items() if value is not None}
        return {**known, "dry_run": True} if self.dry_run else known


def runs(
    tool: ToolDescriptor[I],
) -> Callable[[Callable[[I, Desk], Awaitable[Answer]]], Tool]:
    """Make a tool of a function of its read input and a desk."""

    def made(work: Callable[[I, Desk], Awaitable[Answer]]) -> Tool:
        @functools.wraps(work)
        async def call(given: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
            try:
                read = read_input(tool, given)
                check_scopes(tool, ctx)
                dry_run = ctx.call.dry_run or getattr(read, "dry_run", False)
                return succeeded(await work(read, Desk(tool, ctx, dry_run)))
            except Refused as refused:
                return refused.output
            except ConductorError as error:
                return failed(error.code, error.message, details={**error.data, "hint": error.hint})

        return call

    return made


def read_input(tool: ToolDescriptor[I], given: Mapping[str, Any]) -> I:
    """Return the input as the tool's model.

    Raises:
        Refused: `INVALID_INPUT`, with every problem and its JSON pointer.
    """
    try:
        return tool.inputs.model_validate(dict(given))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise invalid(*((_pointer(one["loc"]), _message(one)) for one in found)) from None


def invalid(*problems: tuple[str, str]) -> Refused:
    """Return the refusal of an input: pairs of JSON pointer and message."""
    listed = [{"pointer": pointer, "message": message} for pointer, message in problems]
    text = "; ".join(f"{pointer}: {message}".removeprefix(": ") for pointer, message in problems)
    return Refused(codes.INVALID_INPUT, text, details={"problems": listed})


def found(view: View | Reader, store: Store[R], record_id: str) -> R:
    """Return a record.

    Raises:
        Refused: `NOT_FOUND`.
    """
    record = view.get(store, record_id)
    if record is None:
        kind = store.record.__name__.lower()
        raise Refused(codes.NOT_FOUND, f"there is no {kind} {record_id}", details={"id": record_id})
    return record


def check_scopes(tool: ToolDescriptor[Any], ctx: ToolContext) -> None:
    """Check that the call's scopes reach the tool's own records, the audit trail and the lock.

    Raises:
        ScopeDenied: They do not.
    """
    for scope in tool.needed:
        directory, is_directory = scope.pattern.removesuffix("/**"), scope.pattern.endswith("/**")
        if is_directory:
            ctx.files.directory(directory, scope.access)
        else:
            ctx.files.resolve(directory, scope.access)


def _pointer(location: Sequence[int | str]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in location)


def _message(problem: Mapping[str, Any]) -> str:
    match problem["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is not a field of this tool"
        case _:
            return str(problem["msg"]).removeprefix("Value error, ")
