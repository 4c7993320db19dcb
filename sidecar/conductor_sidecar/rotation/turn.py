"""One sidecar's credential, turned over while everything runs.

Promise: at every moment there is a credential in a file with which the conductor lets us in,
whichever step this process is killed at; a version that is not newer changes nothing. Refusal: no
credential is given up because the conductor refuses it, and none is printed.

    asked ── fetch with the present one ── candidate, durable ── link opened with the candidate
          ── candidate becomes the present one, durable ── journal ── candidate's file removed

Until the link is open the present credential stays where it was. What a crash leaves is finished
at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from conductor_adapters.transport import CredentialRefused, Transport
from conductor_sdk.errors import ConductorError
from conductor_sidecar.credentials import Identity, identity_of
from conductor_sidecar.logs import get_logger
from conductor_sidecar.rotation.address import PATH, conductor_address, rotation_url
from conductor_sidecar.rotation.errors import RotationError, RotationUnfinished
from conductor_sidecar.rotation.finishing import Rotated, finish
from conductor_sidecar.rotation.means import Means
from conductor_sidecar.rotation.timing import Retries, renewal_s

LOOK_S = 3600.0
"""Seconds after which the clock is looked at again: it may have been set."""
FINISH_S = 25.0
"""Seconds that `renew` waits for the new credential to be in use."""


@dataclass(frozen=True, slots=True)
class _Order:
    version: int | None
    """None: whatever the conductor gives."""
    url: str


class Rotation:
    """Turns the credential over when the conductor, its age or an operator asks. `run` once."""

    def __init__(self, means: Means, reconnect: Callable[[str], Awaitable[None]]) -> None:
        self._means = means
        self.reconnect = reconnect
        """Ends the open link, so that the next one is opened with the candidate."""
        self._retries = Retries(means.random, means.retry_first_s)
        self._log = get_logger(part="rotation")
        self._order: _Order | None = None
        self._not_before = 0.0
        self._trial: Identity | None = None
        self._proven = False
        self._wake = asyncio.Event()
        self._since = means.clock.now()
        self._roll = means.random()
        self._waiting: list[asyncio.Future[Rotated]] = []

    # What the link tells

    def asked(self, version: int, url: str) -> None:
        """Take a conductor's word that a credential waits; an old or known version is ignored."""
        credentials = self._means.credentials
        known, candidate = credentials.present.generation, credentials.candidate
        if candidate is not None and not credentials.candidate_refused:
            known = max(known, candidate.generation)
        if version <= known:
            self._means.feed.note("rotation", detail=f"version {version} is not newer than {known}")
            return
        try:
            self._take(version, url)
        except RotationError as error:
            self._means.feed.refused(error.code, error.detail)
            self._means.feed.failed(error)
            self._log.warning("rotation_refused", code=error.code, error=error.message)

    async def connect(self, dial: Callable[[Identity], Awaitable[Transport]]) -> Transport:
        """Open a link with the candidate, or else with the present credential.

        Raises:
            CredentialRefused: Both were refused. Both stay where they are.
            TransportError: As `dial`.
        """
        first: CredentialRefused | None = None
        for trial in self._means.credentials.trials():
            self._trial = None
            if trial is self._means.credentials.candidate:
                self._means.crash_point("rotation.probing")
            try:
                transport = await dial(trial)
            except CredentialRefused as error:
                self._means.credentials.refused(trial)
                first = first or error
                continue
            self._trial = trial
            return transport
        assert first is not None  # noqa: S101  there is a present credential, so there was a try
        raise first

    def opened(self) -> None:
        """Note that the conductor welcomed the link that was opened last."""
        if self._trial is not None and self._trial is self._means.credentials.candidate:
            self._proven, self._not_before = True, 0.0
            self._wake.set()

    # What an operator asks

    async def renew(self, timeout_s: float = FINISH_S) -> Rotated:
        """Get a new credential now; returns when it is in use.

        Raises:
            RotationError: There is none to have; the present one stays in use.
            TransportError: The conductor was not reached, or refused.
            RotationUnfinished: It is stored, and no link was opened with it in time.
        """
        credentials = self._means.credentials
        if credentials.candidate is None or credentials.candidate_refused:
            self._take(None, PATH)
            self._not_before = 0.0
        done: asyncio.Future[Rotated] = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._wake.set()
        try:
            async with asyncio.timeout(timeout_s):
                return await done
        except TimeoutError:
            raise RotationUnfinished from None
        finally:
            self._waiting.remove(done)

    # The work

    def prepare(self) -> None:
        """Offer the candidate that a crash left. Call before the first connection."""
        means = self._means
        try:
            found = means.files.candidate()
            if found is not None and not means.files.is_present(found):
                means.credentials.offer(identity_of(found))
        except ConductorError as error:
            means.feed.failed(error)

    async def run(self) -> None:
        """Finish what a crash left, then turn the credential over as often as it is asked."""
        await self._guarded(self._resume)
        while True:
            if self._means.clock.monotonic() >= self._not_before:
                await self._step()
            await self._sleep()

    async def _step(self) -> None:
        """Do the next thing that there is to do."""
        if self._proven:
            await self._guarded(self._commit)
        elif self._order is not None:
            await self._guarded(self._fetch)
        elif self._means.credentials.candidate is not None:
            await self._try()
        else:
            self._renew_if_due()

    def _take(self, version: int | None, url: str) -> None:
        present, means = self._means.credentials.present, self._means
        home = conductor_address(present.conductor, present.address)
        checked = rotation_url(url, home, allow_plaintext=means.link().allow_plaintext)
        self._order = _Order(version, checked)
        self._wake.set()

    async def _resume(self) -> None:
        means = self._means
        found = means.files.candidate()
        if found is None:
            means.files.forget()
        elif means.files.is_present(found):
            self._answer(await finish(means, identity_of(found), again=True))

    async def _fetch(self) -> None:
        means, order = self._means, self._order
        if order is None:
            return
        means.crash_point("rotation.asked")
        present = means.credentials.present
        fresh = await means.endpoint.fetch(order.url, present.credential, order.version)
        means.crash_point("rotation.fetched")
        if fresh.version <= present.generation:
            raise RotationError(f"version {fresh.version} is not newer than {present.generation}")
        candidate = identity_of(means.files.offer(fresh, means.clock.now()))
        if self._order is order:
            self._order = None
        self._retries.over()
        self._not_before = 0.0
        means.credentials.offer(candidate)
        self._log.info("rotation_stored", generation=candidate.generation)
        await self._try()

    async def _try(self) -> None:
        """Have a link opened with the candidate; where it is not welcomed, again later.

        One that was refused is tried too: a broker may hear of it later than we do.
        """
        self._means.credentials.offer(self._means.credentials.candidate)
        await self.reconnect("a new credential is to be used")
        if not self._proven:
            self._not_before = self._means.clock.monotonic() + self._retries.next_s()

    async def _commit(self) -> None:
        means, candidate = self._means, self._means.credentials.candidate
        if candidate is None:
            self._proven = False
            return
        means.crash_point("rotation.proven")
        if not means.files.promote():
            self._proven = False
            means.credentials.offer(None)
            means.files.forget()
            return
        means.credentials.committed(candidate)
        self._proven = False
        means.crash_point("rotation.committed")
        self._answer(await finish(means, candidate))
        self._since, self._roll = means.clock.now(), means.random()
        self._retries.over()
        self._not_before = means.clock.monotonic() + means.pause_s

    def _renew_if_due(self) -> None:
        left_s = self._renewal_s()
        if left_s is not None and left_s <= 0 and self._means.credentials.candidate is None:
            with contextlib.suppress(RotationError):  # the conductor then does it, or nobody
                self._take(None, PATH)

    def _renewal_s(self) -> float | None:
        present, now = self._means.credentials.present, self._means.clock.now()
        return renewal_s(present, now, self._since, self._roll)

    async def _sleep(self) -> None:
        now = self._means.clock.monotonic()
        waiting = self._order is not None or self._means.credentials.candidate is not None
        if waiting or now < self._not_before:
            wait_s = max(0.0, self._not_before - now)
        else:
            wait_s = min(LOOK_S, max(1.0, self._renewal_s() or LOOK_S))
        # Not wait_for: on Python 3.11 it may lose a cancellation that comes with the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        self._wake.clear()

    async def _guarded(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do a step; one that fails is done again later, and nothing was given up for it."""
        try:
            await step()
        except (ConductorError, OSError) as error:
            failed = error if isinstance(error, ConductorError) else RotationError(str(error))
            self._means.feed.failed(failed)
            self._log.warning("rotation_failed", code=failed.code, error=failed.message)
            self._not_before = self._means.clock.monotonic() + self._retries.next_s()
            if not failed.retryable and not isinstance(failed, CredentialRefused):
                self._order = None
            self._answer(failed)

    def _answer(self, result: Rotated | ConductorError) -> None:
        for done in self._waiting:
            if done.done():
                continue
            if isinstance(result, ConductorError):
                done.set_exception(result)
            else:
                done.set_result(result)
