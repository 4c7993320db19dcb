"""Why a credential was not rotated.

Promise: each says what to type next. Refusal: none holds a credential.
"""

from __future__ import annotations

from conductor_sdk.errors import ConductorError, Exit


class RotationError(ConductorError):
    """The credential was not rotated; the present one stays in use."""

    code = "ROTATION_FAILED"
    retryable = True
    default_hint = "look at it: conductor status; then: conductor rotate"


class RotationElsewhere(RotationError):
    """The new credential would come from somewhere else than the enrolled conductor."""

    code = "ROTATION_ELSEWHERE"
    retryable = False
    default_hint = "if it has moved, enroll again: conductor enroll URL --token-file FILE"
    exit_code = Exit.TOKEN_REFUSED


class RotationRefused(RotationError):
    """The conductor gives no new credential."""

    code = "ROTATION_REFUSED"
    default_hint = "ask the conductor's operator: conductor dev token rotate WORKSPACE"


class RotationUnavailable(RotationError):
    """This sidecar has no credential that could be rotated."""

    code = "ROTATION_UNAVAILABLE"
    retryable = False
    default_hint = "enroll again: conductor enroll URL --token-file FILE"
    exit_code = Exit.USAGE


class RotationUnfinished(RotationError):
    """The new credential is stored and not in use yet; the sidecar goes on trying."""

    code = "ROTATION_UNFINISHED"
    default_hint = "look at it: conductor status"
    exit_code = Exit.UNAVAILABLE
