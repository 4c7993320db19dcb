"""The root of every error, and the process exit codes.

Promise: every error that an operator can meet has a stable code, a text that says what happened
and a hint that names the next command. Refusal: nothing here is caught, logged or translated.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import ClassVar


class Exit(IntEnum):
    """Exit codes of every `conductor` command; documented in `docs/reference/exit-codes.md`."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_FOUND = 3
    INTEGRITY = 4
    EXPECTATION = 5
    BUSY = 6
    UNAVAILABLE = 69
    TOKEN_REFUSED = 77
    BAD_CONFIG = 78


class ConductorError(Exception):
    """The operation failed."""

    code: ClassVar[str] = "FAILED"
    """Stable, upper snake case; listed in `docs/reference/errors.md`."""
    default_hint: ClassVar[str] = "run: conductor doctor"
    """What to type next when the place that raises knows nothing better."""
    retryable: ClassVar[bool] = False
    """Whether the same call may succeed later without a change."""
    exit_code: ClassVar[Exit] = Exit.FAILURE

    def __init__(
        self,
        detail: str = "",
        *,
        hint: str | None = None,
        data: Mapping[str, object] | None = None,
    ) -> None:
        """Build the error.

        Args:
            detail: What and where, without secrets; appended to the class's own sentence.
            hint: The next command, where the default is not the best one.
            data: Machine-readable facts, shown in JSON output.
        """
        super().__init__(detail)
        self.detail = detail
        self.hint = self.default_hint if hint is None else hint
        self.data: dict[str, object] = dict(data or {})

    @property
    def message(self) -> str:
        """The class's sentence, then the detail: one line."""
        text = (type(self).__doc__ or "").strip().split("\n", 1)[0].rstrip(".")
        return f"{text}: {self.detail}" if self.detail else text

    def __str__(self) -> str:
        return self.message

    def as_json(self) -> dict[str, object]:
        """Return the error as an object of JSON values for `--json` and HTTP answers."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "retryable": self.retryable,
            **({"data": self.data} if self.data else {}),
        }


class EventRefused(ConductorError):
    """The event was refused."""

    code = "EVENT_REFUSED"
    default_hint = "see: docs/reference/events.md"
    exit_code = Exit.USAGE


class EventMalformed(EventRefused):
    """The event does not have the shape of a kernel event."""

    code = "EVENT_MALFORMED"


class UnknownKind(EventRefused):
    """Unknown kind at emit: the pack's manifest does not declare it."""

    code = "UNKNOWN_KIND"
    default_hint = "add the kind to emitted_event_kinds and backpressure_policy of the manifest"


class SubjectMismatch(EventRefused):
    """The event claims another subject than the enrolled one."""

    code = "SUBJECT_MISMATCH"
    default_hint = "leave `from` out; the sidecar sets it"


class QueueFull(ConductorError):
    """The outbox is at its cap and its overflow policy is `reject`."""

    code = "QUEUE_FULL"
    retryable = True
    default_hint = "run: conductor status; then raise outbox.max_events or wait for the link"
    exit_code = Exit.BUSY


class SidecarUnreachable(ConductorError):
    """No sidecar answers on the workspace's control socket."""

    code = "SIDECAR_UNREACHABLE"
    retryable = True
    default_hint = "start it: conductor sidecar"
    exit_code = Exit.UNAVAILABLE


class UsageWrong(ConductorError):
    """The command line is not right."""

    code = "USAGE"
    default_hint = "add --help to the command"
    exit_code = Exit.USAGE


class SystemRefused(ConductorError):
    """The operating system refused."""

    code = "SYSTEM_REFUSED"
    default_hint = "look at the path, its permissions and the disk: conductor doctor"


class Unexpected(ConductorError):
    """Something went wrong that nobody thought of."""

    code = "UNEXPECTED"
    default_hint = "see where: set CONDUCTOR_TRACEBACK=1 and run the command again"
