"""The contract suite of the journal: every implementation passes every check here.

Promise: subclass `JournalContract`, give it a fixture `journal`, and pytest collects the checks.
Refusal: nothing here looks into an implementation. The checks need pytest only to collect them.
"""

# ruff: noqa: S101  a contract suite asserts
from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from conductor_sdk.chain.canonical import PayloadRefused
from conductor_sdk.chain.entry import Draft, Entry, EntryRefused, Head, link_hash
from conductor_sdk.chain.verify import Verdict
from conductor_state.errors import StoreClosed

T = TypeVar("T")


class ViewUnderTest(Protocol):
    """One state of a journal."""

    @property
    def connection(self) -> sqlite3.Connection:
        """For tables beside the journal."""
        ...


class CommitUnderTest(ViewUnderTest, Protocol):
    """One transaction of a journal."""

    def append(self, draft: Draft) -> Entry:
        """Append one entry."""
        ...


class JournalUnderTest(Protocol):
    """All that a journal can do."""

    async def create(self) -> None:
        """Make an empty log where there is none."""
        ...

    async def append(
        self,
        event_type: str,
        actor: str,
        payload: Mapping[str, Any],
        *,
        session_id: str = "",
        task_id: str = "",
    ) -> int:
        """Append one entry."""
        ...

    async def append_many(self, drafts: Sequence[Draft]) -> list[int]:
        """Append entries next to each other."""
        ...

    async def head(self) -> tuple[int, str]:
        """Return size and last hash."""
        ...

    async def tail(self, after: int = 0, limit: int = 100) -> list[Entry]:
        """Return entries beyond `after`."""
        ...

    async def latest(self, limit: int = 20) -> list[Entry]:
        """Return the newest entries."""
        ...

    def entries(self, after: int = 0) -> AsyncIterator[Entry]:
        """Iterate over entries beyond `after`."""
        ...

    async def verify(self, anchors: Sequence[Head] = ()) -> Verdict:
        """Walk the log."""
        ...

    async def view(self, work: Callable[[ViewUnderTest], T]) -> T:
        """Read one state."""
        ...

    async def transaction(self, work: Callable[[CommitUnderTest], T]) -> T:
        """Run statements and appends in one commit."""
        ...

    async def close(self) -> None:
        """Release everything."""
        ...


