"""Damage at every place of a log: each character of each column, each range, each rewrite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import pytest

from conductor_sdk.chain.batch import Checker
from conductor_sdk.chain.entry import (
    Draft,
    Entry,
    Head,
    encode_entry,
    extend,
    genesis,
    link_hash,
    prepare,
)
from conductor_sdk.chain.verdict import Verdict
from conductor_sdk.chain.verify import Walk, verify

LOG = "log-1"
TEXTS = ("time", "event_type", "actor", "session_id", "task_id", "payload", "previous", "hash")
NUMBERS = ("sequence", "chain_version")
DRAFTS = [
    Draft("PLAN_CREATED", "Liam", {"plan_id": "P-1", "title": "démo"}, "s-1", "t-1"),
    Draft("PLAN_ITEM_ADDED", "Liam", {"item_id": "I-1", "plan_id": "P-1", "version": 1}, "s-1"),
    Draft("TOOL_CALL_STARTED", "mcp:agent", {"call_id": "c-1", "tool": "item:claim"}),
    Draft("PLAN_ITEM_CLAIMED", "mcp:agent", {"item_id": "I-1", "token": 1, "paths": []}),
    Draft("TOOL_CALL_FINISHED", "mcp:agent", {"call_id": "c-1", "result": "ok", "x": None}),
    Draft("APPROVAL_GRANTED", "operator", {"request_id": "apr-1", "by": "local:user"}),
]


def log(*drafts: Draft) -> list[Entry]:
    empty = Head(0, genesis(LOG))
    return extend(LOG, empty, [prepare(each) for each in drafts], "2026-01-01T00:00:00.000Z")


ENTRIES = log(*DRAFTS)
SIZE = len(ENTRIES)


def head(entries: Sequence[Entry], size: int) -> Head:
    return Head(size, entries[size - 1].hash if size else genesis(LOG))


def both(entries: Sequence[Entry], *anchors: Head) -> Verdict:
    """Walk slowly and quickly; both must say the same."""
    slow = verify(entries, LOG, anchors=anchors)
    quick = Walk(LOG, anchors)
    quick.add_rows([_row(entry) for entry in entries])
    assert quick.verdict() == slow
    return slow


def _row(entry: Entry) -> tuple[object, ...]:
    return (
        entry.chain_version, entry.sequence, entry.time, entry.event_type, entry.actor,
        entry.session_id, entry.task_id, entry.payload, entry.previous, entry.hash,
    )  # fmt: skip


def replaced(at: int, **fields: object) -> list[Entry]:
    copy = list(ENTRIES)
    copy[at] = msgspec.structs.replace(copy[at], **fields)
    return copy


def spoiled(text: str) -> Iterator[str]:
    """Change, drop and double each character, and put one at each end."""
    for at, char in enumerate(text):
        other = "x" if char != "x" else "y"
        yield text[:at] + other + text[at + 1 :]
        yield text[:at] + text[at + 1 :]
        yield text[:at] + char + text[at:]
    yield text + " "
    yield " " + text


@pytest.mark.parametrize("column", TEXTS)
def test_any_character_of_any_text_of_any_row_is_guarded(column: str) -> None:
    tried = 0
    for at, entry in enumerate(ENTRIES):
        for value in spoiled(getattr(entry, column)):
            verdict = both(replaced(at, **{column: value}))
            assert (verdict.chain, verdict.first_bad) == ("CORRUPTED", at + 1), value
            tried += 1
    assert tried >= 3 * SIZE or column in {"session_id", "task_id"}


@pytest.mark.parametrize("column", NUMBERS)
@pytest.mark.parametrize("value", [-1, 0, 1, 2, 3, 7, 99, 2**63, 2**64])
def test_any_number_of_any_row_is_guarded(column: str, value: int) -> None:
    for at, entry in enumerate(ENTRIES):
        if getattr(entry, column) != value:
            verdict = both(replaced(at, **{column: value}))
            assert verdict.chain == "CORRUPTED"
            assert verdict.first_bad is not None
            assert verdict.first_bad <= at + 1


def test_any_two_fields_of_a_row_that_change_places_are_found() -> None:
    for at, entry in enumerate(ENTRIES):
        for one in TEXTS:
            for other in TEXTS:
                values = {one: getattr(entry, other), other: getattr(entry, one)}
                if values[one] != values[other]:
                    assert both(replaced(at, **values)).first_bad == at + 1


def test_any_row_that_is_hashed_anew_alone_breaks_the_next_link_or_the_anchor() -> None:
    for at, entry in enumerate(ENTRIES):
        bare = msgspec.structs.replace(entry, actor="forger")
        copy = replaced(at, actor="forger", hash=link_hash(bare))
        last = at + 1 == SIZE
        assert (both(copy).chain == "OK") == last  # the last one has no successor that tells
        assert both(copy, head(ENTRIES, SIZE)).chain == "CORRUPTED"


@pytest.mark.parametrize("start", range(1, SIZE + 1))
def test_a_history_rewritten_from_any_entry_is_caught_by_every_anchor_that_saw_it(
    start: int,
) -> None:
    forged = log(*DRAFTS[: start - 1], *[Draft("NOTED", "forger", {})] * (SIZE - start + 3))

    assert (both(forged).chain, both(forged).completeness) == ("OK", "UNANCHORED")
    for seen in range(SIZE + 1):
        verdict = both(forged, head(ENTRIES, seen))
        if seen < start:  # nothing that this anchor saw was rewritten
            assert (verdict.chain, verdict.completeness) == ("OK", "OK")
        else:
            assert (verdict.chain, verdict.reason) == ("CORRUPTED", "ANCHOR_MISMATCH")


@pytest.mark.parametrize("first", range(1, SIZE + 1))
def test_any_range_taken_out_is_found_with_an_anchor(first: int) -> None:
    for last in range(first, SIZE + 1):
        cut = [*ENTRIES[: first - 1], *ENTRIES[last:]]
        verdict = both(cut, head(ENTRIES, SIZE))
        assert (verdict.intact, verdict.first_bad) == (False, first)
        tail = last == SIZE
        assert verdict.chain == ("OK" if tail else "CORRUPTED")
        assert verdict.completeness == ("TRUNCATED" if tail else "OK")


def test_any_two_rows_that_change_places_and_any_row_twice_are_found() -> None:
    for one in range(SIZE):
        for other in range(SIZE):
            doubled = [*ENTRIES[:other], ENTRIES[one], *ENTRIES[other:]]
            assert both(doubled, head(ENTRIES, SIZE)).chain != "OK"
            if one != other:
                swapped = list(ENTRIES)
                swapped[one], swapped[other] = swapped[other], swapped[one]
                assert both(swapped).chain != "OK"


def test_the_same_entries_do_not_fit_another_log() -> None:
    renamed = [msgspec.structs.replace(entry, log_id="log-2") for entry in ENTRIES]

    assert verify(renamed, "log-2").first_bad == 1
    assert verify(ENTRIES, "log-2").first_bad == 1


def test_the_quick_check_passes_every_sound_row_itself() -> None:
    rows = [_row(entry) for entry in ENTRIES]
    taken: list[bytes] = []

    assert Checker(LOG).sound(rows, 1, genesis(LOG), taken.append) == SIZE
    assert taken == [encode_entry(entry) for entry in ENTRIES]
