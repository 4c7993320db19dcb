"""The contract suite of the conductor's history: every implementation passes every check here.

Promise: subclass `HistoryContract`, implement `opened`, and pytest collects the checks. Refusal:
nothing here looks into an implementation.
"""

# ruff: noqa: S101, PLR2004  a contract suite asserts, and its values are literal
from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from conductor_sdk.clock import ManualClock, epoch_ms
from conductor_sdk.records import Outgoing
from conductor_state.history_records import HistoryRecords


class PlainEvent(msgspec.Struct, frozen=True):
    """An event as the suite asks for it."""

    sequence: int
    event_id: str
    kind: str
    body: bytes
    at_ms: int


class PlainAnchor(msgspec.Struct, frozen=True):
    """An anchor as the suite asks for it."""

    workspace: str
    size: int
    hash: str
    at_ms: int


class PlainToken(msgspec.Struct, frozen=True):
    """A token as the suite asks for it."""

    token_id: str
    digest: str
    purpose: str
    workspace: str
    issued_ms: int
    expires_ms: int | None = None
    revoked_ms: int | None = None
    used_ms: int | None = None


PLAIN = HistoryRecords(PlainEvent, PlainAnchor, PlainToken)


class HistoryUnderTest(Protocol):
    """The conductor's port, with the suite's records."""

    @property
    def epoch(self) -> str:
        """Random id of the history."""
        ...

    async def append(
        self, workspace: str, events: Sequence[Outgoing], *, again: bool = False
    ) -> list[int]:
        """Append downward events."""
        ...

    async def read(
        self, workspace: str, after: int, limit: int, max_bytes: int
    ) -> list[PlainEvent]:
        """Read downward events."""
        ...

    async def bounds(self, workspace: str) -> tuple[int, int]:
        """Return first and last."""
        ...

    async def forget(self, workspace: str, through: int) -> int:
        """Make a gap."""
        ...

    async def record_push(self, workspace: str, events: Sequence[Outgoing]) -> list[bool]:
        """Store pushed events."""
        ...

    async def pushed(self, workspace: str | None, after: int, limit: int) -> list[PlainEvent]:
        """Read pushed events."""
        ...

    async def workspaces(self) -> list[str]:
        """List workspaces."""
        ...

    async def put_anchor(self, anchor: PlainAnchor) -> None:
        """Keep a journal head."""
        ...

    async def anchors(self, workspace: str) -> list[PlainAnchor]:
        """Return journal heads."""
        ...

    async def put_token(self, token: PlainToken) -> None:
        """Insert or replace a token."""
        ...

    async def token_by_digest(self, digest: str) -> PlainToken | None:
        """Find a token."""
        ...

    async def tokens(self) -> list[PlainToken]:
        """List tokens."""
        ...


def outgoing(*ids: str) -> list[Outgoing]:
    """Make events."""
    return [Outgoing(event_id, "acme-demo:job", event_id.encode()) for event_id in ids]


