"""Why a bundle was not written."""

from __future__ import annotations

from conductor_sdk.errors import ConductorError, Exit


class BundleUnsafe(ConductorError):
    """A secret would have been in the bundle, so it was not written."""

    code = "BUNDLE_UNSAFE"
    default_hint = "leave that part out: conductor diagnose --without PART"
    exit_code = Exit.INTEGRITY


class BundleFailed(ConductorError):
    """The bundle was not written."""

    code = "BUNDLE_FAILED"
    default_hint = "make room, or name another file: conductor diagnose --output FILE"
