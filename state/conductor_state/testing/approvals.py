"""The contract of approvals, as tests.

Promise: a store that passes may stand behind the tool host's `ApprovalStore` and the desk. Refusal:
nothing here knows a database; derive a class whose name begins with `Test` and give it `open`.
"""

# ruff: noqa: S101, SIM300, D102  tests: literal, expected == actual, named by sentences

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from conductor_sdk.approval import Approval, ApprovalRequest
from conductor_sdk.errors import ConductorError

HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000


def asked(
    request_id: str, *, input_hash: str = "a1", tool: str = "task:cancel", actor: str = "ann",
    at_ms: int = START_MS,
) -> ApprovalRequest:  # fmt: skip
    """Make a request that is open for an hour."""
    return ApprovalRequest(
        request_id, "sidekick", tool, actor, ("sidekick:task_cancel", "sidekick:any"), input_hash,
        "cancel task-1, für Ann", at_ms, at_ms + HOUR_MS,
    )  # fmt: skip


async def refused(work: Any) -> str:
    """Return the code of the error that a call raises; "" if it raises none."""
    try:
        await work
    except ConductorError as error:
        return error.code
    return ""


def ids(approvals: list[Approval]) -> list[str]:
    """Return the requests' ids."""
    return [approval.request.request_id for approval in approvals]


