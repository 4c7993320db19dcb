"""Errors of the daemon and its commands."""

from __future__ import annotations

from conductor_sdk.errors import ConductorError, Exit


class ConfigInvalid(ConductorError):
    """The configuration is not valid."""

    code = "CONFIG_INVALID"
    default_hint = "run: conductor config show"
    exit_code = Exit.BAD_CONFIG


class AdapterNotFound(ConfigInvalid):
    """No adapter of that name is installed."""

    code = "ADAPTER_NOT_FOUND"


class TokenFileMissing(ConductorError):
    """The token file does not exist."""

    code = "TOKEN_FILE_MISSING"
    default_hint = "ask the conductor's operator for a token, and save it with mode 0600"
    exit_code = Exit.TOKEN_REFUSED


class EnrollmentRefused(ConductorError):
    """The conductor refused the enrollment token."""

    code = "ENROLLMENT_REFUSED"
    default_hint = "ask for a new token, then: conductor enroll URL --token-file FILE"
    exit_code = Exit.TOKEN_REFUSED


class EnrollmentFailed(ConductorError):
    """Enrollment did not get through."""

    code = "ENROLLMENT_FAILED"
    default_hint = "check the URL and the network, then run the command again"
    retryable = True
    exit_code = Exit.UNAVAILABLE


class EventNotFound(ConductorError):
    """Nothing is known of that event here."""

    code = "EVENT_NOT_FOUND"
    default_hint = "ids are kept for retention.days; run: conductor events"
    exit_code = Exit.NOT_FOUND


class DeadLetterNotFound(ConductorError):
    """No dead letter has that id."""

    code = "DEAD_LETTER_NOT_FOUND"
    default_hint = "run: conductor dead-letters list"
    exit_code = Exit.NOT_FOUND


class RequestInvalid(ConductorError):
    """The request is not valid."""

    code = "REQUEST_INVALID"
    default_hint = "see: docs/reference/control-socket.md"
    exit_code = Exit.USAGE


class LoopbackOnly(ConductorError):
    """Only a sidecar with the memory adapter has a loopback inbox."""

    code = "LOOPBACK_ONLY"
    default_hint = "start it with: conductor sidecar --adapter memory"
    exit_code = Exit.USAGE


class NeverRun(ConductorError):
    """No sidecar has run in this workspace yet."""

    code = "NEVER_RUN"
    default_hint = "start one: conductor sidecar"
    exit_code = Exit.NOT_FOUND


class ExpectationFailed(ConductorError):
    """Something that had to happen did not."""

    code = "EXPECTATION_FAILED"
    default_hint = "run: conductor doctor"
    exit_code = Exit.EXPECTATION


class CallLost(ConductorError):
    """The sidecar went away during the call, so whether the tool ran is not known."""

    code = "CALL_LOST"
    default_hint = "look at what it did: conductor log tail; then call again"


class ToolNotFound(ConductorError):
    """No tool of that name can be called here."""

    code = "TOOL_NOT_FOUND"
    default_hint = "run: conductor tools list"
    exit_code = Exit.NOT_FOUND


class PackCommandBroken(ConductorError):
    """A command that a pack brings cannot be loaded."""

    code = "PACK_COMMAND_BROKEN"
    default_hint = "reinstall the distribution that brings it, or remove it"
