"""Looking into `sidecar.db`: is the file whole, and do the counters say what the rows say.

Promise: nothing is changed, and looking ends within its time even on a file of any size. Refusal:
no repair here; `quarantine` does that at the next start.
"""

from __future__ import annotations

import sqlite3
import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from conductor_state.batches import Kinds, from_ranges, unpack_outcomes
from conductor_state.counters import read_counts
from conductor_state.inbound import batch_range
from conductor_state.queries import load_queries
from conductor_state.schema import load_schema

BUDGET_S = 2.0
"""Seconds that one look may keep a writer thread."""
_STEPS = 20_000
"""SQLite instructions between two looks at the time."""
_HEADER = b"SQLite format 3\0"
_VERSION_AT = 60
"""Where SQLite keeps `user_version` in a file: four bytes, big-endian."""


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in one database."""

    problems: list[str] = []
    """In words; empty: none was found."""
    finished: bool = True
    """False: time ran out, and the rest was not looked at."""
    version: int = 0
    pages: int = 0
    claims: int = 0
    """Events whose handlers run now, or ran when a process died."""
    oldest_claim_ms: int | None = None


def stored_version(path: Path) -> int | None:
    """Return the schema version in a file's header; None where that is no database's.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_VERSION_AT + 4)
    if len(head) < _VERSION_AT + 4 or not head.startswith(_HEADER):
        return None
    version: int = struct.unpack_from(">I", head, _VERSION_AT)[0]
    return version


def known_version(name: str) -> int:
    """Return the version of a shipped schema that this program writes: `sidecar`, `journal`."""
    return load_schema(name).version


def inspect_file(path: Path, budget_s: float = BUDGET_S) -> Inspection:
    """Look into a `sidecar.db` that nobody has open; the caller holds the workspace's lock."""
    try:
        with closing(read_only(path)) as connection:
            return inspect(connection, budget_s)
    except sqlite3.Error as error:
        return Inspection(problems=[str(error)])


def read_only(path: Path) -> sqlite3.Connection:
    """Open a database without changing a byte of it."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)


def whole(path: Path) -> str:
    """Return what is wrong with the pages of a file that nobody writes; "" if nothing is."""
    try:
        with closing(read_only(path)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        return str(error)
    return "" if found == "ok" else str(found)


def inspect(connection: sqlite3.Connection, budget_s: float = BUDGET_S) -> Inspection:
    """Look into an open `sidecar.db`, between transactions."""
    end = time.monotonic() + budget_s
    problems: list[str] = []
    finished = True
    connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    try:
        problems += [*_uneven_queue(connection), *_uneven_inbound(connection)]
        found: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            problems.insert(0, found)
    except (sqlite3.DatabaseError, ValueError) as error:
        code = getattr(error, "sqlite_errorcode", None)
        finished = code != sqlite3.SQLITE_INTERRUPT
        if finished:
            problems.insert(0, str(error))
    finally:
        connection.set_progress_handler(None, 0)
    return _described(connection, problems, finished=finished)


def _described(
    connection: sqlite3.Connection, problems: list[str], *, finished: bool
) -> Inspection:
    try:
        claims, oldest = connection.execute(load_queries("inspection")["claims"]).fetchone()
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    except sqlite3.DatabaseError as error:
        return Inspection(problems=problems or [str(error)], finished=finished)
    return Inspection(
        problems=problems, finished=finished, version=version, pages=pages, claims=claims,
        oldest_claim_ms=oldest,
    )  # fmt: skip


def _uneven_queue(connection: sqlite3.Connection) -> Iterator[str]:
    sql = load_queries("inspection")
    rows = {
        kind: (events, size) for kind, events, size in connection.execute(sql["queued_by_kind"])
    }
    for kind, accepted, delivered, events, size, dropped in connection.execute(
        sql["queue_counters"]
    ):
        is_there = rows.pop(kind, (0, 0))
        if is_there != (events, size):
            yield f"outbox of {kind}: counted {events} events, {size} bytes; stored {is_there}"
        if accepted != delivered + events + dropped:
            yield f"outbox of {kind}: accepted {accepted} is not what became of them"
    yield from (f"outbox of {kind}: stored and not counted" for kind in rows)


def _uneven_inbound(connection: sqlite3.Connection) -> Iterator[str]:
    sql = load_queries("inspection")
    if alone := connection.execute(sql["bodies_alone"]).fetchone()[0]:
        yield f"{alone} batches have lost their receipt"
    waiting = _waiting(connection)
    dead = dict(connection.execute(sql["dead_by_kind"]).fetchall())
    counts = read_counts(connection)
    for kind in sorted(counts.keys() | waiting.keys() | dead.keys()):
        of = counts.get(kind)
        if of is None:
            yield f"inbound {kind}: stored and not counted"
            continue
        stored = (waiting[kind], dead.get(kind, 0))
        if stored != (of.buffered, of.dead_lettered):
            yield (
                f"inbound {kind}: counted {of.buffered} waiting and {of.dead_lettered} dead; "
                f"stored {stored[0]} and {stored[1]}"
            )
        if not of.balanced:
            yield f"inbound {kind}: accepted {of.accepted} is not what became of them"


def _waiting(connection: sqlite3.Connection) -> Counter[str]:
    """Count unsettled events by kind, from the rows."""
    waiting: Counter[str] = Counter()
    settlements = load_queries("replay_log")["settlements"]
    for number, events, kinds in connection.execute(load_queries("inspection")["open_batches"]):
        settled = {
            index
            for _, blob in connection.execute(settlements, batch_range(number))
            for run in unpack_outcomes(blob)
            for index in from_ranges(run.ranges)
        }
        left = [index for index in range(events) if index not in settled]
        waiting.update(Kinds.unpack(kinds).count(left))
    return waiting
