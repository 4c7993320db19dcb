"""The pack's own context: its storage, providers, outbox and embedder, each made at first use.

Promise: making a context opens nothing, and a transport scope goes before the configuration.
Refusal: no tool and no schedule is known here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from conductor_packs.sidekick.channels.outbox import Outbox
from conductor_packs.sidekick.channels.port import Transports
from conductor_packs.sidekick.channels.providers import configured_transports
from conductor_packs.sidekick.channels.registry import TransportRegistry, scoped_or
from conductor_packs.sidekick.channels.settings import ChannelSettings, channel_settings
from conductor_packs.sidekick.errors import StorageUnknown
from conductor_packs.sidekick.semantic import Meanings, load_embedder
from conductor_packs.sidekick.storage.opening import open_storage
from conductor_packs.sidekick.storage.port import StoragePort
from conductor_sdk.context import PackContext


class SidekickContext:
    """One for each loaded pack."""

    def __init__(self, base: PackContext, storage: Callable[[], StoragePort] | None = None) -> None:
        """Wrap the daemon's context.

        Args:
            base: The daemon's.
            storage: Asked at each use in place of the configuration, for those who embed the pack:
                `get_storage_port` follows the scopes of `run_with_storage_port`.
        """
        self.base = base
        self._given = storage
        self._meanings: Meanings | None = None

    def storage_port(self) -> StoragePort:
        """Return the storage of the workspace.

        Raises:
            StorageUnknown: The configuration names none that there is.
        """
        return self._configured if self._given is None else self._given()

    def transports(self) -> Transports:
        """Return the providers in use: those of the current scope, else the configured ones.

        Raises:
            ChannelSettingsInvalid: The configuration of the channels is wrong.
        """
        return scoped_or(self._registry)

    def outbox(self) -> Outbox:
        """Return the outbox of the workspace.

        Raises:
            ChannelSettingsInvalid: As `transports`.
        """
        return Outbox(
            self.storage_port(), self.transports(), self.base.clock,
            self._settings.outbox_max_attempts, self.base.log,
        )  # fmt: skip

    def meanings(self) -> Meanings | None:
        """Return what recalls by meaning; None where no embedder is configured.

        Raises:
            EmbedderUnusable: It cannot be imported.
        """
        entry = self.base.config.get("semantic")
        if self._meanings is None and entry is not None:
            self._meanings = Meanings(load_embedder(str(entry)))
        return self._meanings

    @cached_property
    def _settings(self) -> ChannelSettings:
        return channel_settings(self.base.config)

    @cached_property
    def _registry(self) -> TransportRegistry:
        return configured_transports(self._settings, self.base.workspace, self.base.clock)

    @cached_property
    def _configured(self) -> StoragePort:
        match self.base.config.get("storage", "filesystem"):
            case "filesystem" | "sqlite" as kind:
                return open_storage(self.base.workspace, kind, clock=self.base.clock)
            case other:
                raise StorageUnknown(repr(other))
