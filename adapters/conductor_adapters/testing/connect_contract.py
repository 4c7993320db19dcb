# ruff: noqa: D102  the names of a suite's tests are sentences
"""The suite for the connecting half of an adapter.

Promise: subclass `ConnectContract`, give it an adapter and a server that misbehaves in one of four
ways. Refusal: what an open link does stands in `contract`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from enum import Enum

from conductor_adapters.testing.expect import PATIENCE_S, equal, true
from conductor_adapters.transport import (
    Adapter,
    ConductorBusy,
    ConnectFailed,
    CredentialRefused,
    LinkOptions,
    TransportError,
)
from conductor_sdk.secret import Secret

RETRY_AFTER_S = 7.0
_TOKEN = "do-not-show-this-token"  # noqa: S105  a toy, searched for in error texts
_PATIENT = LinkOptions(open_timeout_s=PATIENCE_S)
_IMPATIENT = LinkOptions(open_timeout_s=0.2)


class Reception(Enum):
    """How a server receives a connection."""

    WELCOMES = "opens the link"
    REFUSES = "refuses the credential"
    IS_BUSY = f"asks to come back after {RETRY_AFTER_S:g} s"
    IS_SILENT = "never answers"
    IS_GONE = "does not listen at all"


class ConnectContract(ABC):
    """Behaviour of `Adapter.connect`."""

    @property
    @abstractmethod
    def adapter(self) -> Adapter:
        """The adapter under test."""

    @abstractmethod
    def server(self, reception: Reception) -> AbstractAsyncContextManager[str]:
        """Start a server that receives connections this way; give its address."""

    async def test_a_refused_credential_says_so(self) -> None:
        equal(CredentialRefused, type(await self._failure(Reception.REFUSES)))

    async def test_a_busy_conductor_names_its_delay(self) -> None:
        error = await self._failure(Reception.IS_BUSY)
        true(isinstance(error, ConductorBusy), "busy is ConductorBusy")
        equal(RETRY_AFTER_S, getattr(error, "retry_after_s", None))

    async def test_a_silent_server_fails_within_the_open_timeout(self) -> None:
        equal(ConnectFailed, type(await self._failure(Reception.IS_SILENT)))

    async def test_an_address_without_a_server_fails(self) -> None:
        equal(ConnectFailed, type(await self._failure(Reception.IS_GONE)))

    async def test_an_address_of_another_scheme_fails(self) -> None:
        equal(ConnectFailed, type(await self._failure_at("gopher://127.0.0.1:1", _PATIENT)))

    async def test_cancelling_connect_leaves_nothing_behind(self) -> None:
        async with self.server(Reception.IS_SILENT) as address:
            connecting = asyncio.create_task(
                self.adapter.connect(address, Secret(_TOKEN), LinkOptions())
            )
            for _ in range(20):
                await asyncio.sleep(0)
            connecting.cancel()
            await asyncio.wait({connecting}, timeout=PATIENCE_S)
            true(connecting.cancelled(), "connect is cancelled")

    async def test_an_open_link_does_not_show_the_credential(self) -> None:
        async with self.server(Reception.WELCOMES) as address:
            link = await self.adapter.connect(address, Secret(_TOKEN), LinkOptions())
            try:
                true(_TOKEN not in repr(link), "repr does not show the credential")
            finally:
                await link.close()

    async def _failure(self, reception: Reception) -> TransportError:
        async with self.server(reception) as address:
            silent = reception is Reception.IS_SILENT
            return await self._failure_at(address, _IMPATIENT if silent else _PATIENT)

    async def _failure_at(self, address: str, options: LinkOptions) -> TransportError:
        try:
            async with asyncio.timeout(2 * PATIENCE_S):
                link = await self.adapter.connect(address, Secret(_TOKEN), options)
        except TransportError as error:
            shown = f"{error} {error!r} {error.as_json()}"
            true(_TOKEN not in shown, "the error does not show the credential")
            return error
        await link.close()
        raise AssertionError("expected connect to fail, it opened a link")
