"""Stores whose files are flipped or cut, opened as the daemon opens them, and what is left in them.

On real files in memory and with the SQLite of production: here the bytes matter, not the disk.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from conductor_sdk.approval import ApprovalRequest
from conductor_sdk.clock import ManualClock, epoch_ms
from conductor_sdk.records import Arrival, Buried, Delivered, Outgoing
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.app import open_stores
from conductor_sidecar.settings import Settings
from conductor_sidecar.stores import Stores
from conductor_state.errors import StoreCorrupt
from conductor_state.journal_errors import JournalCorrupt

KIND, OTHER, UP = "conductor:asked", "conductor:told", "acme:said"
FAR_MS = 10**15
SETTINGS = Settings()
STARTS_MAX = 3


@dataclass
class Found:
    """What a workspace's stores hold."""

    starts: int = 0
    """Openings until one of them held: 1, or 2 where damage showed only in use."""
    pending: dict[str, bytes] = field(default_factory=dict)
    letters: dict[str, bytes] = field(default_factory=dict)
    queued: dict[str, bytes] = field(default_factory=dict)
    approvals: dict[str, str] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    lost: dict[str, int] = field(default_factory=dict)
    """By direction: dropped{lost}."""
    balanced: bool = True
    told: list[str] = field(default_factory=list)
    """Journal entries that speak of damage."""
    unknown: bool = False
    """Whether one of them says that it cannot be known how much a table held."""


def body(name: str) -> bytes:
    """Make a body that holds its event's id, and is longer than a cell that is never split."""
    return msgspec.json.encode({"id": name, "text": name * 12})


async def fill(workspace: Workspace, *, scale: int, killed: Path | None = None) -> None:
    """Put `scale` of everything into a workspace's stores.

    Args:
        workspace: Whose stores.
        scale: How much.
        killed: Where to copy the workspace to, with its write-ahead log, as a kill leaves it.
    """
    clock = ManualClock()
    async with open_stores(workspace, SETTINGS, clock=clock) as stores:
        for number in range(scale):
            names = [f"evt-{number}-{index}" for index in range(4)]
            kinds = (KIND, OTHER, KIND, OTHER)
            arrivals = [Arrival(n, k, body(n)) for n, k in zip(names, kinds, strict=True)]
            places = (await stores.log.receive("epoch", number + 1, arrivals)).positions
            await stores.log.settle([
                Delivered(places[0] or 0, "handled", "x", (("acme", names[0]),)),
                Buried(places[1] or 0, 3, "BOOM", "no"),
            ])  # fmt: skip
            out = f"out-{number}"
            await stores.outbox.put([Outgoing(out, UP, body(out))])
            await stores.journal.append("NOTED", "tester", {"n": number})
            ask = f"ask-{number}"
            await stores.approvals.request(
                ApprovalRequest(ask, "p", "t", "ann", ("p:t",), ask, "s", 1, FAR_MS)
            )
        if killed is not None:
            copy_of(workspace, killed)


async def examine(workspace: Workspace) -> Found:
    """Open, use everything, and open again where that found damage; what is left at the end.

    Raises:
        StateError: The stores cannot be used any more.
    """
    found = Found()
    clock = ManualClock()
    while True:
        found.starts += 1
        clock.advance(1)
        try:
            async with open_stores(workspace, SETTINGS, clock=clock) as stores:
                await _use(stores, found, clock)
                return found
        except StoreCorrupt:
            if found.starts == STARTS_MAX:
                raise


