from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor_sdk.clock import ManualClock
from conductor_sdk.errors import EventMalformed
from conductor_sdk.event import (
    KERNEL_KINDS,
    encode_event,
    event_from_fields,
    is_event_id,
    is_kind,
    keyed_event_id,
    parse_event,
)
from conductor_sdk.event_builder import build_kernel_event_v2, random_event_id

NESTED: dict[str, Any] = {
    "schema_version": 2, "kind": "conductor:recovery_requested", "event_id": "evt-abc",
    "timestamp": "2026-04-20T00:00:00Z", "from": "ws-test", "payload": {"wu_id": "acme-job-1"},
}  # fmt: skip


def encoded(**changes: Any) -> bytes:
    return json.dumps({**NESTED, **changes}).encode()


def test_a_nested_event_is_read_as_it_is() -> None:
    event = parse_event(encoded())

    assert ("evt-abc", "ws-test") == (event.event_id, event.from_)
    assert {"wu_id": "acme-job-1"} == event.payload
    assert datetime(2026, 4, 20, tzinfo=UTC) == event.time
    assert NESTED == json.loads(encode_event(event))


def test_a_flat_event_is_folded_into_its_payload() -> None:
    flat = {k: v for k, v in NESTED.items() if k != "payload"} | {"wu_id": "acme-job-1"}

    assert parse_event(encoded()) == parse_event(json.dumps(flat).encode())


def test_fields_beside_a_payload_join_it_and_a_clash_is_refused() -> None:
    assert {"wu_id": "acme-job-1", "n": 1} == parse_event(encoded(n=1)).payload
    with pytest.raises(EventMalformed, match="wu_id"):
        parse_event(encoded(wu_id="other"))


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 3}, {"schema_version": True}, {"schema_version": "2"},
        {"kind": "NoSlug"}, {"kind": "a:B"}, {"kind": "a:b:c"}, {"kind": "unknown_bare"},
        {"kind": "a:" + "b" * 200}, {"event_id": ""}, {"event_id": "x" * 129},
        {"event_id": "a\nb"}, {"event_id": 7}, {"timestamp": "2026-04-20T00:00:00+00:00"},
        {"timestamp": "2026-04-20 00:00:00Z"}, {"timestamp": "yesterday"}, {"timestamp": None},
        {"from": ""}, {"from": "\u0085"}, {"payload": []}, {"payload": None}, {"payload": "x"},
    ],
    ids=str,
)  # fmt: skip
def test_a_malformed_event_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(EventMalformed):
        parse_event(encoded(**changes))


@given(st.binary(max_size=300))
def test_any_bytes_are_an_event_or_a_coded_refusal(raw: bytes) -> None:
    with contextlib.suppress(EventMalformed):
        parse_event(raw)


def test_a_refusal_names_the_same_field_in_every_process() -> None:
    code = (
        "from conductor_sdk.event import parse_event\n"
        "from conductor_sdk.errors import EventMalformed\n"
        "try: parse_event(b'{\"schema_version\": 2}')\n"
        "except EventMalformed as error: print(error.detail)"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in range(4)
    }  # fmt: skip
    assert {"Expected `str`, got `null` - at `$.kind`\n"} == said


def test_very_deep_json_is_refused_without_a_crash() -> None:
    with pytest.raises(EventMalformed):
        parse_event(b'{"payload":' + b"[" * 200_000 + b"]" * 200_000 + b"}")


def test_all_kernel_kinds_pass_flat_and_unchanged_both_ways() -> None:
    assert len(KERNEL_KINDS) == 17
    for kind in KERNEL_KINDS:
        flat = {
            "schema_version": 1,
            "timestamp": "2026-01-01T00:00:00Z",
            "kind": kind,
            "task_id": "t",
        }
        event = parse_event(json.dumps(flat).encode())

        assert flat == json.loads(encode_event(event))
        assert event.event_id.startswith("evt-")


def test_the_id_of_a_version_1_event_depends_on_its_content_not_on_the_order_of_its_keys() -> None:
    flat = {"schema_version": 1, "timestamp": "2026-01-01T00:00:00Z", "kind": "task_created"}
    one, two = {**flat, "a": 1, "b": 2}, {"b": 2, "a": 1, **flat}

    assert event_from_fields(one).event_id == event_from_fields(two).event_id
    assert event_from_fields(one).event_id != event_from_fields({**one, "a": 3}).event_id


def test_the_same_key_gives_the_same_id_and_every_part_counts() -> None:
    first = keyed_event_id("ws", "a:b", "k")
    others = [("w", "sa:b", "k"), ("ws", "a:b", "kk"), ("ws2", "a:b", "k"), ("ws", "a:c", "k")]

    assert first == keyed_event_id("ws", "a:b", "k")
    assert first not in {keyed_event_id(*other) for other in others}


def test_the_builder_folds_fields_and_takes_the_time_from_its_clock() -> None:
    fields = {"kind": "acme-demo:job_completed", "from": "ws-test", "job_id": "job-1"}
    event = build_kernel_event_v2(fields, idempotency_key="job-1:completed", clock=ManualClock())

    assert {"job_id": "job-1"} == event.payload
    assert event.timestamp == "2026-01-01T00:00:00.000Z"
    assert event.schema_version == 2
    assert event == parse_event(event.to_json())


def test_random_ids_sort_by_their_time() -> None:
    clock, ids = ManualClock(), []
    for _ in range(50):
        ids.append(random_event_id(clock))
        clock.advance(0.002)

    assert sorted(ids) == ids
    assert all(one[4 + 12] == "7" for one in ids)


@pytest.mark.parametrize("fields", [{}, {"kind": "a:b"}, {"from": "ws"}, {"kind": 1, "from": "w"}])
def test_the_builder_wants_kind_and_subject(fields: dict[str, Any]) -> None:
    with pytest.raises(EventMalformed):
        build_kernel_event_v2(fields)


@given(st.text(max_size=140))
def test_ids_from_outside_are_1_to_128_characters_without_control_characters(text: str) -> None:
    control = any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text)

    assert is_event_id(text) == (0 < len(text) <= 128 and not control)


@pytest.mark.parametrize(
    ("kind", "good"),
    [("acme-demo:job_completed", True), ("task_created", True), ("a:b", True), ("a-1:b_2", True),
     ("a:b\n", False), ("-a:b", False), ("a-:b", False), ("a:b_", False), ("A:b", False)],
)  # fmt: skip
def test_kinds_are_a_slug_and_snake_case(kind: str, good: bool) -> None:
    assert good == is_kind(kind)
