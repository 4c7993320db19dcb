"""What must not be shown: by the type of a value, by its name, and by its text.

Promise: a value whose name says that it is a secret is replaced, whatever it holds; a secret that
is known is found in a text also in base64, in hex and percent-encoded. Refusal: nothing is read
here, and no text is trusted to be free of secrets that nobody knows.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote

from conductor_sdk.secret import Secret

REDACTED = "(redacted)"
SHORTEST = 8
"""A shorter secret would be found in any text."""
_SECRET_NAME = re.compile(
    r"(?<![a-z])(api_?key|auth(orization)?|bearer|client_secret|credentials?|pass(word|wd|phrase)?|"
    r"private_?key|secrets?|signing_?key|tokens?|webhook_?secret)(?![a-z])",
    re.IGNORECASE,
)
_PLACES = re.compile(r"files?|paths?|dir|days|count|ttl|max|min|s", re.IGNORECASE)
"""Ends of names that say where a secret is, or how much: not the secret itself."""
_USER = re.compile(r"(?<=://)[^/@\s]+@")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_PEM = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)


def is_secret_name(name: str) -> bool:
    """Tell whether a setting or variable of that name holds a secret itself."""
    last = name.rpartition(".")[2]
    words = re.sub(r"([a-z])([A-Z])", r"\1_\2", last).lower()
    return bool(_SECRET_NAME.search(words)) and not _PLACES.fullmatch(words.rpartition("_")[2])


def redact(value: Any, name: str = "") -> Any:
    """Return a JSON value without what must not be shown; `name` is that of the value."""
    if isinstance(value, Secret):
        return REDACTED
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        return {key: redact(inner, str(key)) for key, inner in fields.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [redact(inner, name) for inner in cast("Sequence[object]", value)]
    if value not in {None, "", False, True} and is_secret_name(name):
        return REDACTED
    return clean_text(value) if isinstance(value, str) else value


def clean_text(text: str) -> str:
    """Take users of URLs, authorization headers and private keys out of a text."""
    text = _PEM.sub(REDACTED, text)
    return _BEARER.sub(rf"\1 {REDACTED}", _USER.sub("", text))


class KnownSecrets:
    """Texts that must not be in what is given away."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        known = {text for text in (each.reveal() for each in secrets) if len(text) >= SHORTEST}
        forms = {form for text in known for form in _forms(text)}
        self._forms = sorted(forms, key=len, reverse=True)
        self._hex = [text.encode().hex() for text in sorted(known)]

    def __len__(self) -> int:
        return len(self._forms)

    def __repr__(self) -> str:
        return f"KnownSecrets({len(self._forms)} forms)"

    def strip(self, text: str) -> str:
        """Replace every known secret."""
        for form in self._forms:
            text = text.replace(form, REDACTED)
        return text

    def found_in(self, data: bytes) -> bool:
        """Tell whether any is in there."""
        return any(form.encode() in data for form in (*self._forms, *self._hex))


def _forms(text: str) -> set[str]:
    """Return a secret as it may stand in a text; of base64 the part that no neighbour changes."""
    raw = text.encode()
    forms = {text, quote(text, safe="")}
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw).decode()
        start = (8 * shift + 5) // 6
        inner = coded[start : (8 * (shift + len(raw))) // 6]
        if len(inner) >= SHORTEST:
            forms |= {inner, inner.replace("+", "-").replace("/", "_")}
    return forms
