"""The errors of the Sidekick pack that are not its storage's.

Promise: each has a stable code, which is the tool's answer too. Refusal: nothing is caught here.
"""

from __future__ import annotations

from conductor_sdk.errors import ConductorError, Exit


class ToolsetUnknown(ConductorError):
    """Sidekick has no such tool set."""

    code = "SIDEKICK_TOOLSET_UNKNOWN"
    default_hint = 'set sidekick.toolset to "core" or "full"'
    exit_code = Exit.BAD_CONFIG


class EmbedderUnusable(ConductorError):
    """The embedder that is configured cannot be used."""

    code = "SIDEKICK_EMBEDDER_UNUSABLE"
    default_hint = 'set sidekick.semantic to "package.module:attribute", or take it out'
    exit_code = Exit.BAD_CONFIG


class StorageUnknown(ConductorError):
    """Sidekick has no such storage."""

    code = "SIDEKICK_STORAGE_UNKNOWN"
    default_hint = 'set sidekick.storage to "filesystem" or "sqlite"'
    exit_code = Exit.BAD_CONFIG
