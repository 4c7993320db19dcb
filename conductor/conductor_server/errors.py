"""What the embedded conductor refuses, and how it says so.

Promise: every refusal has a code, an HTTP status and a hint that names the next command.
Refusal: no credential, token or payload stands in an error's text.
"""

from __future__ import annotations

from typing import ClassVar

from conductor_sdk.errors import ConductorError, Exit


class ServerRefusal(ConductorError):
    """The conductor refused the request."""

    code = "REQUEST_REFUSED"
    status: ClassVar[int] = 400
    """The HTTP status of the answer."""


class BadRequest(ServerRefusal):
    """The request does not have the shape that this call takes."""

    code = "BAD_REQUEST"
    default_hint = "see: docs/reference/control-plane.md"
    exit_code = Exit.USAGE


class BodyTooLarge(ServerRefusal):
    """The body is larger than the conductor reads."""

    code = "BODY_TOO_LARGE"
    status = 413
    default_hint = "send less in one call"
    exit_code = Exit.USAGE


class CredentialMissing(ServerRefusal):
    """The request carries no bearer token."""

    code = "CREDENTIAL_MISSING"
    status = 401
    default_hint = "enroll first: conductor enroll URL --token-file FILE"
    exit_code = Exit.TOKEN_REFUSED


class CredentialUnknown(ServerRefusal):
    """The conductor does not know this token."""

    code = "CREDENTIAL_UNKNOWN"
    status = 401
    default_hint = "enroll again: conductor dev token issue WORKSPACE, then conductor enroll"
    exit_code = Exit.TOKEN_REFUSED


class CredentialExpired(ServerRefusal):
    """The token has expired."""

    code = "CREDENTIAL_EXPIRED"
    status = 401
    default_hint = "enroll again: conductor dev token issue WORKSPACE, then conductor enroll"
    exit_code = Exit.TOKEN_REFUSED


class CredentialRevoked(ServerRefusal):
    """The token was revoked."""

    code = "CREDENTIAL_REVOKED"
    status = 403
    default_hint = "enroll again: conductor dev token issue WORKSPACE, then conductor enroll"
    exit_code = Exit.TOKEN_REFUSED


class OperatorRefused(ServerRefusal):
    """This is not the operator token of the running conductor."""

    code = "OPERATOR_REFUSED"
    status = 403
    default_hint = "run it as the user, and with the --directory, of the running conductor dev"
    exit_code = Exit.TOKEN_REFUSED


class TokenUsed(ServerRefusal):
    """The enrollment token was used before."""

    code = "TOKEN_USED"
    status = 403
    default_hint = "issue a new one: conductor dev token issue WORKSPACE"
    exit_code = Exit.TOKEN_REFUSED


class ForeignWorkspace(ServerRefusal):
    """The call names another workspace than its credential."""

    code = "FOREIGN_WORKSPACE"
    status = 403
    default_hint = "use the workspace that was enrolled: conductor status"


class NotFound(ServerRefusal):
    """There is no such thing here."""

    code = "NOT_FOUND"
    status = 404
    default_hint = "run: conductor dev workspaces"
    exit_code = Exit.NOT_FOUND


class TokenNotFound(NotFound):
    """No token has this id."""

    code = "TOKEN_NOT_FOUND"
    default_hint = "run: conductor dev token list"


class NothingToRotate(ServerRefusal):
    """The workspace has no valid credential."""

    code = "NOTHING_TO_ROTATE"
    status = 404
    default_hint = "enroll it: conductor dev token issue WORKSPACE, then conductor enroll"
    exit_code = Exit.NOT_FOUND


class RotationNotWaiting(ServerRefusal):
    """No new credential of that version waits."""

    code = "ROTATION_NOT_WAITING"
    status = 409
    default_hint = "order one: conductor dev token rotate WORKSPACE"


class WrongMethod(ServerRefusal):
    """The path exists, but not with this method."""

    code = "METHOD_NOT_ALLOWED"
    status = 405
    default_hint = "see: docs/reference/control-plane.md"


class AlreadyDecided(ServerRefusal):
    """The approval was decided before."""

    code = "APPROVAL_DECIDED"
    status = 409


class NotWebSocket(ServerRefusal):
    """The link is a WebSocket; the request does not ask for one."""

    code = "UPGRADE_REQUIRED"
    status = 426
    default_hint = "connect with a WebSocket client: conductor sidecar"


class RefusingConnections(ServerRefusal):
    """The conductor takes no connections now."""

    code = "REFUSING"
    status = 503
    retryable = True
    default_hint = "wait, or end the fault: conductor dev fault clear"
    exit_code = Exit.UNAVAILABLE

    def __init__(self, detail: str = "", *, status: int = 503, retry_after_s: float = 1.0) -> None:
        super().__init__(detail)
        self.answer_status = status
        """The status of this refusal; a fault may ask for another than 503."""
        self.retry_after_s = retry_after_s


class FaultSyntax(ConductorError):
    """A fault is not written as NAME or NAME=VALUE."""

    code = "FAULT_SYNTAX"
    default_hint = "run: conductor dev fault --help"
    exit_code = Exit.USAGE


class SignalsUnreadable(ConductorError):
    """The inbox file holds a line that is not a signal."""

    code = "SIGNALS_UNREADABLE"
    default_hint = "mend or remove that line of .lumenflow/memory/signals.jsonl"
    exit_code = Exit.INTEGRITY


class InboxUnwritable(ConductorError):
    """The inbox file cannot be written; nothing was confirmed."""

    code = "INBOX_UNWRITABLE"
    retryable = True
    default_hint = "look at it: ls -l .lumenflow/memory; then: conductor doctor"


class LinkEnded(ConductorError):
    """The link is closed."""

    code = "LINK_CLOSED"
    retryable = True
    exit_code = Exit.UNAVAILABLE

    def __init__(self, detail: str = "", *, close_code: int = 1006) -> None:
        super().__init__(detail)
        self.close_code = close_code
        """The WebSocket close code; 1006: without a closing handshake."""


class RestartUnavailable(ServerRefusal):
    """This conductor cannot forget its history."""

    code = "FORGET_UNAVAILABLE"
    status = 409
    default_hint = "restart without --forget: conductor dev restart"


class NotLoopback(ConductorError):
    """The conductor listens on this machine only unless it is told otherwise."""

    code = "NOT_LOOPBACK"
    default_hint = "use --host 127.0.0.1, or add --allow-remote"
    exit_code = Exit.BAD_CONFIG


class DevBusy(ConductorError):
    """Another embedded conductor owns this directory."""

    code = "DEV_BUSY"
    default_hint = "stop it, or give this one a directory of its own: --directory DIR"
    exit_code = Exit.BUSY


class DevNotRunning(ConductorError):
    """No embedded conductor runs here."""

    code = "DEV_NOT_RUNNING"
    default_hint = "start it: conductor dev"
    exit_code = Exit.UNAVAILABLE


class DevAnswered(ConductorError):
    """The embedded conductor refused."""

    code = "DEV_ANSWERED"


class PortTaken(ConductorError):
    """The embedded conductor cannot listen there."""

    code = "PORT_TAKEN"
    default_hint = "choose another, or any free one: conductor dev --port 0"
    exit_code = Exit.BUSY