class JournalContract:
    """What a caller may rely on."""

    async def test_a_new_log_is_empty_and_its_head_is_the_genesis_hash(
        self, journal: JournalUnderTest
    ) -> None:
        """An empty log has size 0, a hash to link to, and nothing wrong."""
        await journal.create()

        size, digest = await journal.head()
        verdict = await journal.verify()

        assert size == 0
        assert verdict.head == digest
        assert (verdict.source, verdict.chain) == ("EMPTY", "OK")
        assert await journal.tail() == []

    async def test_sequences_start_at_one_and_have_no_gap(self, journal: JournalUnderTest) -> None:
        """Appends are numbered in the order of the calls."""
        sequences = [await journal.append("NOTED", "tester", {"at": at}) for at in range(5)]

        assert sequences == [1, 2, 3, 4, 5]

    async def test_an_entry_keeps_every_field(self, journal: JournalUnderTest) -> None:
        """What was given comes back, with payload keys in canonical order."""
        await journal.append(
            "NOTED", "tester", {"b": [1, None], "a": "é"}, session_id="s-1", task_id="t-1"
        )

        entry = (await journal.tail())[0]

        assert (entry.event_type, entry.actor) == ("NOTED", "tester")
        assert (entry.session_id, entry.task_id) == ("s-1", "t-1")
        assert entry.payload == '{"a":"é","b":[1,null]}'
        assert entry.time.endswith("Z")
        assert link_hash(entry) == entry.hash

    async def test_each_entry_links_to_the_one_before(self, journal: JournalUnderTest) -> None:
        """The chain starts at the genesis hash and has no break."""
        await journal.create()
        _, expected = await journal.head()
        await journal.append_many([Draft("NOTED", "tester", {"at": at}) for at in range(4)])

        async for entry in journal.entries():
            assert entry.previous == expected
            expected = entry.hash

        assert await journal.head() == (4, expected)

    async def test_entries_appended_together_stand_together(
        self, journal: JournalUnderTest
    ) -> None:
        """Concurrent calls never interleave within a call."""
        batches = [[Draft("NOTED", f"a{n}", {"at": at}) for at in range(7)] for n in range(20)]

        results = await asyncio.gather(*(journal.append_many(batch) for batch in batches))

        assert sorted(n for got in results for n in got) == list(range(1, 141))
        assert all(got == list(range(got[0], got[0] + 7)) for got in results)
        assert (await journal.verify()).chain == "OK"

    async def test_a_refused_draft_refuses_the_whole_call(self, journal: JournalUnderTest) -> None:
        """A float or a bad name in one draft appends none of them."""
        good = Draft("NOTED", "tester", {"at": 1})
        bad = [Draft("NOTED", "tester", {"at": 1.5}), Draft("", "tester", {}),
               Draft("NOTED", "", {}), Draft("NOTED", "a\nb", {})]  # fmt: skip

        refused: list[str] = []
        for draft in bad:
            try:
                await journal.append_many([good, draft])
            except (EntryRefused, PayloadRefused) as error:
                refused.append(error.code)

        assert refused == [
            "JOURNAL_PAYLOAD_REFUSED", "JOURNAL_ENTRY_REFUSED", "JOURNAL_ENTRY_REFUSED",
            "JOURNAL_ENTRY_REFUSED",
        ]  # fmt: skip
        await journal.create()
        assert (await journal.head())[0] == 0

    async def test_tail_pages_forward(self, journal: JournalUnderTest) -> None:
        """`after` and `limit` cut the log into pages."""
        await journal.append_many([Draft("NOTED", "tester", {"at": at}) for at in range(10)])

        page = await journal.tail(after=4, limit=3)

        assert [entry.sequence for entry in page] == [5, 6, 7]
        assert await journal.tail(after=10) == []
        assert [entry.sequence for entry in await journal.latest(2)] == [9, 10]

    async def test_an_anchor_makes_the_verdict_complete(self, journal: JournalUnderTest) -> None:
        """A head that was kept is found again, and a longer one is missed."""
        await journal.append_many([Draft("NOTED", "tester", {"at": at}) for at in range(3)])
        anchor = Head(*await journal.head())
        await journal.append("NOTED", "tester", {})

        assert (await journal.verify()).completeness == "UNANCHORED"
        assert (await journal.verify([anchor])).completeness == "OK"
        longer = Head(9, anchor.hash)
        assert (await journal.verify([anchor, longer])).completeness == "TRUNCATED"
        other = await journal.verify([Head(2, anchor.hash)])
        assert (other.chain, other.first_bad) == ("CORRUPTED", 2)

    async def test_nothing_is_taken_after_close(self, journal: JournalUnderTest) -> None:
        """Closing is idempotent and final."""
        await journal.append("NOTED", "tester", {})
        await journal.close()
        await journal.close()

        refused = ""
        try:
            await journal.append("NOTED", "tester", {})
        except StoreClosed as error:
            refused = error.code

        assert refused == "STORE_CLOSED"

    async def test_a_transaction_keeps_statements_and_entries_together(
        self, journal: JournalUnderTest
    ) -> None:
        """What it appended stands next to each other, and its receipt is the entry."""

        def work(commit: CommitUnderTest) -> list[Entry]:
            commit.connection.execute("CREATE TABLE plan_items (value)")
            commit.connection.execute("INSERT INTO plan_items VALUES (1)")
            return [commit.append(Draft("NOTED", "a", {"at": at}, "s", "t")) for at in (1, 2)]

        entries = await journal.transaction(work)
        assert await journal.tail() == entries
        assert await journal.head() == (2, entries[-1].hash)

    async def test_a_transaction_that_fails_leaves_nothing(self, journal: JournalUnderTest) -> None:
        """Neither tables nor entries; what comes next follows the entries before."""

        def fail(commit: CommitUnderTest) -> None:
            commit.connection.execute("CREATE TABLE plan_items (value)")
            commit.append(Draft("NOTED", "a", {}))
            raise LookupError

        def look(commit: CommitUnderTest) -> list[object]:
            return commit.connection.execute(
                "SELECT name FROM sqlite_master WHERE name = 'plan_items'"
            ).fetchall()

        await journal.append("BEFORE", "a", {})
        failed = False
        try:
            await journal.transaction(fail)
        except LookupError:
            failed = True
        assert failed
        assert await journal.transaction(look) == []
        assert await journal.append("AFTER", "a", {}) == 2  # noqa: PLR2004
        assert (await journal.verify()).chain == "OK"

    async def test_a_view_shows_the_tables_of_the_last_commit(
        self, journal: JournalUnderTest
    ) -> None:
        """And what it raises is raised, and leaves the journal as it was."""

        def make(commit: CommitUnderTest) -> None:
            commit.connection.execute("CREATE TABLE plan_items (value)")
            commit.connection.execute("INSERT INTO plan_items VALUES (1)")

        def look(view: ViewUnderTest) -> list[object]:
            return view.connection.execute("SELECT value FROM plan_items").fetchall()

        def fail(view: ViewUnderTest) -> None:
            look(view)
            raise LookupError

        await journal.transaction(make)
        assert await journal.view(look) == [(1,)]
        failed = False
        try:
            await journal.view(fail)
        except LookupError:
            failed = True
        assert failed
        assert await journal.view(look) == [(1,)]
        assert await journal.append("AFTER", "a", {}) == 1
