"""What a run is told of the request that began it.

Promise: the labels and extensions of the invocation contract, under their names. Refusal: no
credentials: headers that carry them are left out, since a checkpoint writes down what a run was
told; and nobody is believed about who they are unless the operator says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from starlette.types import Scope

from conductor_flows.host.errors import HttpRefusal

CREDENTIALS: Final = frozenset({
    b"authorization", b"cookie", b"proxy-authorization", b"x-api-key", b"x-auth-user",
})  # fmt: skip
AUTH_USER: Final = b"x-auth-user"
AUTH_USER_MAX: Final = 8192
_ID: Final = re.compile(rb"[!-~]{1,200}")
_IDS: Final = {
    b"x-request-id": "lf.request_id", b"x-event-id": "lf.event_id",
    b"x-idempotency-key": "lf.idem_key", b"idempotency-key": "lf.idem_key",
}  # fmt: skip


def labels_of(scope: Scope, headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return the labels of a request.

    Raises:
        HttpRefusal: 400: an id that is empty, longer than 200 characters, or not visible ASCII, or
            a second one. To pass over an idempotency key would be to repeat what was to be done
            once.
    """
    labels = {
        "http.method": scope["method"], "http.path": scope["path"],
        "http.version": scope.get("http_version", "1.1"),
        "http.host": headers.get(b"host", b"").decode("latin-1"),
        "http.query_raw": scope.get("query_string", b"").decode("latin-1"),
    }  # fmt: skip
    for name, label in _IDS.items():
        value = headers.get(name)
        if value is None:
            continue
        if not _ID.fullmatch(value):
            text = "is 1 to 200 visible ASCII characters"
            raise HttpRefusal(400, f"The header {name.decode()} {text}")
        if labels.setdefault(label, value.decode()) != value.decode():
            raise _second(name)
    return labels


def extensions_of(
    scope: Scope, query: Sequence[tuple[str, str]], *, trust_auth_user: bool
) -> dict[str, Any]:
    """Return the extensions of a request.

    Args:
        scope: Of the request.
        query: Its fields.
        trust_auth_user: Whether `X-Auth-User` is the word of a proxy that has asked for
            credentials. Without such a proxy anybody could write it, and be anybody.

    Raises:
        HttpRefusal: 400: the header is not JSON; an id comes a second time, and is another.
    """
    headers: dict[str, list[str]] = {}
    extensions: dict[str, Any] = {"http.headers": headers}
    for name, value in scope["headers"]:
        if name not in CREDENTIALS:
            found = headers.setdefault(name.decode("latin-1"), [])
            found.append(value.decode("latin-1"))
            if len(found) > 1 and name in _IDS and found[0] != found[-1]:
                raise _second(name)
        elif name == AUTH_USER and trust_auth_user:
            extensions["auth.user"] = _user(value, known="auth.user" in extensions)
    fields: dict[str, list[str]] = {}
    for name, text in query:
        fields.setdefault(name, []).append(text)
    extensions["http.query"] = fields
    if scope.get("path_params"):
        extensions["http.path_params"] = dict(scope["path_params"])
    return extensions


def _second(name: bytes) -> HttpRefusal:
    return HttpRefusal(400, f"The header {name.decode()} is another one than was given before")


def _user(value: bytes, *, known: bool) -> Any:
    # Two would be two users: a proxy that appends its own must not leave the client's in place.
    if not known and len(value) <= AUTH_USER_MAX:
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    raise HttpRefusal(400, "The header x-auth-user is one JSON text")
