"""The text of an enrollment file: from bytes to a record and back, without a file.

Promise: what is decoded is complete and of a known version, and what is encoded can be decoded
again. Refusal: no error, and no local variable of a frame that raises one, holds a credential.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from conductor_sdk.event import is_event_id
from conductor_sdk.secret import Secret
from conductor_state.enrollment import (
    FIRST_GENERATION,
    VERSION,
    Candidate,
    Enrollment,
    EnrollmentError,
    EnrollmentMalformed,
    EnrollmentTooNew,
)

_TOKEN_MAX = 8192
_FIELDS_OF_1 = ("version", "url", "token", "subject", "expires_at")
_SCHEMES = ("http", "https")


class _Wrong(ValueError):
    """A field has the wrong shape; the text names the field and not its value."""


class _File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    version: int
    url: str
    token: Secret
    subject: str
    expires_at: str | None
    conductor: str | None = None
    generation: int = FIRST_GENERATION
    issued_at: str | None = None
    replaces: str | None = None


class _Versioned(msgspec.Struct):
    version: int


def _secret(kind: type, value: Any) -> Secret:
    if kind is not Secret or not isinstance(value, str):
        raise _Wrong("token is not text")
    return Secret(value)


_versioned = msgspec.json.Decoder(_Versioned)
_file = msgspec.json.Decoder(_File, dec_hook=_secret)


def decode_enrollment(data: bytes, where: str) -> Candidate | EnrollmentError:
    """Decode an enrollment, or a candidate; an error is returned, not raised.

    Whoever raises it has a frame without `data`, which holds the credential.

    Args:
        data: The file.
        where: Names the file in the error.

    Returns:
        A candidate; `replaces` is empty where the file is no candidate's.
    """
    try:
        version = _versioned.decode(data).version
        if version not in range(1, VERSION + 1):
            return EnrollmentTooNew(f"{where} has version {version}, not {VERSION}")
        return _from_file(_file.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _Wrong) as error:
        return EnrollmentMalformed(f"{where} ({_reason(error)})")


def encode_enrollment(enrollment: Enrollment, replaces: str | None = None) -> bytes:
    """Encode an enrollment, or with `replaces` a candidate.

    Raises:
        EnrollmentMalformed: It could not be decoded again.
    """
    file = _File(
        version=1 if enrollment.plain and replaces is None else VERSION,
        url=enrollment.url, token=enrollment.token, subject=enrollment.subject,
        expires_at=_text(enrollment.expires_at), conductor=enrollment.conductor,
        generation=enrollment.generation, issued_at=_text(enrollment.issued_at), replaces=replaces,
    )  # fmt: skip
    try:
        _from_file(file)
    except _Wrong as error:
        raise EnrollmentMalformed(_reason(error)) from None
    fields = {name: getattr(file, name) for name in _File.__struct_fields__}
    if file.version == 1:
        fields = {name: fields[name] for name in _FIELDS_OF_1}
    elif replaces is None:
        del fields["replaces"]
    return msgspec.json.format(msgspec.json.encode(fields, enc_hook=_reveal)) + b"\n"


def _reveal(value: Any) -> str:
    if not isinstance(value, Secret):
        raise TypeError(type(value).__name__)
    return value.reveal()


def _from_file(file: _File) -> Candidate:
    if not _is_credential(file.token.reveal()):
        raise _Wrong("token is not one line of printable ASCII")
    if not is_event_id(file.subject):
        raise _Wrong("subject is not 1 to 128 characters without control characters")
    if not _scheme(file.url):
        raise _Wrong("url is not an address with a scheme")
    if file.conductor is not None and _scheme(file.conductor) not in _SCHEMES:
        raise _Wrong("conductor is not an http or https address")
    if file.generation < FIRST_GENERATION:
        raise _Wrong("generation is not a number from 1")
    enrollment = Enrollment(
        file.url, file.token, file.subject, _moment("expires_at", file.expires_at),
        file.conductor, file.generation, _moment("issued_at", file.issued_at),
    )  # fmt: skip
    return Candidate(enrollment, file.replaces or "")


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def _is_credential(token: str) -> bool:
    """Tell whether a token can stand in an HTTP header as it is."""
    fits = 0 < len(token) <= _TOKEN_MAX
    return fits and token.isascii() and token.isprintable() and " " not in token


def _moment(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    if not text.endswith("Z"):
        raise _Wrong(f"{name} is not UTC with a final Z")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise _Wrong(f"{name} is not ISO 8601") from None


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else shown_time(moment)


def shown_time(moment: datetime) -> str:
    """Write a time as the file does."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _reason(error: Exception) -> str:
    """Say what is wrong in words that cannot hold a name or a value of the file."""
    match error:
        case _Wrong():
            return str(error)
        case msgspec.ValidationError() if "unknown field" not in str(error):
            return str(error)
        case msgspec.ValidationError():
            return "a field that is not known"
        case _:
            return "not JSON"
