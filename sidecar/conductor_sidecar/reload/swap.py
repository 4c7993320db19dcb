"""Exchanging everything at one moment in which no handler runs.

Promise: an event is handled by the old packs or by the new ones, as a whole, and never by both; a
failure on the way puts everything back. Refusal: nothing is read or checked here; a plan is given.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial

from conductor_handlers.dispatcher import DispatchSettings
from conductor_protocol.backoff import Backoff, BackoffPolicy
from conductor_sidecar.app import outbox_caps
from conductor_sidecar.logs import get_logger
from conductor_sidecar.ports import Outbox
from conductor_sidecar.reload.errors import ReloadFailed, ReloadTimeout
from conductor_sidecar.reload.plan import Force
from conductor_sidecar.runtime import Parts
from conductor_sidecar.settings import ReconnectSettings
from conductor_sidecar.surfaces import Served

RETIRE_S = 5.0
"""Seconds that calls of tools whose pack is gone have to end."""


@dataclass(frozen=True, slots=True)
class Swap:
    """The hands of a reload on one daemon."""

    parts: Parts
    outbox: Outbox
    served: Served

    async def to(self, new: Force, old: Force, timeout_s: float) -> None:
        """Go over, once every attempt that runs has ended.

        Raises:
            ReloadTimeout: They did not end in time; nothing was changed.
            ReloadFailed: Something was refused; everything is as it was.
            ConductorError: Another address cannot be listened on; everything is as it was.
        """
        await self.served.prepare(new.settings)
        try:
            await self._over(new, old, timeout_s)
        except BaseException:
            await self.served.undo()
            raise

    async def _over(self, new: Force, old: Force, timeout_s: float) -> None:
        if not await self.parts.dispatcher.pause(timeout_s):
            raise ReloadTimeout(f"{timeout_s:g} s")
        try:
            self._exchange(new, old)
        except Exception as error:
            self._exchange(old, new)
            raise ReloadFailed(f"{type(error).__name__}: {error}") from error
        finally:
            self.parts.dispatcher.go_on()

    async def settle(self, new: Force, old: Force) -> None:
        """Begin and end what goes with packs that came, went or changed.

        Never raises what a step raises: the new one is in force, and the other steps are taken.
        """
        packs, host = self.parts.packs, self.parts.tools.host

        async def retire() -> None:
            if gone := old.load.bound.keys() - new.load.bound.keys():
                await host.settled(gone, RETIRE_S)
                await packs.retire(old.load)

        settled, succeed = self.served.settle, partial(packs.succeed, old.load)
        for step in (self.parts.downlink.regrant, settled, succeed, retire):
            try:
                await step()
            except Exception as error:  # noqa: BLE001  whatever it is, it is not to be taken back
                text = f"it is in force, but: {type(error).__name__}: {error}"
                self.parts.feed.failed(ReloadFailed(text))
                get_logger(part="reload").error("reload_not_settled", error=text)

    def _exchange(self, new: Force, old: Force) -> None:
        """Put one in the place of the other; nothing in here waits."""
        parts, settings, load = self.parts, new.settings, new.load
        parts.settings = settings
        parts.packs.adopt(load)
        parts.uplink.set_policy(parts.packs.policy_of)
        parts.tools.adopt(new.catalogue, load.rooms, settings)
        parts.dispatcher.adopt(
            load.routes, DispatchSettings(concurrency=settings.dispatch.concurrency)
        )
        parts.downlink.adopt(settings.dispatch.window)
        if settings.reconnect != old.settings.reconnect:
            parts.keeper.adopt(backoff(settings.reconnect))
        self.outbox.configure(outbox_caps(settings.outbox))
        if _shows(new) != _shows(old):
            self.served.renew(settings)


def _shows(force: Force) -> tuple[object, ...]:
    """Return what requests over HTTP and MCP depend on."""
    packs = sorted((slug, id(one)) for slug, one in force.load.bound.items())
    settings = force.settings
    shown = settings.http, settings.mcp, settings.metrics
    # The manifests too: a tool that is made of the workspace's files takes what they say now.
    tools = {name: tool.manifest for name, tool in force.catalogue.tools.items()}
    return *shown, packs, tools


def backoff(reconnect: ReconnectSettings) -> Backoff:
    """Return the schedule of a section."""
    policy = BackoffPolicy(first_spread_s=reconnect.first_spread_s, cap_s=reconnect.cap_s)
    return Backoff(policy, random.random)