class HistoryContract(ABC):
    """What hub and server may rely on."""

    @abstractmethod
    def opened(self, clock: ManualClock) -> AbstractAsyncContextManager[HistoryUnderTest]:
        """Open an empty history that reads this clock and makes `PLAIN` records."""

    async def test_each_history_has_an_epoch_of_its_own(self) -> None:
        """A lost database is told from an old one."""
        async with self.opened(ManualClock()) as one, self.opened(ManualClock()) as other:
            assert one.epoch != other.epoch
            assert len(bytes.fromhex(one.epoch)) == 16

    async def test_each_workspace_counts_from_one_without_a_gap(self) -> None:
        """Whatever the others do, at the same time too."""
        async with self.opened(ManualClock()) as history:
            first = await history.append("/a", outgoing("x", "y"))
            other = await history.append("/b", outgoing("x"))
            calls = [history.append("/a", outgoing(f"e{n}", f"f{n}")) for n in range(20)]
            later = await asyncio.gather(*calls)

        assert (first, other) == ([1, 2], [1])
        assert [n for pair in sorted(later) for n in pair] == list(range(3, 43))

    async def test_an_id_keeps_its_first_sequence(self) -> None:
        """Sent again by a client that saw no answer, or twice in one call."""
        async with self.opened(ManualClock()) as history:
            sequences = [
                await history.append("/a", outgoing("x", "y", "x")),
                await history.append("/a", outgoing("z", "y")),
                await history.append("/a", []),
            ]

            assert sequences == [[1, 2, 1], [3, 2], []]
            assert await history.bounds("/a") == (1, 3)

    async def test_a_resend_becomes_a_new_entry(self) -> None:
        """And the first one keeps being the id's own, until it is forgotten."""
        async with self.opened(ManualClock()) as history:
            sequences = [
                await history.append("/a", outgoing("x", "y")),
                await history.append("/a", outgoing("x", "x"), again=True),
                await history.append("/a", outgoing("x")),
            ]
            await history.forget("/a", 1)
            sequences.append(await history.append("/a", outgoing("x", "y")))

            assert sequences == [[1, 2], [3, 4], [1], [3, 2]]
            ids = [event.event_id for event in await history.read("/a", 0, 10, 1 << 20)]
        assert ids == ["y", "x", "x"]

    async def test_events_come_back_as_they_were_given(self) -> None:
        """With their sequence and the time at which they were appended."""
        clock = ManualClock()
        async with self.opened(clock) as history:
            await history.append("/a", outgoing("x"))

            assert await history.read("/a", 0, 10, 1 << 20) == [
                PlainEvent(1, "x", "acme-demo:job", b"x", epoch_ms(clock.now()))
            ]

    async def test_reading_pages_by_sequence_count_and_bytes(self) -> None:
        """The byte limit never hides the next event; other workspaces are not seen."""
        async with self.opened(ManualClock()) as history:
            await history.append("/a", outgoing("aa", "bb", "cc", "dd"))
            await history.append("/b", outgoing("ee"))
            pages = [
                [event.sequence for event in await history.read("/a", after, limit, max_bytes)]
                for after, limit, max_bytes in [
                    (0, 2, 99), (0, 9, 5), (0, 9, 1), (2, 9, 99), (4, 9, 99), (-3, 1, 99),
                ]
            ]  # fmt: skip
            nobody = await history.read("/nobody", 0, 9, 99)

        assert pages == [[1, 2], [1, 2], [1], [3, 4], [], [1]]
        assert nobody == []

    async def test_forgetting_makes_a_gap_and_reuses_no_sequence(self) -> None:
        """What follows goes on where the history was."""
        async with self.opened(ManualClock()) as history:
            empty = await history.bounds("/a")
            await history.append("/a", outgoing("x", "y", "z"))
            some = (await history.forget("/a", 2), await history.bounds("/a"))
            rest = (await history.forget("/a", 99), await history.bounds("/a"))
            nothing = (await history.forget("/a", 99), await history.forget("/nobody", 1))
            anew = await history.append("/a", outgoing("x"))

        assert (empty, some, rest) == ((1, 0), (2, (3, 3)), (1, (4, 3)))
        assert (nothing, anew) == ((0, 0), [4])

    async def test_pushed_events_are_stored_once_by_workspace(self) -> None:
        """In the order in which they came, over all workspaces."""
        async with self.opened(ManualClock()) as history:
            fresh = [
                await history.record_push("/a", outgoing("x", "y", "x")),
                await history.record_push("/b", outgoing("x")),
                await history.record_push("/a", outgoing("y", "z")),
                await history.record_push("/a", []),
            ]
            everything = await history.pushed(None, 0, 10)
            of_a = await history.pushed("/a", 1, 10)
            one = await history.pushed(None, 1, 1)
            nobody = await history.pushed("/nobody", 0, 10)

        assert fresh == [[True, True, False], [True], [False, True], []]
        assert [(e.sequence, e.event_id) for e in everything] == [
            (1, "x"), (2, "y"), (3, "x"), (4, "z"),
        ]  # fmt: skip
        assert [(e.sequence, e.body) for e in of_a] == [(2, b"y"), (4, b"z")]
        assert ([e.sequence for e in one], nobody) == ([2], [])

    async def test_pushed_and_downward_events_do_not_meet(self) -> None:
        """An id may go both ways."""
        async with self.opened(ManualClock()) as history:
            await history.append("/a", outgoing("x"))

            assert await history.record_push("/a", outgoing("x")) == [True]
            assert await history.bounds("/a") == (1, 1)

    async def test_workspaces_are_those_with_events_tokens_or_anchors(self) -> None:
        """Sorted, each once."""
        async with self.opened(ManualClock()) as history:
            await history.append("/d", outgoing("x"))
            await history.record_push("/b", outgoing("x"))
            await history.put_anchor(PlainAnchor("/c", 1, "h", 5))
            await history.put_token(PlainToken("t", "d", "enrollment", "/a", 1))
            await history.put_anchor(PlainAnchor("/d", 1, "h", 5))

            assert await history.workspaces() == ["/a", "/b", "/c", "/d"]

    async def test_anchors_are_kept_in_order(self) -> None:
        """Oldest first, each workspace its own."""
        anchors = [PlainAnchor("/a", size, "h", 10 - size) for size in (1, 2, 2)]
        async with self.opened(ManualClock()) as history:
            for anchor in (anchors[0], PlainAnchor("/b", 9, "i", 1), *anchors[1:]):
                await history.put_anchor(anchor)

            assert await history.anchors("/a") == anchors
            assert await history.anchors("/nobody") == []

    async def test_a_token_is_found_by_its_digest_and_replaced_by_its_id(self) -> None:
        """Issuing, using and revoking are one call."""
        young = PlainToken("t2", "d2", "credential", "/a", 2, 50, None, None)
        old = PlainToken("t1", "d1", "enrollment", "/a", 1)
        used = PlainToken("t1", "d1", "enrollment", "/a", 1, None, 8, 7)
        async with self.opened(ManualClock()) as history:
            await history.put_token(young)
            await history.put_token(old)
            before = await history.tokens()
            await history.put_token(used)

            assert before == [old, young]
            assert await history.tokens() == [used, young]
            assert await history.token_by_digest("d1") == used
            assert await history.token_by_digest("nothing") is None
