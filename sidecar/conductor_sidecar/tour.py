"""The guided tour: nine steps that show the delivery contract, each one checked.

Promise: every line that is printed was observed; a step that does not come about ends the tour
with exit code 5. Refusal: nothing is simulated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conductor_sdk.event import keyed_event_id
from conductor_sidecar.errors import ExpectationFailed
from conductor_sidecar.playground import SUBJECT, Playground

COMPLETED = "acme-demo:job_completed"
QUEUED = "acme-demo:job_queued"
RECOVERY = "conductor:recovery_requested"
WAITING, LOST = 5, 3
"""Events that are pushed while the conductor is away: queued ones, ephemeral ones."""
PAGE = 1000


class Tour:
    """One walk through the contract."""

    def __init__(self, ground: Playground, say: Callable[[str, str], None]) -> None:
        """Prepare.

        Args:
            ground: A fresh playground.
            say: Prints a step's name and what was observed.
        """
        self._ground = ground
        self._say = say

    async def walk(self) -> dict[str, Any]:
        """Take every step; returns the last status report.

        Raises:
            ExpectationFailed: A step did not come about.
        """
        ground = self._ground
        address = await ground.open_conductor()
        self._say("conductor", f"listens on {address.url}")
        self._say("enroll", f"a one-time token became the credential of {SUBJECT!r}")
        await ground.enroll(address)
        await ground.start_sidecar()
        await ground.until("the link opens", self._linked)
        self._say("connect", f"WebSocket link open: {address.link}")
        await self._deliver_up()
        await self._deliver_down()
        await self._survive_absence()
        return await self._account()

    async def _deliver_up(self) -> None:
        event = {"kind": COMPLETED, "job_id": "job-1", "result": "ok",
                 "idempotency_key": "job-1:completed"}  # fmt: skip
        expected = keyed_event_id(SUBJECT, COMPLETED, "job-1:completed")
        for _ in range(2):
            [receipt] = await self._ground.sidecar.sync_port.push_kernel_events([event])
            _expect(receipt.event_id == expected, "the same job has the same id")
            await self._ground.until("the event is confirmed", self._settled_up)
        arrived = await self._arrived(COMPLETED)
        _expect(arrived == [expected], f"one event arrived, not {len(arrived)}")
        self._say("push", f"{COMPLETED} pushed twice, arrived once as {expected[:16]}…")

    async def _deliver_down(self) -> None:
        payload = {"wu_id": "acme-job-1"}
        sent = await self._ground.conductor.send(SUBJECT, RECOVERY, payload, "recover-1")
        await self._ground.until("the handler answers", self._inbound(delivered=1))
        self._say("handle", f"{RECOVERY} #{sent.sequence}: handled by acme-demo")
        again = await self._ground.conductor.send(
            SUBJECT, RECOVERY, payload, "recover-1", again=True
        )
        _expect(again.event_id == sent.event_id, "a resend has the same id")
        await self._ground.until("the resend is replayed", self._inbound(delivered=1, replayed=1))
        self._say("replay", f"its resend #{again.sequence}: known, the handler was not called")

    async def _survive_absence(self) -> None:
        await self._ground.close_conductor()
        await self._ground.until("the link closes", self._unlinked)
        queued = [{"kind": QUEUED, "job_id": f"job-{n}", "idempotency_key": f"job-{n}:queued"}
                  for n in range(WAITING)]  # fmt: skip
        tried = [{"kind": COMPLETED, "job_id": f"job-{n}"} for n in range(LOST)]
        receipts = await self._ground.sidecar.sync_port.push_kernel_events([*queued, *tried])
        kept = [receipt.event_id for receipt in receipts if receipt.status == "queued"]
        dropped = [receipt for receipt in receipts if receipt.status == "dropped"]
        _expect((len(kept), len(dropped)) == (WAITING, LOST), "queued wait, ephemeral drop")
        self._say("conductor gone", f"{WAITING} queued events wait, {LOST} ephemeral were dropped")
        await self._ground.open_conductor()
        await self._ground.until("the queue drains", self._settled_up)
        arrived = await self._arrived(QUEUED)
        _expect(arrived == kept, "the queue drained in the order of the pushes")
        self._say("conductor back", f"{len(arrived)} queued events arrived, in order")

    async def _account(self) -> dict[str, Any]:
        status = await self._ground.status()
        _expect(status["balanced"], "accepted = delivered + buffered + dropped + dead")
        kinds = [*status["inbound"].values(), *status["outbound"].values()]
        accepted = sum(of["accepted"] for of in kinds)
        delivered = sum(of["delivered"] for of in kinds)
        dropped = sum(sum(of["dropped"].values()) for of in kinds)
        self._say("account", f"{accepted} accepted = {delivered} delivered + {dropped} dropped, "
                  "nothing buffered, nothing lost")  # fmt: skip
        return status

    async def _arrived(self, kind: str) -> list[str]:
        pushed = await self._ground.conductor.pushed(SUBJECT, 0, PAGE)
        return [event.event_id for event in pushed if event.kind == kind]

    async def _linked(self) -> bool:
        return bool((await self._ground.status())["link"]["state"] == "open")

    async def _unlinked(self) -> bool:
        return not await self._linked()

    async def _settled_up(self) -> bool:
        outbox = (await self._ground.status())["outbox"]
        return bool(outbox["events"] == 0 and outbox["unconfirmed"] == 0)

    def _inbound(self, **wanted: int) -> Any:
        async def reached() -> bool:
            counts = (await self._ground.status())["inbound"].get(RECOVERY, {})
            return all(counts.get(name) == value for name, value in wanted.items())

        return reached


def _expect(held: bool, what: str) -> None:
    if not held:
        raise ExpectationFailed(what)
