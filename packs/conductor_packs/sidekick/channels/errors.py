"""What can be wrong with channels, apart from a provider's own answers."""

from __future__ import annotations

from conductor_sdk.errors import ConductorError, Exit


class ChannelSettingsInvalid(ConductorError):
    """The settings of the channels are wrong."""

    code = "SIDEKICK_CHANNEL_SETTINGS"
    default_hint = "edit [pack.sidekick] in conductor.toml, then run: conductor config show"
    exit_code = Exit.BAD_CONFIG


class SecretMissing(ConductorError):
    """A webhook's secret cannot be read."""

    code = "SIDEKICK_SECRET_MISSING"
    default_hint = "see: docs/how-to/sidekick.md"
    exit_code = Exit.BAD_CONFIG
