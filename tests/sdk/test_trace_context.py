"""W3C trace context on events: read, carried, derived; never a reason to lose an event."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor_sdk.event import event_from_fields, parse_event
from conductor_sdk.event_builder import build_kernel_event_v2
from conductor_sdk.trace_context import (
    TraceContext,
    derived_context,
    given_context,
    parse_traceparent,
    trace_id_of,
    traceparent_in,
)
from house import ROOT

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"
FIELDS = {"schema_version": 2, "kind": "acme-demo:job_done", "event_id": "evt-1",
          "timestamp": "2026-01-01T00:00:00.000Z", "from": "ws", "payload": {"n": 1}}  # fmt: skip
V1 = {"schema_version": 1, "kind": "run_started", "timestamp": "2026-01-01T00:00:00Z", "n": 1}


def raw(**more: Any) -> bytes:
    return msgspec.json.encode({**FIELDS, **more})


@pytest.mark.parametrize(
    ("text", "sampled"),
    [(GOOD, True), (f"00-{TRACE}-{SPAN}-00", False), (f"00-{TRACE}-{SPAN}-03", True),
     (f"cc-{TRACE}-{SPAN}-01", True), (f"cc-{TRACE}-{SPAN}-01-what-the-future-adds", True)],
)  # fmt: skip
def test_a_good_traceparent_is_read(text: str, sampled: bool) -> None:
    assert TraceContext(TRACE, SPAN, sampled) == parse_traceparent(text)


BAD: list[object] = [
    "", "00", GOOD.upper(), GOOD[:-1], GOOD + "1", GOOD + "-", GOOD + "-more", GOOD + "\n",
    f" {GOOD}", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01",
    f"cc-{TRACE}-{SPAN}-01-\x00", f"cc-{TRACE}-{SPAN}-01-{'x' * 300}", f"00-{TRACE}-{SPAN}-0g",
    5, True, None, [], {},
]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_anything_else_is_no_context(text: object) -> None:
    assert parse_traceparent(text) is None
    assert (None, None) == given_context(text, "a=b")


@given(st.text())
def test_reading_is_total(text: str) -> None:
    context = parse_traceparent(text)
    assert context is None or context == parse_traceparent(context.traceparent)


@pytest.mark.parametrize("state", ["", "x" * 513, "a=\n", "a=é", 5, None])
def test_a_bad_tracestate_is_left_out_alone(state: object) -> None:
    assert (GOOD, None) == given_context(GOOD, state)


def test_an_event_carries_its_context_beside_the_payload() -> None:
    event = parse_event(raw(traceparent=GOOD, tracestate="a=b,c=d"))
    assert (GOOD, "a=b,c=d", {"n": 1}) == (event.traceparent, event.tracestate, event.payload)
    assert event == parse_event(event.to_json())
    assert event == event_from_fields({**FIELDS, "traceparent": GOOD, "tracestate": "a=b,c=d"})


def test_an_event_without_a_context_looks_as_it_always_did() -> None:
    event = parse_event(raw())
    assert raw() == event.to_json()
    assert (None, None) == (event.traceparent, event.tracestate)


@pytest.mark.parametrize("text", BAD)
def test_a_bad_context_never_costs_the_event(text: object) -> None:
    event = parse_event(raw(traceparent=text, tracestate="a=b"))
    assert parse_event(raw()) == event
    assert raw() == event.to_json()


def test_fields_beside_the_envelope_are_folded_as_before() -> None:
    event = parse_event(raw(traceparent=GOOD, wu_id="WU-1"))
    assert (GOOD, {"n": 1, "wu_id": "WU-1"}) == (event.traceparent, event.payload)


def test_a_payload_may_have_a_traceparent_of_its_own() -> None:
    event = parse_event(raw(traceparent=GOOD, payload={"traceparent": "mine"}))
    assert (GOOD, {"traceparent": "mine"}) == (event.traceparent, event.payload)


def test_a_version_1_event_passes_unchanged_and_its_context_is_read() -> None:
    flat = msgspec.json.encode({**V1, "traceparent": GOOD})
    event = parse_event(flat)
    assert (GOOD, GOOD) == (event.traceparent, event.payload["traceparent"])
    assert V1 | {"traceparent": GOOD} == msgspec.json.decode(event.to_json())
    assert event == parse_event(event.to_json())
    assert event.event_id != parse_event(msgspec.json.encode(V1)).event_id


def test_a_context_counts_in_no_id() -> None:
    ids = {
        build_kernel_event_v2({**FIELDS, "traceparent": text}, idempotency_key="k").event_id
        for text in (GOOD, None, f"00-{TRACE}-{SPAN}-00")
    }
    assert 1 == len(ids)


def test_the_derived_trace_is_the_documented_one() -> None:
    page = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(\S+)` \| `([0-9a-f]{32})` \| `([0-9a-f]{16})` \|$", page, re.MULTILINE
    )
    assert 2 == len(rows)
    assert rows == [
        (event_id, derived_context(event_id).trace_id, derived_context(event_id).span_id)
        for event_id, _, _ in rows
    ]
    assert derived_context("a") == TraceContext(
        "8c81ad4638539b2de30d0cd11de68bb8", "035aa3dd73d83ee8", sampled=False
    )
    assert "1d4c6b4c05c1e059ffc2fd7c3cd53e2b" == trace_id_of(
        "evt-85edeacf0ecff5d3c3c2fc636976e9d5", None
    )
    assert TRACE == trace_id_of("a", GOOD)
    assert parse_traceparent(derived_context("\ud800").traceparent) is not None


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"5", b'{"traceparent": {}}', b"\xff", raw()])
def test_looking_for_a_context_in_bytes_never_fails(body: bytes) -> None:
    assert traceparent_in(body) is None


def test_a_context_is_found_in_bytes() -> None:
    assert GOOD == traceparent_in(raw(traceparent=GOOD))
    assert GOOD == traceparent_in(msgspec.json.encode({**V1, "traceparent": GOOD}))
