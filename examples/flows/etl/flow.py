"""Bytes per customer and five minutes, from an access log into a table, each row once.

The log comes out of order, late and with repetitions. A line that is at most two minutes behind the
newest one still counts, and counts once, by its request id; one that comes after its window is over
goes to the table `late_events`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass

from access_log import Line, read_line

from conductor_flows import Failure, Flow, NodeContext, NodeError, Window, node, trigger
from conductor_flows.ir.model import Idempotency
from conductor_flows.ir.terms import IdempotencyScope

BLOB_READ, DB_WRITE, DEDUPE = "resource::blob::read", "resource::db::write", "resource::dedupe"
MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS

USAGE = """CREATE TABLE IF NOT EXISTS usage (
  customer_id TEXT, window_start INTEGER, window_end INTEGER, bytes INTEGER, requests INTEGER,
  writes INTEGER, PRIMARY KEY (customer_id, window_start)) WITHOUT ROWID"""
UPSERT = """INSERT INTO usage VALUES (?, ?, ?, ?, ?, 1)
  ON CONFLICT (customer_id, window_start) DO UPDATE
  SET bytes = excluded.bytes, requests = excluded.requests, writes = writes + 1"""
LATE = """CREATE TABLE IF NOT EXISTS late_events (
  request_id TEXT PRIMARY KEY, customer_id TEXT, ts INTEGER, bytes INTEGER) WITHOUT ROWID"""
PUT_ASIDE = "INSERT OR IGNORE INTO late_events VALUES (?, ?, ?, ?)"


@dataclass(frozen=True)
class Stored:
    """An object in the store."""

    key: str
    sha256: str


@dataclass(frozen=True)
class Listing:
    """The objects to read, in this order."""

    objects: list[Stored]


@dataclass(frozen=True)
class Usage:
    """What one customer used in one window."""

    customer_id: str
    window_start: int
    window_end: int
    bytes: int
    requests: int
    data_hash: str
    """Of the lines that were counted, in whatever order they came."""


@dataclass(frozen=True)
class Receipt:
    """What became of a row."""

    usage: Usage
    written: bool
    """False: the same row was written before."""


@dataclass(frozen=True)
class Report:
    """What became of a window."""

    window_start: int
    customers: int
    bytes: int
    written: int


@trigger(determinism="strict", summary="Take the list of objects")
async def objects(listing: Listing) -> Listing:
    """Take what was sent, as it is."""
    return listing


@node(effects="read_only", uses=[BLOB_READ], summary="Read an object by its hash")
async def read(stored: Stored, context: NodeContext) -> list[str]:
    """Read the lines of an object; one that is gone or was changed is refused."""
    data: bytes | None = await context.use(BLOB_READ).get(stored.key)
    if data is None:
        raise NodeError(Failure.PERMANENT, f"there is no object {stored.key}")
    if hashlib.sha256(data).hexdigest() != stored.sha256:
        raise NodeError(Failure.PERMANENT, f"{stored.key} is not what was listed")
    return data.decode().splitlines()


@node(determinism="strict", summary="Read a line")
async def parse(text: str) -> Line:
    """Read a line; one that is none fails the run, for good."""
    try:
        return read_line(text)
    except ValueError as error:
        raise NodeError(Failure.SCHEMA_MISMATCH, str(error)) from None


@node(determinism="strict", summary="Bytes by customer")
async def aggregate(window: Window[Line]) -> list[Usage]:
    """Sum up a window; a line that came twice counts once."""
    once = {line.request_id: line for line in window.items}
    by_customer: dict[str, list[Line]] = defaultdict(list)
    for request_id in sorted(once):
        by_customer[once[request_id].customer_id].append(once[request_id])
    return [
        Usage(
            customer_id, window.window_start, window.window_end,
            sum(line.size for line in lines), len(lines),
            hashlib.sha256(repr(lines).encode()).hexdigest()[:16],
        )
        for customer_id, lines in sorted(by_customer.items())
    ]  # fmt: skip


@node(
    kind="activity", effects="effectful", uses=[DB_WRITE, DEDUPE], summary="Write a row",
    idempotency=Idempotency(
        key="customer_id:window_start:window_end:data_hash",
        scope=IdempotencyScope.PARTITION, ttl_ms=DAY_MS,
    ),
)  # fmt: skip
async def upsert(usage: Usage, context: NodeContext) -> Receipt:
    """Write a row, once: its key is committed with it.

    The dedupe store only says whether the key was seen before; the database decides, so a crash
    between the two loses nothing and repeats nothing.
    """
    key = context.idempotency_key
    fresh = await context.use(DEDUPE).put_if_absent(key, DAY_MS / 1000)
    database = context.use(DB_WRITE)
    if fresh:
        await database.execute(USAGE)
    row = (usage.customer_id, usage.window_start, usage.window_end, usage.bytes, usage.requests)
    changed = await database.execute(UPSERT, row, key=key)
    return Receipt(usage, changed is not None)


@node(
    kind="activity", effects="effectful", uses=[DB_WRITE], summary="Put a late line aside",
    idempotency="request_id",
)  # fmt: skip
async def late_events(line: Line, context: NodeContext) -> None:
    """Keep a line that came after its window was over."""
    database = context.use(DB_WRITE)
    await database.execute(LATE)
    row = (line.request_id, line.customer_id, line.ts, line.size)
    await database.execute(PUT_ASIDE, row, key=context.idempotency_key)


@node(determinism="strict", summary="What became of a window")
async def report(receipts: list[Receipt]) -> Report:
    """Sum up what was written."""
    return Report(
        receipts[0].usage.window_start, len(receipts),
        sum(receipt.usage.bytes for receipt in receipts),
        sum(receipt.written for receipt in receipts),
    )  # fmt: skip


flow = Flow("etl_logs", "1.0.0", profile="queue", summary="Bytes by customer and five minutes")
start = flow.add(objects, "trigger")
fetch, lines = flow.add(read), flow.add(parse)
sums, rows = flow.add(aggregate), flow.add(upsert)
late, end = flow.add(late_events), flow.add(report)

flow.for_each(start, fetch, items="/objects")
flow.for_each(fetch, lines)
flow.window(lines, sums, time="/ts", size_ms=5 * MINUTE_MS, lateness_ms=2 * MINUTE_MS, late=late)
flow.for_each(sums, rows, collect=end)
flow.partition(sums, rows, key="customer_id")
flow.delivery(sums, rows, "exactly_once")
flow.buffer(sums, rows, max_items=5000)
flow.timeout(sums, rows, ms=5 * MINUTE_MS)
flow.entrypoint(start, end)
