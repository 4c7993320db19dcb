"""The story of one inbound event: what `conductor explain` shows of the downlink.

Promise: every receipt, attempt and outcome within retention, with its time, found through the key
index in a few reads. Refusal: bodies are not part of a story.
"""

from __future__ import annotations

import sqlite3

from conductor_sdk.records import Story, Trace
from conductor_sdk.trace_context import trace_id_of
from conductor_state.batches import Kinds, batch_of, position_of, unpack_outcomes
from conductor_state.inbound import Inbound, batch_range
from conductor_state.key_index import key_of
from conductor_state.queries import load_queries
from conductor_state.receiving import index_in
from conductor_state.settling import DEAD_LETTER
from conductor_state.trace_ids import find_trace


def story(connection: sqlite3.Connection, inbound: Inbound, event_id: str) -> Story | None:
    """Gather what is known of an event; None when nothing is."""
    key = key_of(event_id)
    numbers = set(inbound.keys.find(connection, [key]).get(0, []))
    steps: dict[int, list[Trace]] = {}
    for position, at_ms, what, detail in connection.execute(
        load_queries("replay_log")["steps"], (key,)
    ):
        steps.setdefault(batch_of(position), []).append(Trace(at_ms, what, detail))
    chapters = [
        chapter
        for number in sorted(numbers.union(steps))
        if (chapter := _Chapter.read(connection, inbound, number, key)) is not None
    ]
    if not chapters:
        return None
    traces = [
        trace
        for chapter in chapters
        for trace in (*chapter.beginning, *steps.get(chapter.number, ()), *chapter.end)
    ]
    # Chapters and steps follow each other already; this only puts an attempt before a crash.
    traces.sort(key=lambda trace: trace.at_ms)
    last = chapters[-1]
    state = "dropped" if traces[-1].what == "dropped" else last.state
    given = [chapter.trace_id for chapter in chapters if chapter.trace_id is not None]
    trace_id = given[-1] if given else trace_id_of(event_id, None)
    return Story(event_id, "inbound", last.kind, state, traces, trace_id)


class _Chapter:
    """What one receipt knows of the event: how it came, and how it ended."""

    def __init__(self, number: int, kind: str) -> None:
        self.number = number
        self.kind = kind
        self.state = "waiting"
        self.trace_id: str | None = None
        self.beginning: list[Trace] = []
        self.end: list[Trace] = []

    @classmethod
    def read(
        cls, connection: sqlite3.Connection, inbound: Inbound, number: int, key: bytes
    ) -> _Chapter | None:
        """Read a receipt; None when it is pruned."""
        found = connection.execute(load_queries("replay_log")["receipt"], (number,)).fetchone()
        if found is None:
            return None
        received_ms, epoch, sequence, redriven, kinds, keys, contexts = found
        index = index_in(keys, key)
        position = position_of(number, index)
        chapter = cls(number, Kinds.unpack(kinds).at(index))
        chapter.trace_id = find_trace(contexts, index)
        if not redriven:
            came = Trace(received_ms, "received", f"epoch {epoch}, up to {sequence}")
            chapter.beginning.append(came)
        chapter.beginning.append(Trace(received_ms, "stored", f"position {position}"))
        if position in inbound.claims.owners:
            chapter.state = "running"
        chapter._add_outcome(connection, index)
        return chapter

    def _add_outcome(self, connection: sqlite3.Connection, index: int) -> None:
        sql = load_queries("replay_log")["settlements"]
        for settled_ms, blob in connection.execute(sql, batch_range(self.number)):
            for run in unpack_outcomes(blob):
                pairs = zip(run.ranges[::2], run.ranges[1::2], strict=True)
                if not any(first <= index < first + count for first, count in pairs):
                    continue
                self.state = run.status
                if run.status == DEAD_LETTER:
                    continue  # its attempt and its end are steps
                if run.claimed_ms:
                    self.end.append(Trace(run.claimed_ms, "attempt"))
                self.end.append(Trace(settled_ms, "settled", f"{run.status}: {run.action}"))