class ApprovalsContract(ABC):
    """Asking, deciding, using, listing and forgetting."""

    @abstractmethod
    def open(self, folder: Path) -> AbstractAsyncContextManager[Any]:
        """Open a store on what `folder` holds, and close it at the end."""

    async def grant(self, store: Any, request_id: str, now_ms: int = START_MS) -> Approval:
        approval: Approval = await store.decide(
            request_id, granted=True, by="lou", reason="fine", now_ms=now_ms
        )
        return approval

    async def deny(self, store: Any, request_id: str, now_ms: int = START_MS) -> Approval:
        approval: Approval = await store.decide(
            request_id, granted=False, by="lou", reason=None, now_ms=now_ms
        )
        return approval

    async def test_a_request_is_kept_as_it_was_asked(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            expected = Approval(asked("apr-1"), "pending")
            assert expected == await store.request(asked("apr-1"))
            assert expected == await store.get("apr-1", now_ms=START_MS)
            assert [expected] == await store.approvals(now_ms=START_MS)
            assert 1 == await store.count_pending(START_MS)
            assert await store.get("apr-2", now_ms=START_MS) is None

    async def test_asking_again_for_the_same_action_gives_the_open_request(
        self, tmp_path: Path
    ) -> None:
        async with self.open(tmp_path) as store:
            first = await store.request(asked("apr-1"))
            assert first == await store.request(asked("apr-2", at_ms=START_MS + 5))
            granted = await self.grant(store, "apr-1")
            assert granted == await store.request(asked("apr-3"))
            assert 1 == len(await store.approvals(now_ms=START_MS))

    async def test_another_tool_caller_or_input_is_another_action(self, tmp_path: Path) -> None:
        others = [
            asked("apr-2", tool="task:update"), asked("apr-3", actor="bob"),
            asked("apr-4", input_hash="b2"),
        ]  # fmt: skip
        async with self.open(tmp_path) as store:
            await store.request(asked("apr-1"))
            await self.grant(store, "apr-1")
            for other in others:
                assert "pending" == (await store.request(other)).state
                action = (other.tool, other.actor, other.input_hash)
                assert await store.use(*action, START_MS) is None
            assert 1 + len(others) == len(await store.approvals(now_ms=START_MS))

    async def test_a_grant_says_who_gave_it_and_is_used_once(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            await store.request(asked("apr-1"))
            assert await store.use("task:cancel", "ann", "a1", START_MS) is None
            granted = await self.grant(store, "apr-1", START_MS + 1)
            expected = Approval(asked("apr-1"), "granted", "lou", "fine", START_MS + 1)
            assert expected == granted
            used = await store.use("task:cancel", "ann", "a1", START_MS + 2)
            assert ("used", START_MS + 2) == (used.state, used.used_at_ms)
            assert await store.use("task:cancel", "ann", "a1", START_MS + 3) is None
            assert used == await store.get("apr-1", now_ms=START_MS + 4)

    async def test_of_many_callers_at_once_one_uses_the_grant(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            await store.request(asked("apr-1"))
            await self.grant(store, "apr-1")
            uses = [store.use("task:cancel", "ann", "a1", START_MS) for _ in range(50)]
            found = [use for use in await asyncio.gather(*uses) if use is not None]
            assert ["apr-1"] == ids(found)

    async def test_many_who_ask_at_once_get_one_request(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            calls = [store.request(asked(f"apr-{number}")) for number in range(20)]
            answers = await asyncio.gather(*calls)
            assert 1 == len({answer.request.request_id for answer in answers})
            assert 1 == await store.count_pending(START_MS)

    async def test_a_used_grant_makes_room_for_the_next_question(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            await store.request(asked("apr-1"))
            await self.grant(store, "apr-1")
            await store.use("task:cancel", "ann", "a1", START_MS)
            again = await store.request(asked("apr-2"))
            assert ("apr-2", "pending") == (again.request.request_id, again.state)

    async def test_a_denial_is_told_until_it_expires_and_is_never_used(
        self, tmp_path: Path
    ) -> None:
        async with self.open(tmp_path) as store:
            await store.request(asked("apr-1"))
            denied = await self.deny(store, "apr-1")
            assert ("denied", None) == (denied.state, denied.reason)
            for _ in range(2):
                assert denied == await store.use("task:cancel", "ann", "a1", START_MS + 1)
            assert await store.use("task:cancel", "ann", "a1", START_MS + HOUR_MS) is None

    async def test_a_decision_is_taken_once(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            await store.request(asked("apr-1"))
            await self.deny(store, "apr-1")
            assert "APPROVAL_DECIDED" == await refused(self.grant(store, "apr-1"))
            assert "APPROVAL_NOT_FOUND" == await refused(self.grant(store, "apr-9"))
            assert "denied" == (await store.get("apr-1", now_ms=START_MS)).state

    async def test_of_two_decisions_at_once_one_stands(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            await store.request(asked("apr-1"))
            codes = await asyncio.gather(
                refused(self.grant(store, "apr-1")), refused(self.deny(store, "apr-1"))
            )
            assert ["", "APPROVAL_DECIDED"] == sorted(codes)

    async def test_what_expired_is_neither_decided_nor_used(self, tmp_path: Path) -> None:
        end_ms = START_MS + HOUR_MS
        async with self.open(tmp_path) as store:
            await store.request(asked("apr-1"))
            await store.request(asked("apr-2", input_hash="b2"))
            await self.grant(store, "apr-2")
            assert "APPROVAL_DECIDED" == await refused(self.grant(store, "apr-1", end_ms))
            assert await store.use("task:cancel", "ann", "b2", end_ms) is None
            shown = await store.approvals(now_ms=end_ms)
            assert ["expired", "expired"] == [approval.state for approval in shown]
            assert 0 == await store.count_pending(end_ms)
            fresh = await store.request(asked("apr-3", at_ms=end_ms))
            assert ("apr-3", "pending") == (fresh.request.request_id, fresh.state)

    async def test_approvals_are_listed_newest_first_by_state_and_limit(
        self, tmp_path: Path
    ) -> None:
        async with self.open(tmp_path) as store:
            for number in range(4):
                at_ms = START_MS + number // 2
                await store.request(asked(f"apr-{number}", input_hash=str(number), at_ms=at_ms))
            await self.grant(store, "apr-1", START_MS + 1)
            await self.deny(store, "apr-2", START_MS + 1)
            now = {"now_ms": START_MS + 1}
            assert ["apr-3", "apr-2", "apr-1", "apr-0"] == ids(await store.approvals(**now))
            assert ["apr-3", "apr-2"] == ids(await store.approvals(limit=2, **now))
            assert ["apr-3", "apr-0"] == ids(await store.approvals(states=["pending"], **now))
            both = await store.approvals(states=("granted", "denied"), **now)
            assert ["apr-2", "apr-1"] == ids(both)
            later = {"now_ms": START_MS + HOUR_MS}
            assert ["apr-1", "apr-0"] == ids(await store.approvals(states=["expired"], **later))

    async def test_what_was_over_long_ago_is_forgotten_and_the_rest_stays(
        self, tmp_path: Path
    ) -> None:
        async with self.open(tmp_path) as store:
            await store.request(asked("apr-old"))
            await store.request(asked("apr-new", input_hash="b2", at_ms=START_MS + HOUR_MS))
            assert 1 == await store.prune(START_MS + HOUR_MS + 1)
            assert 0 == await store.prune(START_MS + HOUR_MS + 1)
            assert ["apr-new"] == ids(await store.approvals(now_ms=START_MS))
