"""A random life of one workspace's stores, and what they promised in it.

`Ledger` holds what the stores had acknowledged: that must be there afterwards. What was asked for
and not answered may be there or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import msgspec

from conductor_sdk.approval import ApprovalRequest
from conductor_sdk.chain.entry import Draft, Head
from conductor_sdk.clock import ManualClock, epoch_ms
from conductor_sdk.records import Arrival, Buried, Delivered, Outgoing, RetryLater, Settled
from conductor_state.approvals import SqliteApprovals
from conductor_state.connection import DatabaseSettings
from conductor_state.database import Database
from conductor_state.dead_letters import SqliteDeadLetters
from conductor_state.errors import ApprovalDecided, StateError
from conductor_state.journal import SqliteJournal
from conductor_state.journal_recovery import open_or_set_aside
from conductor_state.journal_transaction import JournalTransaction, JournalView
from conductor_state.outbox import SqliteOutbox
from conductor_state.quarantine import open_or_quarantine
from conductor_state.replay_log import SqliteReplayLog
from conductor_state.schema import load_schema
from conductor_state.storage import Storage

HOME = Path("/sim/state")
KINDS = ("acme:asked", "acme:told", "beta:seen")
NOTED = "NOTED"
LATER_MS = 10**15
ALL = 1 << 30


@dataclass
class Ledger:
    """What was acknowledged, and what was only asked for."""

    cursor: int = 0
    stored: set[str] = field(default_factory=set)
    settling: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    buried: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    attempts: dict[str, int] = field(default_factory=dict)
    forgotten: bool = False
    queued: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    granted: set[str] = field(default_factory=set)
    using: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    head: Head | None = None
    noted: set[int] = field(default_factory=set)

    @property
    def promises(self) -> int:
        """How many things were acknowledged."""
        each = (self.stored, self.settled, self.keys, self.queued, self.left, self.asked,
                self.granted, self.used, self.noted)  # fmt: skip
        return sum(map(len, each))


@dataclass
class OpenStores:
    """The stores of one life."""

    database: Database
    log: SqliteReplayLog
    letters: SqliteDeadLetters
    outbox: SqliteOutbox
    approvals: SqliteApprovals
    journal: SqliteJournal
    set_aside: list[object]
    """Reports of files that opening took for damaged."""


@asynccontextmanager
async def opened(
    storage: Storage, clock: ManualClock, *, checkpoint_pages: int = 4000
) -> AsyncGenerator[OpenStores]:
    """Open everything as the daemon does, and close it, dead or alive."""
    journal, aside = await open_or_set_aside(HOME / "journal.db", clock=clock, storage=storage)
    try:
        settings = DatabaseSettings(checkpoint_pages=checkpoint_pages)
        database, report = await open_or_quarantine(
            HOME / "sidecar.db", schema=load_schema("sidecar"), clock=clock, settings=settings,
            storage=storage,
        )  # fmt: skip
        try:
            log = await SqliteReplayLog.open(database, seal_at=24)
            yield OpenStores(
                database, log, SqliteDeadLetters(log),
                await SqliteOutbox.open(database, recent_ids=8), SqliteApprovals(database), journal,
                [found for found in (aside, report) if found is not None],
            )  # fmt: skip
        finally:
            await database.close()
    finally:
        await journal.close()


class Life:
    """Asks the stores for things, a few at a time, until they fail or enough was done."""

    def __init__(
        self, stores: OpenStores, ledger: Ledger, dice: Random, clock: ManualClock
    ) -> None:
        self.stores, self.ledger, self.dice, self.clock = stores, ledger, dice, clock
        self.waiting: dict[str, int] = {}
        """Ids of events that wait, with their positions."""
        self.failures: list[StateError] = []

    async def run(self, steps: int) -> None:
        """Do `steps` groups of calls, or fewer: a store that fails ends the life."""
        with suppress(StateError):
            self.waiting = {p.event_id: p.position for p in await self.stores.log.pending(0, ALL)}
        works: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self.receive, 6), (self.settle, 5), (self.put, 4), (self.confirm, 2),
            (self.approve, 2), (self.note, 3), (self.redrive, 1), (self.forget, 1),
        ]  # fmt: skip
        for _ in range(steps):
            self.clock.advance(self.dice.random())
            chosen = self.dice.choices(
                [work for work, _ in works], [weight for _, weight in works],
                k=self.dice.randint(1, 4),
            )  # fmt: skip
            done = await asyncio.gather(*(work() for work in chosen), return_exceptions=True)
            failures = [error for error in done if isinstance(error, BaseException)]
            for error in failures:
                if not isinstance(error, StateError):
                    raise error
                self.failures.append(error)
            if failures:
                return

    def _name(self, what: str) -> str:
        return f"{what}-{self.dice.getrandbits(64):016x}"

    def _body(self) -> bytes:
        return self.dice.randbytes(self.dice.choice((10, 100, 900, 6000)))

    async def receive(self) -> None:
        ledger, dice = self.ledger, self.dice
        old = dice.sample(sorted(ledger.stored), min(len(ledger.stored), dice.randint(0, 3)))
        new = [self._name("evt") for _ in range(dice.randint(1, 12))]
        events = [Arrival(name, dice.choice(KINDS), self._body()) for name in (*old, *new)]
        last = ledger.cursor + dice.randint(1, 20)
        receipt = await self.stores.log.receive("epoch", last, events)
        ledger.cursor = max(ledger.cursor, last)
        ledger.stored.update(new)
        for event, position in zip(events, receipt.positions, strict=True):
            if position is not None:
                self.waiting[event.event_id] = position

    async def settle(self) -> None:
        names = self.dice.sample(sorted(self.waiting), min(len(self.waiting), 5))
        places = {name: self.waiting.pop(name) for name in names}
        outcomes: list[Settled] = []
        for name, position in places.items():
            tried = self.ledger.attempts.get(name, 0) + 1
            match self.dice.randint(0, 4):
                case 0:
                    outcomes.append(Buried(position, tried, "BOOM", "no"))
                case 1:
                    outcomes.append(RetryLater(position, tried, 5, "later"))
                case _:
                    outcomes.append(Delivered(position, "handled", "x", (("acme", name),)))
        await self.stores.log.claim(list(places.values()))
        self.ledger.settling.update(names)
        await self.stores.log.settle(outcomes)
        for name, outcome in zip(names, outcomes, strict=True):
            match outcome:
                case RetryLater(attempts=tried):
                    self.ledger.settling.discard(name)
                    self.ledger.attempts[name] = tried
                    self.waiting[name] = outcome.position
                case Buried():
                    self.ledger.buried.add(name)
                case Delivered():
                    self.ledger.settled.add(name)
                    self.ledger.keys.add(name)

    async def put(self) -> None:
        names = [self._name("out") for _ in range(self.dice.randint(1, 8))]
        kind = self.dice.choice(KINDS)
        await self.stores.outbox.put([Outgoing(name, kind, self._body()) for name in names])
        self.ledger.queued.update(names)

    async def confirm(self) -> None:
        taken = await self.stores.outbox.take(0, self.dice.randint(1, 6), ALL)
        names = {event.event_id for event in taken}
        self.ledger.leaving.update(names)
        await self.stores.outbox.confirm([event.position for event in taken])
        self.ledger.left.update(names)

    async def approve(self) -> None:
        ledger, store, now = self.ledger, self.stores.approvals, epoch_ms(self.clock.now())
        open_ = sorted(ledger.asked - ledger.granted)
        usable = sorted(ledger.granted - ledger.using)
        if usable and self.dice.random() < 0.3:
            ledger.using.add(usable[0])
            if await store.use("t", "ann", usable[0], now) is not None:
                ledger.used.add(usable[0])
        elif open_ and self.dice.random() < 0.5:
            with suppress(ApprovalDecided):
                await store.decide(open_[0], granted=True, by="lou", reason=None, now_ms=now)
            ledger.granted.add(open_[0])
        else:
            name = self._name("ask")
            await store.request(
                ApprovalRequest(name, "p", "t", "ann", ("p:t",), name, "s", now, LATER_MS)
            )
            ledger.asked.add(name)

    async def note(self) -> None:
        number = self.dice.getrandbits(40)
        draft = Draft(NOTED, "tester", {"n": number, "x": "y" * self.dice.choice((5, 4000))})

        def work(transaction: JournalTransaction) -> Head:
            connection = transaction.connection
            connection.execute("CREATE TABLE IF NOT EXISTS notes (n INTEGER) STRICT")
            connection.execute("INSERT INTO notes VALUES (?)", (number,))
            transaction.append(draft)
            return transaction.head

        if self.dice.random() < 0.5:
            self.ledger.head = await self.stores.journal.transaction(work)
            self.ledger.noted.add(number)
        else:
            await self.stores.journal.append("SEEN", "tester", {"n": number})

    async def redrive(self) -> None:
        names = sorted(self.ledger.buried)[:1]
        self.ledger.buried.difference_update(names)
        for pending in await self.stores.letters.redrive(names):
            self.ledger.settling.discard(pending.event_id)
            self.ledger.attempts.pop(pending.event_id, None)
            self.waiting[pending.event_id] = pending.position

    async def forget(self) -> None:
        self.ledger.forgotten = True
        self.ledger.settled.clear()  # these may be forgotten, and are then new when they come again
        now = epoch_ms(self.clock.now())
        await self.stores.log.prune(now, 20)
        await self.stores.outbox.prune(now, 20)


async def losses(stores: OpenStores, ledger: Ledger) -> list[str]:
    """Return what was promised and is not there, and whatever else is wrong."""
    found = [f"set aside: {aside}" for aside in stores.set_aside]
    for check in (_inbound, _outbound, _approvals, _journal):
        found += await check(stores, ledger)
    sound = await stores.database.read(
        lambda c: c.execute("PRAGMA integrity_check").fetchall()
    )  # fmt: skip
    if sound != [("ok",)]:
        found.append(f"sidecar.db: {sound}")
    for counts in (await stores.log.counts(), await stores.outbox.counts()):
        found += [f"{kind} does not balance: {of}" for kind, of in counts.items()
                  if not of.balanced]  # fmt: skip
    return found


async def _inbound(stores: OpenStores, ledger: Ledger) -> list[str]:
    log = stores.log
    cursor = await log.cursor()
    found = [f"cursor {cursor.sequence} < {ledger.cursor}"] * (cursor.sequence < ledger.cursor)
    pending = {event.event_id: event for event in await log.pending(0, ALL)}
    dead = {letter.event_id for letter in await stores.letters.list(limit=100_000)}
    waiting = ledger.stored - ledger.settling - ledger.buried
    found += [f"event {name} is lost" for name in sorted(waiting - pending.keys() - dead)]
    found += [f"event {name} runs again" for name in sorted(ledger.settled & pending.keys())]
    found += [f"letter {name} is lost" for name in sorted(ledger.buried - dead)]
    for name in sorted(ledger.keys):
        if not ledger.forgotten and not await log.has_key("acme", name):
            found.append(f"key {name} is lost")
    found += [f"attempts of {name} are lost" for name, tried in sorted(ledger.attempts.items())
              if name in waiting & pending.keys() and pending[name].attempts < tried]  # fmt: skip
    return found


async def _outbound(stores: OpenStores, ledger: Ledger) -> list[str]:
    queued = {event.event_id for event in await stores.outbox.take(0, 1 << 20, ALL)}
    missing = sorted(ledger.queued - ledger.leaving - queued)
    again = sorted(ledger.left & queued)
    return [f"push {name} is lost" for name in missing] + [f"{name} is sent again"
                                                           for name in again]  # fmt: skip


async def _approvals(stores: OpenStores, ledger: Ledger) -> list[str]:
    found = []
    for name in sorted(ledger.asked):
        approval = await stores.approvals.get(name, now_ms=0)
        state = approval.state if approval is not None else "lost"
        wanted = {"used"} if name in ledger.used else (
            {"used", "granted"} if name in ledger.granted else {"pending", "granted", "used"}
        )  # fmt: skip
        if state not in wanted:
            found.append(f"approval {name} is {state}, not {wanted}")
    return found


async def _journal(stores: OpenStores, ledger: Ledger) -> list[str]:
    anchors = [ledger.head] if ledger.head is not None else []
    verdict = await stores.journal.verify(anchors)
    found = [] if verdict.intact else [f"journal: {verdict}"]

    def look(view: JournalView) -> tuple[object, list[tuple[int]]]:
        c = view.connection
        tables = c.execute("SELECT 1 FROM sqlite_master WHERE name = 'notes'").fetchall()
        rows = c.execute("SELECT n FROM notes ORDER BY n").fetchall() if tables else []
        return c.execute("PRAGMA integrity_check").fetchall(), rows

    sound, rows = await stores.journal.view(look)
    if sound != [("ok",)]:
        found.append(f"journal.db: {sound}")
    noted = [msgspec.json.decode(entry.payload)["n"] async for entry in stores.journal.entries()
             if entry.event_type == NOTED]  # fmt: skip
    if sorted(noted) != [n for (n,) in rows]:
        found.append("the journal and the table beside it are apart")
    found += [f"entry {n} is lost" for n in sorted(ledger.noted - set(noted))]
    return found
