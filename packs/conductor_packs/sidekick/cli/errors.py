"""The errors of the commands that no tool does."""

from __future__ import annotations

from conductor_sdk.errors import ConductorError, Exit


class ExportInvalid(ConductorError):
    """The file is not an unchanged export."""

    code = "SIDEKICK_EXPORT_INVALID"
    default_hint = "make one: conductor sidekick export --out FILE"
    exit_code = Exit.INTEGRITY


class FileRefused(ConductorError):
    """The file cannot be read or written."""

    code = "SIDEKICK_FILE_REFUSED"
    default_hint = "name another file; an existing one is never overwritten"
