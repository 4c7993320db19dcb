"""Chain version 0: the original's hashes, and what its hash leaves open."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from conductor_sdk.chain.entry import Head
from conductor_sdk.chain.v0 import UNCOVERED, OriginalRow, original_hash, verify_original

CREATED = (
    '{"owner_agent": "Liam", "plan_id": "P-L3-DEMO-001", "status": "ACTIVE", '
    '"title": "L3 Demo Plan", "version": 1}'
)
CONFLICT = (
    '{"attempted_state": "IN_PROGRESS", "current_version": 2, "expected_version": 1, '
    '"item_id": "I-002", "plan_id": "P-L3-DEMO-001"}'
)
UPDATED = (
    '{"changes": {"title": {"from": "a", "to": "\\u0e44\\u0e17\\u0e22"}}, '
    '"expected_version": 2, "item_id": "I-002", "new_version": 3, "plan_id": "P-L3-DEMO-001"}'
)
VECTORS = [
    ("2025-12-24T09:00:00Z", "PLAN_CREATED", CREATED,
     "659f7d3ff82c1bbc7c030912e98bae4dd6b17dfc8a9c3799fc3e037b873c3f9c"),
    ("2025-12-24T09:00:01Z", "PLAN_CONFLICT_DETECTED", CONFLICT,
     "f0adb4b5b3b7b923e9583a4b9c1ba23a6cab38b06c80b676ca9478085347a840"),
    ("2025-12-24T09:00:02Z", "PLAN_ITEM_UPDATED", UPDATED,
     "c1cd877524c24bf936ed08034da43bfa259dd1574cfca391db57fe7e572a14b9"),
]  # fmt: skip
replace = msgspec.structs.replace


def a_log(size: int = 5, payload: str = "{}") -> list[OriginalRow]:
    rows: list[OriginalRow] = []
    previous = ""
    for at in range(1, size + 1):
        time = f"2025-12-24T09:00:{at:02}Z"
        digest = original_hash(previous, time, "NOTED", payload)
        rows.append(OriginalRow(at, "s", "t", "a", "NOTED", payload, time, previous, digest))
        previous = digest
    return rows


def test_the_three_known_hashes_are_reproduced() -> None:
    previous, found = "", list[str]()
    for time, event_type, payload, _ in VECTORS:
        previous = original_hash(previous, time, event_type, payload)
        found.append(previous)

    assert found == [digest for *_, digest in VECTORS]


def test_an_untouched_log_is_ok_and_unanchored() -> None:
    log = a_log()

    verdict = verify_original(log, recorded_head=log[-1].curr_hash, last_id=5)

    assert (verdict.source, verdict.chain, verdict.completeness) == ("OK", "OK", "UNANCHORED")
    assert (verdict.size, verdict.head, verdict.state) == (5, log[-1].curr_hash, "ABSENT")
    assert verify_original(log, anchors=[Head(5, log[-1].curr_hash)]).completeness == "OK"


def test_an_empty_log_is_empty() -> None:
    verdict = verify_original([], recorded_head="")

    assert (verdict.source, verdict.chain, verdict.intact) == ("EMPTY", "OK", True)


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize(
    "column", ["event_type", "payload_json", "created_ts", "prev_hash", "curr_hash"]
)
@pytest.mark.parametrize("value", ["else", None, 7, b"x", "\udcff"])
def test_any_covered_column_of_any_row_is_guarded(at: int, column: str, value: Any) -> None:
    log = a_log()
    log[at] = replace(log[at], **{column: value})

    verdict = verify_original(log)

    assert (verdict.chain, verdict.first_bad) == ("CORRUPTED", at + 1)


@pytest.mark.parametrize("column", UNCOVERED[1:])
def test_what_the_original_hash_leaves_open_is_known(column: str) -> None:
    log = a_log()
    log[2] = replace(log[2], **{column: "someone else"})

    assert verify_original(log).chain == "OK"


@pytest.mark.parametrize("at", range(4))
def test_any_row_taken_out_before_the_end_is_found(at: int) -> None:
    log = a_log()
    del log[at]

    verdict = verify_original(log)

    assert (verdict.chain, verdict.reason) == ("CORRUPTED", "LINK_BROKEN")
    assert verdict.first_bad == at + 2


@pytest.mark.parametrize("kept", range(5))
def test_a_cut_tail_is_seen_by_what_the_file_records_and_by_anchors(kept: int) -> None:
    log = a_log()
    cut = log[:kept]

    assert verify_original(cut).completeness == "UNANCHORED"
    assert verify_original(cut, last_id=5).completeness == "TRUNCATED"
    anchored = verify_original(cut, anchors=[Head(5, log[-1].curr_hash)])
    assert (anchored.completeness, anchored.reason) == ("TRUNCATED", "TAIL_MISSING")
    recorded = verify_original(cut, recorded_head=log[-1].curr_hash)
    assert recorded.reason == "HEAD_MISMATCH"


def test_a_second_successor_is_a_fork_and_not_tampering() -> None:
    log = a_log()
    digest = original_hash(log[2].prev_hash, "2025-12-24T10:00:00Z", "NOTED", "{}")
    log.append(replace(log[2], id=6, created_ts="2025-12-24T10:00:00Z", curr_hash=digest))

    verdict = verify_original(log)

    assert (verdict.chain, verdict.first_bad) == ("FORKED", 6)


def test_a_rewritten_log_is_caught_by_an_anchor_only() -> None:
    anchor = Head(3, a_log()[2].curr_hash)
    forged = a_log(payload='{"forged": 1}')

    assert verify_original(forged).chain == "OK"
    assert verify_original(forged, anchors=[anchor]).reason == "ANCHOR_MISMATCH"


def test_a_type_that_holds_the_separator_is_refused() -> None:
    digest = original_hash("", "T", "A|B", "C")
    assert digest == original_hash("", "T", "A", "B|C")

    verdict = verify_original([OriginalRow(1, "", "", "", "A|B", "C", "T", "", digest)])

    assert (verdict.chain, verdict.reason) == ("CORRUPTED", "ENTRY_MALFORMED")
