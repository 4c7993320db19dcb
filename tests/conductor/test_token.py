"""The text of enrollment tokens."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor_sdk.clock import ManualClock
from conductor_sdk.errors import Exit
from conductor_sdk.token import (
    TokenExpired,
    TokenMalformed,
    format_enrollment_token,
    parse_enrollment_token,
)

CLOCK = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
SOON = CLOCK.now() + timedelta(hours=1)
SECRET = bytes(range(32))


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def written(claims: object, secret: bytes = SECRET) -> str:
    return f"cse1.{encoded(json.dumps(claims).encode())}.{encoded(secret)}"


def claims(**changed: object) -> dict[str, object]:
    return {"sub": "ws-1", "exp": int(SOON.timestamp()), "aud": "conductor", **changed}


@given(
    subject=st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=128),
    secret=st.binary(min_size=32, max_size=64),
)
def test_what_is_formatted_is_parsed(subject: Any, secret: Any) -> None:
    token = format_enrollment_token(subject, SOON, secret)

    parsed = parse_enrollment_token(f"  {token.text.reveal()}\n", CLOCK)

    assert (subject, SOON, token.text) == (parsed.subject, parsed.expires_at, parsed.text)


def test_a_token_is_one_line_of_three_parts() -> None:
    assert (
        written(claims()).split(".")[::2]
        == (format_enrollment_token("ws-1", SOON, SECRET).text.reveal().split(".")[::2])
    )


@given(st.text(max_size=300))
def test_no_text_does_anything_but_be_refused(text: Any) -> None:
    with pytest.raises(TokenMalformed):
        parse_enrollment_token(text, CLOCK)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "one line"),
        ("cse1.abc", "one line"),
        ("cse2.abc.def", "version 'cse2'"),
        (written(claims())[:-31], "shorter than 32 bytes"),
        (written(claims()).replace(".", ".!", 1), "claims part is not base64url"),
        (written(claims()) + "=", "secret part is not base64url"),
        (written(claims()) + "\n" + written(claims()), "one line"),
        (written([1]), "claims are not what a token carries"),
        (written({"sub": "ws-1", "aud": "conductor"}), "missing required field `exp`"),
        (written(claims(exp="1")), "Expected `int`"),
        (written(claims(exp=True)), "Expected `int`"),
        (written(claims(exp=10**30)), "out of range"),
        (written(claims(exp=-1)), "out of range"),
        (written(claims(sub="a\nb")), "out of range"),
        (written(claims(sub="")), "out of range"),
        (written(claims(sub="x" * 129)), "out of range"),
        (written(claims(aud="sidecar")), "for 'sidecar', not for 'conductor'"),
        ("cse1." + "a" * 5000 + ".b", "one line"),
    ],
)
def test_a_malformed_token_is_refused_with_what_is_wrong(text: Any, said: Any) -> None:
    with pytest.raises(TokenMalformed, match=said) as refused:
        parse_enrollment_token(text, CLOCK)

    assert Exit.TOKEN_REFUSED == refused.value.exit_code
    assert "conductor dev token issue" in refused.value.hint


def test_an_expired_token_is_refused_with_the_command_that_mends_it() -> None:
    token = format_enrollment_token("ws-1", CLOCK.now(), SECRET)

    with pytest.raises(TokenExpired) as refused:
        parse_enrollment_token(token.text.reveal(), CLOCK)

    assert (
        "The enrollment token has expired: 'ws-1' at 2026-01-01T00:00:00Z",
        "issue a new one: conductor dev token issue ws-1",
        Exit.TOKEN_REFUSED,
    ) == (refused.value.message, refused.value.hint, refused.value.exit_code)


def test_no_error_shows_the_secret() -> None:
    text = written(claims(aud="other"))

    with pytest.raises(TokenMalformed) as refused:
        parse_enrollment_token(text, CLOCK)

    assert text.split(".")[2] not in str(refused.value.as_json())


@pytest.mark.parametrize(("subject", "secret"), [("", SECRET), ("a\tb", SECRET), ("ws", b"short")])
def test_a_token_is_not_made_of_bad_parts(subject: Any, secret: Any) -> None:
    with pytest.raises(ValueError, match="a token needs"):
        format_enrollment_token(subject, SOON, secret)
