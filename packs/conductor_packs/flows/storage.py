"""Where runs are kept: the pack's own database.

Promise: what is answered is committed, and a request is taken together with the id of its event or
not at all. Refusal: nothing is run, told or loaded here.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from conductor_packs.flows.errors import KeyConflict, NotFailed
from conductor_packs.flows.records import Completed, Failed, Halted, Outcome, Run, run_id_of
from conductor_packs.flows.requests import RunRequest
from conductor_sdk.clock import Clock, epoch_ms
from conductor_sdk.context import StoragePort

T = TypeVar("T")
_STATEMENT = re.compile(r"^-- name: (\w+)\n(?:-- [^\n]+\n)+(.+?);\n", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a request."""

    run: Run
    fresh: bool
    """False: it was there before."""


class Runs:
    """The runs of a workspace. Creates its tables at first use."""

    def __init__(self, storage: StoragePort, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._made = False

    @property
    def now_ms(self) -> int:
        """The time."""
        return epoch_ms(self._clock.now())

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if not self._made:
            await self._storage.run(_make)
            self._made = True
        return await self._storage.run(work)

    async def take(
        self, request: RunRequest, asked_by: str, *, once: str | None,
        traceparent: str | None = None,
    ) -> Taken | None:  # fmt: skip
        """Keep a request as a run that waits for its turn.

        Args:
            request: What is asked.
            asked_by: The event's id, or the call's.
            once: The id of the event, which is settled with it; None for a call.
            traceparent: Where in a trace it is asked, if anybody said so.

        Returns:
            The run; None where this event was taken before.

        Raises:
            KeyConflict: Its key belongs to another request.
        """
        run_id, now = run_id_of(request, asked_by), self.now_ms
        body = msgspec.json.encode(request)
        given = {
            "run_id": run_id, "flow": request.flow, "request": body, "event_id": asked_by,
            "request_hash": hashlib.sha256(body).hexdigest(), "now": now,
        }  # fmt: skip

        def work(connection: sqlite3.Connection) -> Taken:
            _make(connection)
            known = _get(connection, run_id)
            if known is not None:
                if known.request_hash != given["request_hash"]:
                    raise KeyConflict(f"{request.idempotency_key!r} of {request.flow}")
                return Taken(known, fresh=False)
            connection.execute(sql()["insert"], given)
            if traceparent is not None:
                connection.execute(sql()["trace"], (run_id, traceparent))
            return Taken(_need(connection, run_id), fresh=True)

        if once is None:
            return await self._storage.run(work)
        return await self._storage.run_once(once, work)

    async def get(self, run_id: str) -> Run | None:
        """Return a run."""
        return await self._run(lambda connection: _get(connection, run_id))

    async def traceparent(self, run_id: str) -> str | None:
        """Return where in a trace a run was asked for."""
        row = await self._run(
            lambda connection: connection.execute(sql()["trace_of"], (run_id,)).fetchone()
        )
        return None if row is None else str(row[0])

    async def claim(self, limit: int, *, only: str | None = None) -> list[Run]:
        """Begin the runs whose turn it is, oldest first.

        Args:
            limit: How many at most.
            only: This one, if it waits.
        """
        now = self.now_ms

        def work(connection: sqlite3.Connection) -> list[Run]:
            chosen = [only] if only is not None else [
                row[0]
                for row in connection.execute(sql()["next"], {"now": now, "limit": limit})
            ]  # fmt: skip
            return [
                _need(connection, run_id) for run_id in chosen
                if connection.execute(sql()["claim"], {"run_id": run_id, "now": now}).rowcount
            ]  # fmt: skip

        return await self._run(work)

    async def bind(self, run_id: str, version: str, code_hash: str) -> None:
        """Remember the flow that a run runs with."""
        given = {"run_id": run_id, "version": version, "code_hash": code_hash}
        await self._do("bind", given)

    async def put_back(self, run_id: str, *, after_ms: int = 0) -> None:
        """Let a run wait for its turn again; that was no attempt."""
        now = self.now_ms
        await self._do("put_back", {"run_id": run_id, "not_before": now + after_ms, "now": now})

    async def recover(self) -> int:
        """Queue what the process before this one was at; returns how many."""
        return await self._run(lambda connection: connection.execute(sql()["recover"]).rowcount)

    async def finish(
        self, run_id: str, outcome: Outcome, *, nodes: Mapping[str, Any], took_ms: int,
        checkpoint_id: str | None,
    ) -> Run:  # fmt: skip
        """Keep how a run came to rest; one that halted with its answer there is queued again."""
        given: dict[str, Any] = {
            "run_id": run_id, "nodes": msgspec.json.encode(nodes), "took": took_ms,
            "checkpoint_id": checkpoint_id, "due": None, "halted": 0, "now": self.now_ms,
        }  # fmt: skip
        match outcome:
            case Completed(result):
                given |= {"state": "completed", "outcome": result}
            case Failed(fault):
                given |= {"state": "failed", "outcome": msgspec.json.encode(fault)}
            case Halted(halted_at, waits):
                given |= {
                    "state": "halted", "outcome": msgspec.json.encode(waits), "halted": 1,
                    "checkpoint_id": halted_at, "due": outcome.due_ms,
                }  # fmt: skip
        waiting = {each.id for each in outcome.waits} if isinstance(outcome, Halted) else set[str]()

        def work(connection: sqlite3.Connection) -> Run:
            connection.execute(sql()["finish"], given)
            for wait_id, _ in connection.execute(sql()["answers"], (run_id,)).fetchall():
                if wait_id not in waiting:
                    connection.execute(sql()["drop_answer"], (run_id, wait_id))
            run = _need(connection, run_id)
            if connection.execute(sql()["answers"], (run_id,)).fetchone() is not None:
                connection.execute(sql()["go_on"], {"run_id": run_id, "now": given["now"]})
            return run

        return await self._run(work)

    async def told(self, run_id: str) -> None:
        """Everybody knows how a run came to rest."""
        await self._run(lambda connection: connection.execute(sql()["told"], (run_id,)).rowcount)

    async def untold(self) -> list[Run]:
        """Return what is to be told, oldest first; not all at once."""
        return await self._listed("untold", {})

    async def answer(self, run_id: str, wait_id: str, payload: bytes, *, once: str) -> bool | None:
        """Keep what came for a wait, and let the run go on.

        Returns:
            False: there was an answer before; None: this event was taken before.
        """
        now = self.now_ms

        def work(connection: sqlite3.Connection) -> bool:
            first = connection.execute(sql()["answer"], (run_id, wait_id, payload)).rowcount
            connection.execute(sql()["go_on"], {"run_id": run_id, "now": now})
            return bool(first)

        return await self._storage.run_once(once, work)

    async def answers(self, run_id: str) -> dict[str, Any]:
        """Return what came for a run, by wait."""
        rows = await self._run(
            lambda connection: connection.execute(sql()["answers"], (run_id,)).fetchall()
        )
        return {wait_id: msgspec.json.decode(payload) for wait_id, payload in rows}

    async def due(self) -> list[Run]:
        """Return runs that halted and whose time has come, longest first."""
        return await self._listed("due", {"now": self.now_ms})

    async def go_on(self, run_id: str) -> None:
        """Let a run that halted wait for its turn."""
        await self._do("go_on", {"run_id": run_id, "now": self.now_ms})

    async def again(self, run_id: str, checkpoint_id: str, *, once: str) -> Run | None:
        """Let a run that failed wait for its turn, with its checkpoint.

        Returns:
            The run as it was; None: this event was taken before.

        Raises:
            NotFailed: It has not failed, or not everybody knows yet.
        """
        given = {"run_id": run_id, "checkpoint_id": checkpoint_id, "now": self.now_ms}

        def work(connection: sqlite3.Connection) -> Run:
            run = _need(connection, run_id)
            if not connection.execute(sql()["again"], given).rowcount:
                raise NotFailed(f"{run_id} is {run.state}")
            return run

        return await self._storage.run_once(once, work)

    async def hold(self, run_id: str, after_ms: int) -> None:
        """Look at a run that is due again later."""
        await self._do("hold", {"run_id": run_id, "not_before": self.now_ms + after_ms})

    async def recent(self, limit: int, *, flow: str = "", state: str = "") -> list[Run]:
        """Return the newest runs, of a flow and in a state where these are given."""
        return await self._listed("recent", {"limit": limit, "flow": flow, "state": state})

    async def counts(self) -> dict[str, dict[str, int]]:
        """Return how many runs each flow has in each state."""
        rows = await self._run(lambda connection: connection.execute(sql()["counts"]).fetchall())
        found: dict[str, dict[str, int]] = {}
        for flow, state, count in rows:
            found.setdefault(flow, {})[state] = count
        return found

    async def old(self, before_ms: int) -> list[Run]:
        """Return runs that have ended before then; not all at once."""
        return await self._listed("old", {"before": before_ms})

    async def forget(self, run_id: str) -> None:
        """Forget a run."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(sql()["drop_answers"], (run_id,))
            connection.execute(sql()["drop_trace"], (run_id,))
            connection.execute(sql()["forget"], (run_id,))

        await self._run(work)

    async def _do(self, name: str, given: Mapping[str, Any]) -> None:
        await self._run(lambda connection: connection.execute(sql()[name], given).rowcount)

    async def _listed(self, name: str, given: Mapping[str, Any]) -> list[Run]:
        def work(connection: sqlite3.Connection) -> list[Run]:
            found = connection.execute(sql()[name], given).fetchall()
            return [_need(connection, row[0]) for row in found]

        return await self._run(work)


@cache
def sql() -> Mapping[str, str]:
    """Return the statements of `runs.sql` by name."""
    text = Path(__file__).with_name("runs.sql").read_text(encoding="utf-8")
    return dict(_STATEMENT.findall(text))


def _make(connection: sqlite3.Connection) -> None:
    for name, statement in sql().items():
        if name.startswith("create_"):
            connection.execute(statement)


def _get(connection: sqlite3.Connection, run_id: str) -> Run | None:
    row = connection.execute(sql()["get"], (run_id,)).fetchone()
    if row is None:
        return None
    # The columns stand in the order of the fields; SQLite has no booleans.
    return msgspec.convert(list(row), Run, strict=False, builtin_types=(bytes,))


def _need(connection: sqlite3.Connection, run_id: str) -> Run:
    run = _get(connection, run_id)
    assert run is not None  # noqa: S101  # it was found in the same transaction
    return run
