"""The enrollment file of a workspace: `.lumenflow/state/conductor/enrollment.json`.

Promise: what is read is complete, private to this user, of a known version and not expired; what
is written survives a power cut, mode 0600. Refusal: the credential appears in the file and in the
returned Secret, never in an error, a log or a repr.
"""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec

from conductor_sdk.clock import Clock, SystemClock
from conductor_sdk.event import is_event_id
from conductor_sdk.secret import Secret
from conductor_sdk.workspace import Workspace
from conductor_state.enrollment import (
    VERSION,
    Enrollment,
    EnrollmentExpired,
    EnrollmentMalformed,
    EnrollmentMissing,
    EnrollmentTooNew,
)
from conductor_state.private_file import read_private, write_private

_TOKEN_MAX = 8192


class _Wrong(ValueError):
    """A field has the wrong shape; the text names the field and not its value."""


class _File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    version: int
    url: str
    token: str
    subject: str
    expires_at: str | None


class _Versioned(msgspec.Struct):
    version: int


_versioned = msgspec.json.Decoder(_Versioned)
_file = msgspec.json.Decoder(_File)


def read_enrollment(workspace: Workspace, clock: Clock | None = None) -> Enrollment:
    """Read the enrollment of a workspace.

    Args:
        workspace: Where to look.
        clock: Decides whether it has expired; the system's by default.

    Raises:
        EnrollmentMissing: The workspace was never enrolled.
        EnrollmentMalformed: Not such JSON, or a field of the wrong shape.
        EnrollmentTooNew: Of a version that is not known here.
        EnrollmentExpired: It was valid once.
        PrivateFileRefused: A link, another owner, or open to others; the hint mends it.
    """
    path = workspace.enrollment
    try:
        data = read_private(path)
    except FileNotFoundError:
        raise EnrollmentMissing(str(workspace.root)) from None
    try:
        version = _versioned.decode(data).version
        if version != VERSION:
            raise EnrollmentTooNew(f"{path} has version {version}, not {VERSION}")
        enrollment = _from_file(_file.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _Wrong) as error:
        raise EnrollmentMalformed(f"{path} ({_reason(error)})") from None
    if enrollment.expires_at is not None and enrollment.expired((clock or SystemClock()).now()):
        raise EnrollmentExpired(f"{path} at {_z(enrollment.expires_at)}")
    return enrollment


def write_enrollment(workspace: Workspace, enrollment: Enrollment) -> None:
    """Replace the enrollment of a workspace; durable when this returns.

    Makes the state directory where it is missing.

    Raises:
        EnrollmentMalformed: What should be written could not be read again.
        WorkspaceUnsafe: The state directory leads elsewhere.
    """
    expires_at = None if enrollment.expires_at is None else _z(enrollment.expires_at)
    file = _File(
        version=VERSION, url=enrollment.url, token=enrollment.token.reveal(),
        subject=enrollment.subject, expires_at=expires_at,
    )  # fmt: skip
    try:
        _from_file(file)
    except _Wrong as error:
        raise EnrollmentMalformed(_reason(error)) from None
    workspace.create()
    write_private(workspace.enrollment, msgspec.json.format(msgspec.json.encode(file)) + b"\n")


def remove_enrollment(workspace: Workspace) -> None:
    """Forget the enrollment. Idempotent."""
    workspace.enrollment.unlink(missing_ok=True)


def _from_file(file: _File) -> Enrollment:
    if not file.token or len(file.token) > _TOKEN_MAX or not _is_header_text(file.token):
        raise _Wrong("token is not one line of printable ASCII")
    if not is_event_id(file.subject):
        raise _Wrong("subject is not 1 to 128 characters without control characters")
    if not _is_address(file.url):
        raise _Wrong("url is not an address with a scheme")
    return Enrollment(file.url, Secret(file.token), file.subject, _moment(file.expires_at))


def _is_address(url: str) -> bool:
    try:
        return bool(urlsplit(url).scheme)
    except ValueError:
        return False


def _is_header_text(token: str) -> bool:
    """Tell whether a token can stand in an HTTP header as it is."""
    return token.isascii() and token.isprintable() and " " not in token


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    if not text.endswith("Z"):
        raise _Wrong("expires_at is not UTC with a final Z")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise _Wrong("expires_at is not ISO 8601") from None


def _z(moment: datetime) -> str:
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
