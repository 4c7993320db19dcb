"""The journal against a list: any mix of callers, files and attacks gives the verdict it must."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from conductor_sdk.chain.entry import Draft, Head
from conductor_sdk.chain.verify import Verdict
from conductor_state.journal import SqliteJournal
from conductor_state.memory.journal import MemoryJournal

T = TypeVar("T")

NAMES = st.sampled_from(["tester", "pack:plan", "ümlaut", "a|b", "x" * 256])
PAYLOADS = st.dictionaries(
    st.text(max_size=3), st.integers(-9, 9) | st.text(max_size=5) | st.none(), max_size=3
)
DRAFTS = st.builds(
    Draft, st.sampled_from(["NOTED", "a.b:c-d_e"]), NAMES, PAYLOADS,
    st.sampled_from(["", "s-1"]), st.sampled_from(["", "t-1"]),
)  # fmt: skip
COLUMNS = ("chain_version", "time", "event_type", "actor", "session_id", "task_id", "payload",
           "previous", "hash")  # fmt: skip


class JournalMachine(RuleBasedStateMachine):
    """Two connections and an in-memory twin; the model is the list of drafts."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="journal-machine-"))
        self.path = self.folder / "journal.db"
        self.files = [SqliteJournal(self.path), SqliteJournal(self.path)]
        self.twin = MemoryJournal()
        self.model: list[Draft] = []
        self.anchors: list[Head] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize()
    def make(self) -> None:
        self.run(self.files[0].create())

    @rule(which=st.integers(0, 1), drafts=st.lists(DRAFTS, max_size=4))
    def append(self, which: int, drafts: list[Draft]) -> None:
        expected = list(range(len(self.model) + 1, len(self.model) + len(drafts) + 1))

        assert self.run(self.files[which].append_many(drafts)) == expected
        assert self.run(self.twin.append_many(drafts)) == expected
        self.model += drafts

    @rule(batches=st.lists(st.lists(DRAFTS, min_size=1, max_size=3), min_size=2, max_size=4))
    def append_at_once(self, batches: list[list[Draft]]) -> None:
        """Callers of both connections at the same time: each batch stays together."""

        async def race() -> list[list[int]]:
            calls = [self.files[n % 2].append_many(batch) for n, batch in enumerate(batches)]
            return await asyncio.gather(*calls)

        placed = dict(zip(map(tuple, self.run(race())), batches, strict=True))
        in_order = [draft for place in sorted(placed) for draft in placed[place]]

        expected = list(range(len(self.model) + 1, len(self.model) + len(in_order) + 1))
        assert [n for place in sorted(placed) for n in place] == expected
        self.run(self.twin.append_many(in_order))
        self.model += in_order

    @rule(which=st.integers(0, 1))
    def reopen(self, which: int) -> None:
        self.run(self.files[which].close())
        self.files[which] = SqliteJournal(self.path)

    @rule()
    def keep_an_anchor(self) -> None:
        self.anchors.append(Head(*self.run(self.files[0].head())))

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def attack_a_copy(self, data: st.DataObject) -> None:
        """Change, take out or cut; a copy, so that the machine goes on."""
        sequence = data.draw(st.integers(1, len(self.model)), label="sequence")
        column = data.draw(st.sampled_from([*COLUMNS, "row", "tail"]), label="what")
        whole = Head(*self.run(self.files[0].head()))
        copy = self.folder / "copy.db"
        shutil.copy(self.path, copy)
        _attack(copy, column, sequence)

        verdict = self.run(_verify(copy, [whole]))

        assert not verdict.intact
        assert verdict.first_bad == sequence

    @invariant()
    def both_hold_what_the_model_holds(self) -> None:
        stored = self.run(self.files[1].tail(0, 10_000))
        twin = self.run(self.twin.tail(0, 10_000))

        def facts(entries: list[Any]) -> list[tuple[Any, ...]]:
            return [(e.sequence, e.event_type, e.actor, e.session_id, e.task_id, e.payload)
                    for e in entries]  # fmt: skip

        assert facts(stored) == facts(twin)
        assert [entry.actor for entry in stored] == [draft.actor for draft in self.model]

    @invariant()
    def the_chain_is_sound_and_reaches_every_anchor(self) -> None:
        verdict = self.run(self.files[0].verify(self.anchors))

        assert (verdict.chain, verdict.size) == ("OK", len(self.model))
        assert verdict.completeness == ("OK" if self.anchors else "UNANCHORED")

    def teardown(self) -> None:
        for file in self.files:
            self.run(file.close())
        self.runner.close()
        shutil.rmtree(self.folder)


def _attack(path: Path, what: str, sequence: int) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    triggers = connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall()
    for (name,) in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    match what:
        case "row":
            connection.execute("DELETE FROM journal WHERE sequence = ?", (sequence,))
        case "tail":
            connection.execute("DELETE FROM journal WHERE sequence >= ?", (sequence,))
        case "chain_version":
            connection.execute(
                "UPDATE journal SET chain_version = 9 WHERE sequence = ?", (sequence,)
            )
        case column:
            connection.execute(
                f"UPDATE journal SET {column} = {column} || 'x' WHERE sequence = ?", (sequence,)
            )
    connection.close()


async def _verify(path: Path, anchors: list[Head]) -> Verdict:
    journal = SqliteJournal(path)
    try:
        return await journal.verify(anchors)
    finally:
        await journal.close()


JournalMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=12, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
TestJournal = JournalMachine.TestCase
