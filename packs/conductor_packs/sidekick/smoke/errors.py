"""The errors of the smoke walk."""

from __future__ import annotations

from conductor_sdk.errors import ConductorError, Exit


class SidecarNotReady(ConductorError):
    """The sidecar that was started did not become ready."""

    code = "SIDEKICK_SIDECAR_NOT_READY"
    default_hint = "start it yourself and read what it says: conductor sidecar --adapter memory"
    exit_code = Exit.UNAVAILABLE
