"""What must not be shown: found by type, by name and by text."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import pytest

from conductor_sdk.secret import Secret
from conductor_sidecar.redaction import REDACTED, KnownSecrets, clean_text, is_secret_name, redact

TOKEN = "s3cr3t/+value==with?chars"


@pytest.mark.parametrize(
    "name",
    ["token", "pack.demo.api_key", "apiKey", "password", "db_password", "client_secret", "auth",
     "Authorization", "webhook_secret", "private_key", "signing_key", "credential", "TOKEN",
     "aws_secret_access_key", "github_token"],
)  # fmt: skip
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    ["link.ca_file", "token_file", "key_file", "retention.days", "max_tokens_count", "author",
     "keyboard", "idempotency_key", "event_id", "secret_path", "tokenizer", "passive",
     "token_ttl_s"],
)  # fmt: skip
def test_names_that_only_look_like_it_are_left(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"token": "x", "n": 1}, {"token": REDACTED, "n": 1}),
        ({"tokens": ["a", "b"]}, {"tokens": [REDACTED, REDACTED]}),
        ({"password": "", "secret": None}, {"password": "", "secret": None}),
        ([Secret("x")], [REDACTED]),
        ({"url": "https://me:pw@host/x"}, {"url": "https://host/x"}),
        ({"deep": {"list": [{"api_key": "x"}]}}, {"deep": {"list": [{"api_key": REDACTED}]}}),
        ({"header": "Authorization: Bearer abcdefgh123"},
         {"header": f"Authorization: Bearer {REDACTED}"}),
    ],
)  # fmt: skip
def test_values_are_redacted_wherever_they_stand(value: Any, shown: Any) -> None:
    assert shown == redact(value)


def test_a_private_key_is_taken_out_of_a_text() -> None:
    key = "-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----"

    assert f"a {REDACTED} b" == clean_text(f"a {key} b")
    assert f"a {REDACTED}" == clean_text("a -----BEGIN PRIVATE KEY-----\nabc")


@pytest.mark.parametrize("before", [b"", b"a", b"ab", b"abc"])
@pytest.mark.parametrize("after", [b"", b"z", b"zz"])
def test_a_known_secret_is_found_in_any_spelling(before: bytes, after: bytes) -> None:
    known = KnownSecrets([Secret(TOKEN)])
    coded = base64.b64encode(before + TOKEN.encode() + after)
    web = base64.urlsafe_b64encode(before + TOKEN.encode() + after)

    assert all(known.found_in(b"x " + text + b" y") for text in (
        TOKEN.encode(), quote(TOKEN, safe="").encode(), coded, web, TOKEN.encode().hex().encode(),
    ))  # fmt: skip
    for text in (TOKEN, quote(TOKEN, safe=""), coded.decode(), web.decode()):
        assert not known.found_in(known.strip(f"x {text} y").encode())


def test_known_secrets_never_print_and_short_ones_are_no_secrets() -> None:
    known = KnownSecrets([Secret(TOKEN), Secret("short")])

    assert TOKEN not in repr(known)
    assert not known.found_in(b"a short text")
