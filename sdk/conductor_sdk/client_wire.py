"""One request to a sidecar: over its control socket, or over HTTP.

Promise: an answer is whole, within a limit, and an error in it is raised as what the sidecar
raised. Refusal: nothing is repeated, kept open or interpreted beyond that.

HTTP/1.1 with the standard library, one connection for each request; blocks, so callers use a
thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any, NamedTuple, TypeVar

import msgspec

from conductor_sdk.errors import (
    ConductorError,
    EventMalformed,
    EventRefused,
    QueueFull,
    SidecarUnreachable,
    SubjectMismatch,
    UnknownKind,
)
from conductor_sdk.secret import Secret
from conductor_sdk.workspace import Workspace, connect_control_socket

T = TypeVar("T")

ANSWER_MAX_BYTES = 64 * 1024 * 1024
_OK = 200


class SidecarAnswered(ConductorError):
    """The sidecar answered with an error that this version has no class for."""

    code = "SIDECAR_ANSWERED"


_BY_CODE: dict[str, type[ConductorError]] = {
    kind.code: kind
    for kind in (
        EventRefused, EventMalformed, UnknownKind, SubjectMismatch, QueueFull, SidecarUnreachable,
    )
}  # fmt: skip


class _Complaint(msgspec.Struct):
    code: str
    message: str
    hint: str | None = None
    data: dict[str, Any] = {}


class _Failure(msgspec.Struct):
    error: _Complaint


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes


class SocketConnection(HTTPConnection):
    """HTTP/1.1 whose connection is the control socket."""

    def __init__(self, workspace: Workspace, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._workspace = workspace
        self._timeout_s = timeout_s

    def connect(self) -> None:
        """Connect to the sidecar.

        Raises:
            SidecarUnreachable: Nothing listens there.
        """
        self.sock = connect_control_socket(self._workspace, timeout_s=self._timeout_s)


def exchange(
    connection: HTTPConnection, method: str, path: str, body: bytes | None = None,
    headers: Mapping[str, str] | None = None, token: Secret | None = None,
) -> Answer:  # fmt: skip
    """Send one request, read its answer and close the connection; blocks.

    A `token` goes into the header of the request, and stands in no variable here.

    Raises:
        SidecarUnreachable: Nothing listens there, or it did not finish its answer.
        SidecarAnswered: The answer is too long.
    """
    sent = {"Content-Type": "application/json"} if body is not None else {}
    sent |= {**(headers or {}), "Connection": "close"}
    try:
        with contextlib.suppress(BrokenPipeError):  # it may answer before it has read everything
            connection.request(method, path, body, {**sent, **_authorization(token)})
        response = connection.getresponse()
        answer = response.read(ANSWER_MAX_BYTES + 1)
    except TimeoutError:
        raise SidecarUnreachable(f"no answer within {connection.timeout:g} s") from None
    except (OSError, HTTPException) as error:
        # Without the cause: its frames, in a library, hold the header.
        raise SidecarUnreachable(f"it hung up ({type(error).__name__})") from None
    finally:
        connection.close()
    if len(answer) > ANSWER_MAX_BYTES:
        raise SidecarAnswered(f"its answer is longer than {ANSWER_MAX_BYTES} bytes")
    return Answer(response.status, answer)


def _authorization(token: Secret | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token.reveal()}"}


def ask(
    workspace: Workspace, method: str, path: str, body: bytes | None = None, *, timeout_s: float
) -> bytes:
    """Send one request over the control socket and return the answer's body; blocks.

    Args:
        workspace: Whose sidecar.
        method: `GET` or `POST`.
        path: Of the HTTP surface, for example `/v1/status`.
        body: JSON.
        timeout_s: The longest wait for one step of the answer.

    Raises:
        SidecarUnreachable: Nothing listens there, or it did not finish its answer.
        ConductorError: What the sidecar raised, by its code.
    """
    answer = exchange(SocketConnection(workspace, timeout_s), method, path, body)
    if answer.status != _OK:
        raise complaint(answer)
    return answer.body


def decoded(answer: bytes, shape: type[T]) -> T:
    """Read an answer's body.

    Raises:
        SidecarAnswered: It is not what was expected.
    """
    try:
        return msgspec.json.decode(answer, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SidecarAnswered(f"not what was expected ({error})") from None


def complaint(answer: Answer) -> ConductorError:
    """Turn an error answer back into the exception that the sidecar raised."""
    try:
        said = msgspec.json.decode(answer.body, type=_Failure).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return SidecarAnswered(f"status {answer.status}")
    kind = _BY_CODE.get(said.code)
    if kind is None:
        data = {**said.data, "code": said.code}
        return SidecarAnswered(f"{said.message} [{said.code}]", hint=said.hint, data=data)
    detail = said.message.removeprefix(kind().message).removeprefix(": ")
    return kind(detail, hint=said.hint, data=said.data)
