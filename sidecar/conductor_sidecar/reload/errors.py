"""Why a reload did not come about; what ran before goes on."""

from __future__ import annotations

from conductor_sdk.errors import ConductorError, Exit


class ReloadFailed(ConductorError):
    """The reload failed; everything goes on as it was."""

    code = "RELOAD_FAILED"
    default_hint = "look at the log, then restart the sidecar to take the configuration"


class ReloadBusy(ReloadFailed):
    """The sidecar cannot reload now."""

    code = "RELOAD_BUSY"
    default_hint = "try again: conductor reload"
    retryable = True
    exit_code = Exit.BUSY


class ReloadTimeout(ReloadFailed):
    """Running handlers did not end in time; everything goes on as it was."""

    code = "RELOAD_TIMEOUT"
    default_hint = "try again, or raise reload.timeout_s: conductor reload"
    retryable = True
    exit_code = Exit.BUSY


class ReloadPackRefused(ReloadFailed):
    """A pack would be refused; everything goes on as it was."""

    code = "RELOAD_PACK_REFUSED"
    default_hint = "mend the pack, or disable it in packs.disabled: conductor packs"


class ReloadToolRefused(ReloadFailed):
    """A tool would not be offered; everything goes on as it was."""

    code = "RELOAD_TOOL_REFUSED"
    default_hint = "mend the pack's tools: conductor pack validate"
