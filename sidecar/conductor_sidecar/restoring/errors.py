"""What can go wrong with a backup, or on the way back from one."""

from __future__ import annotations

from conductor_sdk.errors import ConductorError, Exit


class BackupFailed(ConductorError):
    """The backup was not written."""

    code = "BACKUP_FAILED"
    default_hint = "make room, or choose another place; then run it again"
    retryable = True


class BackupExists(ConductorError):
    """There is a file of that name already."""

    code = "BACKUP_EXISTS"
    default_hint = "name another file, or a directory: conductor backup DIR"


class BackupDamaged(ConductorError):
    """The file is not a whole backup."""

    code = "BACKUP_DAMAGED"
    default_hint = "take an older backup; nothing was changed"
    exit_code = Exit.INTEGRITY


class BackupTooNew(ConductorError):
    """A newer version of this program wrote the backup."""

    code = "BACKUP_TOO_NEW"
    default_hint = "upgrade first: pip install --upgrade conductor-sidecar"
    exit_code = Exit.BAD_CONFIG


class RestoreRefused(ConductorError):
    """The backup does not belong into this workspace."""

    code = "RESTORE_REFUSED"
    default_hint = "compare: conductor status; nothing was changed"


class FolderBusy(ConductorError):
    """A pack holds its files for too long."""

    code = "PACK_FOLDER_BUSY"
    default_hint = "run it again when the pack has finished"
    retryable = True
    exit_code = Exit.BUSY
