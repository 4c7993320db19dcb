"""A secret does not print, whoever holds it and whatever goes wrong meanwhile."""

from __future__ import annotations

import ast
import copy
import io
import json
import logging
import pickle
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conductor_adapters.mqtt_client import Login
from conductor_sdk.client_tools import connect_http
from conductor_sdk.secret import Secret
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.credentials import Identity
from conductor_sidecar.enrollment import Grant, request_grant
from conductor_sidecar.log_redaction import LogRedaction
from conductor_sidecar.logs import configure, get_logger
from conductor_sidecar.rotation.fetch import _decoded
from conductor_sidecar.settings import LogSettings
from conductor_state.enrollment import Enrollment
from conductor_state.identity import read_enrollment, write_enrollment
from house import ROOT, sources

CANARY = "Kanarienvogel-0123456789-abcdefghij"
SECRET = Secret(CANARY)


@dataclass(frozen=True)
class Holder:
    secret: Secret


@pytest.mark.parametrize("show", [
    repr, str, format, lambda s: f"{s}", lambda s: f"{s!r:>40}", lambda s: f"{s} {s!r}",
    lambda s: repr(Holder(s)), lambda s: repr([s, {s: s}]), lambda s: repr(copy.deepcopy([s])),
    lambda s: repr(Identity("ws", "ws://x", s)), lambda s: repr(Enrollment("ws://x", s, "w", None)),
    lambda s: repr(Grant(s, "w", "ws://x")), lambda s: s.fingerprint(),
    lambda s: repr(ValueError(s)), lambda s: str(Exception(Holder(s))),
    lambda s: repr(vars(Holder(s))),
])  # fmt: skip
def test_a_secret_shows_no_character(show: Callable[[Secret], str]) -> None:
    assert CANARY not in show(SECRET)


@pytest.mark.parametrize("encode", [pickle.dumps, json.dumps, msgspec.json.encode,
                                    msgspec.msgpack.encode, msgspec.to_builtins])  # fmt: skip
def test_a_secret_is_not_serialised(encode: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError) as caught:
        encode(SECRET)

    assert CANARY not in str(caught.value)


def test_two_fingerprints_differ_and_one_stays() -> None:
    assert SECRET.fingerprint() == Secret(CANARY).fingerprint()
    assert SECRET.fingerprint() != Secret(CANARY + "x").fingerprint()


def with_locals(error: BaseException) -> str:
    """A traceback as the most talkative tools print it: with every local variable of ours."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [
        f"{frame.filename}:{frame.lineno} {frame.locals}"
        for frame in shown.stack
        if str(ROOT) in frame.filename and "/tests/" not in frame.filename
    ]
    return "\n".join([*shown.format_exception_only(), *ours])


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    found = resolve_workspace(tmp_path)
    write_enrollment(found, Enrollment("wss://c.example/link", SECRET, "ws", None))
    return found


@pytest.mark.parametrize("damage", [
    {"expires_at": "soon"}, {"url": 5}, {"version": 99}, {"expires_at": "2020-01-01T00:00:00Z"},
    {CANARY: 1}, {"token": CANARY + "\n"}, {"token": [CANARY]}, {"generation": 0},
])  # fmt: skip
def test_a_traceback_of_a_damaged_enrollment_does_not_show_it(
    workspace: Workspace, damage: dict[str, Any]
) -> None:
    whole = json.loads(workspace.enrollment.read_text())
    workspace.enrollment.write_text(json.dumps({**whole, **damage}))
    with pytest.raises(Exception) as caught:  # noqa: PT011  whatever it is
        read_enrollment(workspace)

    assert CANARY not in with_locals(caught.value)


@pytest.mark.parametrize("fail", [
    lambda: connect_http("http://127.0.0.1:9", Secret(CANARY + " x")),
    lambda: request_grant("http://127.0.0.1:9", SECRET),
    lambda: _decoded(b'{"credential": "' + CANARY.encode() + b'", "version": "x"}'),
    lambda: Login(password=SECRET),  # type: ignore[call-arg]
])  # fmt: skip
def test_a_traceback_of_a_failed_call_does_not_show_the_credential(
    fail: Callable[[], object],
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011  whatever it is
        fail()

    assert CANARY not in with_locals(caught.value)


@pytest.mark.parametrize("format_", ["json", "console"])
def test_a_log_shows_no_secret_by_type_by_name_by_shape_or_by_text(format_: str) -> None:
    from conductor_sidecar.log_redaction import LOGS

    known = "a-known-value-" + "k" * 20
    ours = "csc_" + "o" * 43
    LOGS.remember(Secret(known))
    out = io.StringIO()
    with redirect_stderr(out):
        configure(LogSettings(level="debug", format=format_))  # type: ignore[arg-type]
        log = get_logger(part="test", secret=SECRET)
        log.info("one", held=Holder(SECRET), deep={"a": [SECRET]}, password=CANARY)
        text = f"text with {known} and {ours}"
        log.warning(text, url=f"https://user:{CANARY}@host/x")
        log.error("three", header=f"Bearer {CANARY}", error=ValueError(f"{known} {ours}"))
        logging.getLogger("library").warning("it sent %s", known)
        try:
            int(ours)
        except ValueError:
            logging.getLogger("library").exception("failed with %s", known)
    printed = out.getvalue()

    assert "three" in printed
    assert [] == [text for text in (CANARY, known, ours) if text in printed]


def test_what_is_cut_leaves_no_half_of_a_secret() -> None:
    redaction = LogRedaction()
    redaction.remember(SECRET)
    record = redaction(None, "", {"event": "x" * 3990 + CANARY})

    assert "Kanarienvogel" not in str(record)


NAMED = re.compile(r"(^|_)(password|passwd|passphrase|secret|credential|bearer|api_key)$")
TEXT = {"str", "bytes", "str | None", "bytes | None"}
ALLOWED = {
    ("conductor_sdk/chain/signing.py", "secret"),  # bytes of a signing key, inside its own class
    ("conductor_sdk/token.py", "secret"),  # random bytes on their way into a token
    ("conductor_server/control_plane.py", "credential"),  # the header of one request
    ("conductor_packs/sidekick/channels/settings.py", "secret_env"),  # a variable's name
}
"""Where something named like a secret is text; each with its reason."""


def plain_secrets() -> Iterator[tuple[str, str]]:
    """Parameters and fields that are named like a secret and annotated as text."""
    for path in sources():
        where = "/".join(path.parts[path.parts.index(next(
            part for part in path.parts if part.startswith("conductor_"))):])  # fmt: skip
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.arg(arg=name, annotation=ast.expr() as kind):
                    pass
                case ast.AnnAssign(target=ast.Name(id=name), annotation=kind):
                    pass
                case _:
                    continue
            if NAMED.search(name) and ast.unparse(kind) in TEXT:
                yield where, name


def test_whatever_is_named_like_a_secret_is_a_secret() -> None:
    assert set() == set(plain_secrets()) - ALLOWED