async def _use(stores: Stores, found: Found, clock: ManualClock) -> None:
    log, outbox = stores.log, stores.outbox
    await log.reap()
    found.pending = {p.event_id: p.body for p in await log.pending(0, 10_000)}
    found.letters = {x.event_id: x.body for x in await stores.dead_letters.list(limit=10_000)}
    found.queued = {q.event_id: q.body for q in await outbox.take(0, 10_000, 1 << 30)}
    listed = await stores.approvals.approvals(limit=10_000, now_ms=2)
    found.approvals = {a.request.request_id: a.state for a in listed}
    found.keys = {
        name for number in range(64) if await log.has_key("acme", name := f"evt-{number}-0")
    }
    inbound, outbound = await log.counts(), await outbox.counts()
    found.balanced = all(of.balanced for of in (*inbound.values(), *outbound.values()))
    found.lost = {
        way: sum(of.dropped.get("lost", 0) for of in counts.values())
        for way, counts in (("inbound", inbound), ("outbound", outbound))
    }
    entries = []
    with suppress(JournalCorrupt):  # damage in its middle is for `conductor log verify`
        entries = await stores.journal.latest(1000)
    marks = ("STORE_QUARANTINED", "JOURNAL_SET_ASIDE")
    found.told = [entry.event_type for entry in entries if entry.event_type in marks]
    found.unknown = any(
        table["lost"] is None
        for entry in entries
        if entry.event_type == marks[0]
        for table in msgspec.json.decode(entry.payload)["tables"]
    )
    await _live(stores, clock)


async def _live(stores: Stores, clock: ManualClock) -> None:
    """A queue that is not dead takes and gives."""
    name = f"new-{clock.now():%H%M%S}"
    receipt = await stores.log.receive("epoch", 1000, [Arrival(name, KIND, body(name))])
    assert receipt.positions[0] is not None, "a new event is taken for a known one"
    await stores.log.claim([receipt.positions[0]])
    await stores.log.settle([Delivered(receipt.positions[0], "handled", "x", (("acme", name),))])
    assert await stores.log.has_key("acme", name)
    [put] = await stores.outbox.put([Outgoing(name, UP, body(name))])
    assert put.status == "queued"
    [event] = [q for q in await stores.outbox.take(0, 10_000, 1 << 30) if q.event_id == name]
    await stores.outbox.confirm([event.position])
    await stores.journal.append("SEEN", "tester", {"n": 1})
    await stores.log.prune(1, 10)
    await stores.outbox.expire(epoch_ms(clock.now()))
    assert all(of.balanced for of in (await stores.log.counts()).values())


def copy_of(workspace: Workspace, folder: Path) -> Workspace:
    """Copy a workspace; the folder is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(workspace.root, folder, symlinks=True)
    return resolve_workspace(folder)


def faults(before: Found, after: Found, *, counted: bool = True) -> list[str]:
    """Return what damage did that it must not do.

    Args:
        before: What the stores held.
        after: What they hold after the damage and its repair.
        counted: Whether what is missing must have been counted.
    """
    wrong = [f"event {name} is another" for name, held in after.pending.items()
             if held != body(name)]  # fmt: skip
    wrong += [f"letter {name} is another" for name, held in after.letters.items()
              if held != before.letters.get(name)]  # fmt: skip
    queued = {name: held for name, held in after.queued.items() if not name.startswith("new-")}
    wrong += [f"push {name} is another" for name, held in queued.items()
              if held != before.queued.get(name)]  # fmt: skip
    wrong += [f"approval {name} is {state}" for name, state in after.approvals.items()
              if state != before.approvals.get(name)]  # fmt: skip
    wrong += ["the counts do not balance"] * (not after.balanced)
    there = after.pending.keys() | after.letters.keys()
    missing = len((before.pending.keys() | before.letters.keys()) - there)
    unsent = len(before.queued.keys() - queued.keys())
    if counted and not after.unknown:
        if missing != after.lost["inbound"]:
            wrong.append(f"{missing} events are missing, {after.lost['inbound']} are counted")
        if unsent != after.lost["outbound"]:
            wrong.append(f"{unsent} pushes are missing, {after.lost['outbound']} are counted")
    if counted and (missing or unsent) and not after.told:
        wrong.append("nobody was told")
    return wrong
