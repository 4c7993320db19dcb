"""Strict JSON: what passes means the same to everybody."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor_sidecar.http.bodies import DEPTH_MAX, INT_MAX, MEMBERS_MAX, decode_json, parse_call
from conductor_sidecar.http.errors import Refusal

VALUES = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(-INT_MAX, INT_MAX)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(VALUES, st.booleans())
def test_ordinary_json_is_decoded_as_it_is(value: object, escaped: bool) -> None:
    assert value == decode_json(json.dumps(value, ensure_ascii=escaped).encode())


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused(body: bytes) -> None:
    decoded: object = None
    with contextlib.suppress(Refusal):
        decoded = decode_json(body)
    assert decoded is None or decoded == json.loads(body)


def test_a_string_without_an_end_is_refused_in_one_pass() -> None:
    # A pattern that tries again from each quotation mark would take hours.
    with pytest.raises(Refusal):
        decode_json(b"[" * (DEPTH_MAX + 1) + b'"' + b'\\"' * 500_000)


@pytest.mark.parametrize("depth", [1, DEPTH_MAX - 1, DEPTH_MAX])
def test_nesting_up_to_the_limit_passes(depth: int) -> None:
    decode_json(b"[" * depth + b"]" * depth)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_nesting_beyond_it_is_refused_before_it_is_decoded(opening: bytes) -> None:
    with pytest.raises(Refusal, match="deeper"):
        decode_json(opening * (DEPTH_MAX + 1))


def test_members_up_to_the_limit_pass() -> None:
    decode_json(b"[" + b"0," * (MEMBERS_MAX - 1) + b"0]")
    with pytest.raises(Refusal, match="members"):
        decode_json(b"[" + b"0," * (MEMBERS_MAX + 1) + b"0]")


def test_a_refusal_does_not_repeat_the_body() -> None:
    for body in (b'{"canary":1,"canary":2}', b"canary", b'{"input":{"x":canary}}'):
        with pytest.raises(Refusal) as refused:
            parse_call(body)
        assert "canary" not in refused.value.message
