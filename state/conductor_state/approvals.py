"""Approvals in SQLite: leave for exactly one action, asked for, decided and used once.

Promise: of several callers at most one uses a grant, and nobody who holds it is told so before
that is durable. Refusal: what expired is neither decided nor used, and nothing is granted here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from conductor_sdk.approval import Approval, ApprovalRequest
from conductor_state.approval_rows import as_approval, as_row, decided, shown, used
from conductor_state.database import Database
from conductor_state.errors import ApprovalNotFound
from conductor_state.queries import load_queries

PRUNE_ROWS = 2000
"""Rows that one commit forgets at most, so that others take their turn."""


class SqliteApprovals:
    """`ApprovalStore` in `sidecar.db`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def request(self, request: ApprovalRequest) -> Approval:
        """Store a request, or return the open one for the same action; durable on return.

        Open is one that is pending, or granted and not used, at the time of the request.
        """

        def work(connection: sqlite3.Connection) -> Approval:
            for approval in _of_action(
                connection, request.tool, request.actor, request.input_hash,
                request.requested_at_ms,
            ):  # fmt: skip
                if approval.state in {"pending", "granted"}:
                    return approval
            fresh = Approval(request, "pending")
            connection.execute(load_queries("approvals")["put"], as_row(fresh))
            return fresh

        return await self._database.write(work)

    async def use(self, tool: str, actor: str, input_hash: str, now_ms: int) -> Approval | None:
        """Use up a granted approval for exactly this action; None: there is none.

        At most one caller of several gets it. Without one, a denied approval that has not expired
        is returned as it is. Durable on return.
        """

        def work(connection: sqlite3.Connection) -> Approval | None:
            found = _of_action(connection, tool, actor, input_hash, now_ms)
            for approval in found:
                if approval.state == "granted":
                    return _change(connection, used(approval, now_ms))
            denied = [approval for approval in found if approval.state == "denied"]
            return denied[-1] if denied else None

        return await self._database.write(work)

    async def decide(
        self, request_id: str, *, granted: bool, by: str, reason: str | None, now_ms: int
    ) -> Approval:
        """Grant or deny a pending request; durable on return.

        Raises:
            ApprovalNotFound: No such request.
            ApprovalDecided: It is not pending any more; expired is not pending either.
        """

        def work(connection: sqlite3.Connection) -> Approval:
            found = _find(connection, request_id)
            if found is None:
                raise ApprovalNotFound(request_id)
            return _change(
                connection, decided(found, granted=granted, by=by, reason=reason, now_ms=now_ms)
            )

        return await self._database.write(work)

    async def approvals(
        self, *, states: Sequence[str] = (), limit: int = 100, now_ms: int
    ) -> list[Approval]:
        """Return approvals, newest first; open ones whose time is over show as expired."""
        values = {
            "states": f",{','.join(states)}," if states else "",
            "now": now_ms,
            "limit": limit,
        }

        def work(connection: sqlite3.Connection) -> list[Approval]:
            rows = connection.execute(load_queries("approvals")["page"], values)
            return [shown(as_approval(row), now_ms) for row in rows]

        return await self._database.read(work)

    async def get(self, request_id: str, *, now_ms: int) -> Approval | None:
        """Return one approval, as it shows at `now_ms`."""
        found = await self._database.read(lambda connection: _find(connection, request_id))
        return None if found is None else shown(found, now_ms)

    async def count_pending(self, now_ms: int) -> int:
        """Count the requests that wait for a decision. Cheap."""

        def work(connection: sqlite3.Connection) -> int:
            sql = load_queries("approvals")["count_pending"]
            counted: int = connection.execute(sql, (now_ms,)).fetchone()[0]
            return counted

        return await self._database.read(work)

    async def prune(self, before_ms: int) -> int:
        """Forget approvals whose time was over before then, in small steps; returns how many."""

        def work(connection: sqlite3.Connection) -> int:
            sql = load_queries("approvals")["prune"]
            return connection.execute(sql, (before_ms, PRUNE_ROWS)).rowcount

        total = 0
        while gone := await self._database.write(work):
            total += gone
        return total


def _of_action(
    connection: sqlite3.Connection, tool: str, actor: str, input_hash: str, now_ms: int
) -> list[Approval]:
    sql = load_queries("approvals")["of_action"]
    return [as_approval(row) for row in connection.execute(sql, (input_hash, tool, actor, now_ms))]


def _find(connection: sqlite3.Connection, request_id: str) -> Approval | None:
    sql = load_queries("approvals")["by_request"]
    row = connection.execute(sql, (request_id,)).fetchone()
    return None if row is None else as_approval(row)


def _change(connection: sqlite3.Connection, approval: Approval) -> Approval:
    *columns, checksum = as_row(approval)
    values = (*columns[9:], checksum, approval.request.request_id)
    connection.execute(load_queries("approvals")["change"], values)
    return approval
