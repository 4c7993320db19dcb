"""The chain: no two entries have the same bytes, and no change of a log goes unseen."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor_sdk.chain.canonical import PayloadRefused, canonical_json, parse_payload
from conductor_sdk.chain.entry import (
    Draft,
    Entry,
    EntryRefused,
    Head,
    encode_entry,
    extend,
    genesis,
    link_hash,
    prepare,
)
from conductor_sdk.chain.verify import Walk, verify

LOG = "log-test"
TIME = "2026-01-01T00:00:00.000Z"
replace = msgspec.structs.replace


def a_log(size: int, *, log_id: str = LOG, actor: str = "tester") -> list[Entry]:
    drafts = [prepare(Draft("NOTED", actor, {"at": at}, "s", "t")) for at in range(1, size + 1)]
    return extend(log_id, Head(0, genesis(log_id)), drafts, TIME)


def rehashed(entry: Entry, **changes: Any) -> Entry:
    changed = replace(entry, **changes)
    return replace(changed, hash=link_hash(changed))


# --- canonical JSON ---------------------------------------------------------------------------


def test_keys_are_sorted_by_utf16_code_units_without_white_space() -> None:
    text = canonical_json({"b": [1, {"z": None, "a": True}], "\ufb33": 1, "\U0001f600": 2, "é": ""})

    assert text == '{"b":[1,{"a":true,"z":null}],"é":"","\U0001f600":2,"\ufb33":1}'


@pytest.mark.parametrize(
    ("payload", "where"),
    [
        ({"a": {"b": [0, 1.5]}}, "/a/b/1 is a float"),
        ({"a": float("nan")}, "/a is a float"),
        ({"a": 2**53}, "/a is an integer beyond"),
        ({"a": {1: 2}}, "/a/1: a key is not a string"),
        ({"a": "\ud800"}, "/a holds half a character"),
        ({"a": b"x"}, "/a is a bytes"),
        ({"a": {1}}, "/a is a set"),
    ],
)
def test_what_languages_print_differently_is_refused_with_its_place(
    payload: Any, where: str
) -> None:
    with pytest.raises(PayloadRefused, match=where):
        canonical_json(payload)


def test_depth_and_length_are_bounded() -> None:
    deep: Any = {}
    for _ in range(40):
        deep = {"a": deep}

    with pytest.raises(PayloadRefused, match="nested deeper"):
        canonical_json(deep)
    with pytest.raises(PayloadRefused, match="longer than"):
        canonical_json({"a": "x" * 1_048_577})


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}', '{"b":1,"a":1}', '{"a": 1}', '{"a":1.0}', '{"a":NaN}', "[]", "",
        '{"a":"\\u00e9"}', '{"a":9007199254740993}', "[" * 100_000, '{"a":1}\n',
    ],
)  # fmt: skip
def test_stored_text_that_no_writer_makes_is_refused(text: str) -> None:
    with pytest.raises(PayloadRefused):
        parse_payload(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_a_payload_comes_back_as_it_was(payload: dict[str, Any]) -> None:
    assert parse_payload(canonical_json(payload)) == payload


# --- entries ----------------------------------------------------------------------------------


def test_genesis_binds_the_log_id() -> None:
    preimage = b""
    for part in (b"conductor.journal.genesis", None, b"log-test"):
        data = part if part is not None else b""
        prefix = len(data).to_bytes(4, "big") if part is not None else (1).to_bytes(8, "big")
        preimage += prefix + data

    assert genesis("log-test") == hashlib.sha256(preimage).hexdigest()
    assert genesis("log-test") != genesis("log-tesu")


def test_the_first_entry_of_a_known_log_has_a_known_hash() -> None:
    entry = a_log(1)[0]

    assert entry.hash == "3e2789998c6cd6f4462bf43893a7e9f27a3aeaa1b1a09a0ba00b4f07c2396548"


@pytest.mark.parametrize("field", [f for f in Entry.__struct_fields__ if f != "hash"])
def test_every_field_is_covered_by_the_hash(field: str) -> None:
    entry = a_log(1)[0]
    value = getattr(entry, field)
    changed = replace(entry, **{field: value + 1 if isinstance(value, int) else value + "x"})

    assert link_hash(changed) != entry.hash


text_fields = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
entries = st.builds(
    Entry,
    chain_version=st.integers(0, 3), log_id=text_fields, sequence=st.integers(0, 300),
    time=text_fields, event_type=text_fields, actor=text_fields, session_id=text_fields,
    task_id=text_fields, payload=text_fields, previous=text_fields, hash=st.just(""),
)  # fmt: skip


@given(entries, entries)
def test_two_different_entries_never_have_the_same_bytes(one: Entry, other: Entry) -> None:
    assert (encode_entry(one) == encode_entry(other)) == (one == other)


@given(text_fields, text_fields)
def test_moving_a_character_over_a_field_border_changes_the_bytes(left: str, right: str) -> None:
    entry = a_log(1)[0]
    one = replace(entry, actor=left + "|", session_id=right)
    other = replace(entry, actor=left, session_id="|" + right)

    assert encode_entry(one) != encode_entry(other)


@pytest.mark.parametrize(
    "draft",
    [
        Draft("", "a", {}), Draft("A B", "a", {}), Draft("A|B", "a", {}), Draft("X" * 129, "a", {}),
        Draft("NOTED", "", {}), Draft("NOTED", "a\x1b[2J", {}), Draft("NOTED", "a" * 257, {}),
        Draft("NOTED", "a", {}, "s\n"), Draft("NOTED", "a", {}, "", "\x00"),
        Draft("NOTED", "\ud800", {}),
    ],
)  # fmt: skip
def test_a_name_of_the_wrong_shape_is_refused(draft: Draft) -> None:
    with pytest.raises(EntryRefused):
        prepare(draft)


# --- the walk ---------------------------------------------------------------------------------


def test_an_untouched_log_is_ok_and_unanchored() -> None:
    log = a_log(5)

    verdict = verify(log, LOG, recorded=Head(5, log[-1].hash))

    assert (verdict.source, verdict.chain, verdict.completeness) == ("OK", "OK", "UNANCHORED")
    assert (verdict.size, verdict.head, verdict.first_bad) == (5, log[-1].hash, None)
    assert verdict.intact


def test_an_anchor_that_fits_makes_it_complete() -> None:
    log = a_log(5)
    anchors = [Head(0, genesis(LOG)), Head(3, log[2].hash), Head(5, log[4].hash)]

    assert verify(log, LOG, anchors=anchors).completeness == "OK"


@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("field", Entry.__struct_fields__)
def test_any_changed_field_of_any_entry_is_found_at_its_place(at: int, field: str) -> None:
    log = a_log(6)
    value = getattr(log[at], field)
    log[at] = replace(log[at], **{field: value + 40 if isinstance(value, int) else value + "x"})

    verdict = verify(log, LOG)

    assert (verdict.chain, verdict.first_bad) == ("CORRUPTED", at + 1)
    assert verdict.reason in {"ENTRY_ALTERED", "ENTRY_MALFORMED"}


@pytest.mark.parametrize("value", [None, 7, 1.5, b"x", -1, 2**70, "\ud800"])
@pytest.mark.parametrize("field", Entry.__struct_fields__)
def test_a_value_of_any_type_is_a_verdict_and_not_a_crash(field: str, value: Any) -> None:
    log = a_log(3)
    log[1] = replace(log[1], **{field: value})

    verdict = verify(log, LOG)

    assert (verdict.chain, verdict.first_bad) == ("CORRUPTED", 2)


@pytest.mark.parametrize("at", range(5))
def test_an_entry_taken_out_before_the_end_is_missed(at: int) -> None:
    log = a_log(6)
    whole = Head(6, log[-1].hash)
    del log[at]

    verdict = verify(log, LOG, anchors=[whole])

    assert (verdict.chain, verdict.completeness) == ("CORRUPTED", "OK")
    assert (verdict.reason, verdict.first_bad) == ("ENTRY_MISSING", at + 1)


def test_two_entries_that_changed_places_are_found() -> None:
    log = a_log(4)
    log[1], log[2] = log[2], log[1]

    verdict = verify(log, LOG)

    assert (verdict.chain, verdict.first_bad) == ("CORRUPTED", 2)


@pytest.mark.parametrize("parent", [0, 1, 3])
def test_a_second_successor_is_a_fork_wherever_it_branches_off(parent: int) -> None:
    log = a_log(4)
    previous = genesis(LOG) if parent == 0 else log[parent - 1].hash
    log.append(rehashed(log[-1], sequence=5, previous=previous, actor="other"))

    verdict = verify(log, LOG)

    assert (verdict.chain, verdict.reason, verdict.first_bad) == ("FORKED", "FORKED", 5)


def test_two_entries_with_one_sequence_are_a_fork() -> None:
    log = a_log(4)
    log.insert(3, rehashed(log[3], actor="other"))

    verdict = verify(log, LOG)

    assert (verdict.chain, verdict.first_bad) == ("FORKED", 4)


def test_entries_of_another_log_do_not_fit() -> None:
    log = a_log(4)
    log[2:] = a_log(4, log_id="log-else")[2:]

    assert verify(log, LOG).first_bad == 3
    assert verify(a_log(4, log_id="log-else"), LOG).chain == "CORRUPTED"


def test_a_cut_tail_is_seen_with_an_anchor_and_not_without() -> None:
    log = a_log(6)
    anchor = Head(6, log[-1].hash)
    cut = log[:4]
    recorded = Head(4, cut[-1].hash)

    assert verify(cut, LOG, recorded=recorded).completeness == "UNANCHORED"
    verdict = verify(cut, LOG, recorded=recorded, anchors=[anchor])
    assert (verdict.chain, verdict.completeness) == ("OK", "TRUNCATED")
    assert (verdict.reason, verdict.first_bad, verdict.intact) == ("TAIL_MISSING", 5, False)


def test_a_cut_tail_is_seen_by_the_logs_own_record_too() -> None:
    log = a_log(6)

    verdict = verify(log[:4], LOG, recorded=Head(6, log[-1].hash))

    assert (verdict.completeness, verdict.first_bad) == ("TRUNCATED", 5)


def test_the_whole_log_taken_away_is_truncated() -> None:
    verdict = verify([], LOG, anchors=[Head(2, "0" * 64)])

    assert (verdict.source, verdict.completeness, verdict.first_bad) == ("EMPTY", "TRUNCATED", 1)


@pytest.mark.parametrize("size", [4, 9])
def test_a_consistently_rewritten_log_is_caught_by_an_anchor(size: int) -> None:
    anchor = Head(4, a_log(4)[-1].hash)
    forged = a_log(size, actor="forger")

    assert verify(forged, LOG).chain == "OK"
    verdict = verify(forged, LOG, anchors=[anchor], recorded=Head(size, forged[-1].hash))
    assert (verdict.chain, verdict.reason) == ("CORRUPTED", "ANCHOR_MISMATCH")
    assert verdict.first_bad == 4


def test_a_record_that_does_not_know_the_last_entry_is_a_contradiction() -> None:
    log = a_log(4)

    behind = verify(log, LOG, recorded=Head(3, log[2].hash))
    other = verify(log, LOG, recorded=Head(4, "0" * 64))

    assert (behind.chain, behind.reason, behind.first_bad) == ("CORRUPTED", "HEAD_MISMATCH", 4)
    assert (other.chain, other.reason, other.first_bad) == ("CORRUPTED", "HEAD_MISMATCH", 4)


def test_a_payload_that_is_hashed_but_not_canonical_is_named() -> None:
    log = a_log(2)
    log[1] = rehashed(log[1], payload='{"at": 2}')

    verdict = verify(log, LOG)

    assert (verdict.reason, verdict.first_bad) == ("PAYLOAD_NOT_CANONICAL", 2)


def test_an_unreadable_rest_is_corrupted_after_the_last_good_entry() -> None:
    walk = Walk(LOG)
    for entry in a_log(3):
        walk.add(entry)
    walk.broken("database disk image is malformed")

    verdict = walk.verdict()

    assert (verdict.chain, verdict.reason, verdict.first_bad) == ("CORRUPTED", "LOG_UNREADABLE", 4)


@given(st.data())
def test_a_random_splice_of_two_logs_never_passes_an_anchored_walk(data: st.DataObject) -> None:
    one, other = a_log(8), a_log(8, actor="other")
    anchor = Head(8, one[-1].hash)
    picks = data.draw(st.lists(st.sampled_from(one + other), max_size=12))

    verdict = verify(picks, LOG, anchors=[anchor])

    assert verdict.intact == (picks[:8] == one and len(picks) == 8)
