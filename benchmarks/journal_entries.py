"""The entries of the journal's benchmark: the size and shape of what a tool call leaves."""

from __future__ import annotations

from typing import Any

from conductor_sdk.chain.entry import Draft, Head, encode_entry, extend, genesis, prepare

LOG_ID = "log-benchmark"
ENTRY_COLUMNS = (
    "chain_version", "sequence", "time", "event_type", "actor", "session_id", "task_id",
    "payload", "previous", "hash",
)  # fmt: skip
_AT = "2026-01-01T00:00:00.000Z"


def draft(number: int) -> Draft:
    """Return an entry with about 250 bytes of payload, of one of seven actors in many sessions."""
    payload = {
        "call_id": f"call-{number:032x}", "tool": "memory:store", "ok": True,
        "input": {"content": "a note of some length, as agents leave them. " * 3,
                  "tags": ["a", "b"], "n": number},
    }  # fmt: skip
    return Draft(
        "BENCHMARK_NOTED", f"pack:p{number % 7}", payload, f"session-{number // 1000}",
        f"task-{number % 50}",
    )  # fmt: skip


def stored_row() -> tuple[Any, ...]:
    """Return such an entry as a row of plain values, in the order of `ENTRY_COLUMNS`."""
    entry = extend(LOG_ID, Head(0, genesis(LOG_ID)), [prepare(draft(0))], _AT)[0]
    return tuple(getattr(entry, name) for name in ENTRY_COLUMNS)


def hashed_bytes(count: int) -> list[bytes]:
    """Return what is hashed of so many entries."""
    drafts = [prepare(draft(number)) for number in range(count)]
    return [encode_entry(e) for e in extend(LOG_ID, Head(0, genesis(LOG_ID)), drafts, _AT)]
