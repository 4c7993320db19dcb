"""The contract of answers by idempotency key, as tests.

Promise: a store that passes may stand behind the tool host's `ResultStore`. Refusal: nothing here
knows a database; derive a class whose name begins with `Test` and give it `open`.
"""

# ruff: noqa: S101, SIM300, D102  tests: literal, expected == actual, named by sentences

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec

from conductor_sdk.records import Claimed
from conductor_sdk.tool_output import ToolOutput

CALL = ("ann", "task:create", "key-1")
FRESH, RUNNING, CONFLICT = Claimed("fresh"), Claimed("running"), Claimed("conflict")


class ToolResultsContract(ABC):
    """Claiming, answering, giving back, a crash, forgetting."""

    @abstractmethod
    def open(self, folder: Path) -> AbstractAsyncContextManager[Any]:
        """Open a store on what `folder` holds, and close it at the end."""

    async def test_the_first_answer_is_what_every_repetition_gets(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            assert FRESH == await store.claim(*CALL, "h", 1)
            assert RUNNING == await store.claim(*CALL, "h", 2)
            await store.finish(*CALL, b'{"success":true}', 3)
            await store.finish(*CALL, b'{"success":false}', 4)
            expected = Claimed("done", b'{"success":true}')
            for now_ms in (5, 6):
                assert expected == await store.claim(*CALL, "h", now_ms)

    async def test_another_input_under_the_same_key_is_told_apart(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            await store.claim(*CALL, "h", 1)
            assert CONFLICT == await store.claim(*CALL, "other", 2)
            await store.finish(*CALL, b"{}", 3)
            assert CONFLICT == await store.claim(*CALL, "other", 4)

    async def test_a_key_belongs_to_one_caller_and_one_tool(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            await store.claim(*CALL, "h", 1)
            await store.finish(*CALL, b"{}", 1)
            assert FRESH == await store.claim("bob", "task:create", "key-1", "h", 1)
            assert FRESH == await store.claim("ann", "task:cancel", "key-1", "h", 1)
            assert FRESH == await store.claim("ann", "task:create", "key-2", "h", 1)

    async def test_of_many_calls_at_once_one_owns_the_key(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            claims = await asyncio.gather(*(store.claim(*CALL, "h", 1) for _ in range(50)))
            assert 1 == claims.count(FRESH)
            assert 49 == claims.count(RUNNING)  # noqa: PLR2004

    async def test_a_claim_that_is_given_back_is_free_again(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            await store.claim(*CALL, "h", 1)
            await store.release(*CALL)
            assert FRESH == await store.claim(*CALL, "other", 2)
            await store.finish(*CALL, b"{}", 3)
            await store.release(*CALL)
            assert Claimed("done", b"{}") == await store.claim(*CALL, "other", 4)

    async def test_finishing_what_nobody_claimed_keeps_nothing(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            await store.finish(*CALL, b"{}", 1)
            await store.release(*CALL)
            assert FRESH == await store.claim(*CALL, "h", 2)

    async def test_a_call_that_a_crash_ended_is_answered_as_interrupted(
        self, tmp_path: Path
    ) -> None:
        done = (*CALL[:2], "key-2")
        async with self.open(tmp_path) as store:
            await store.claim(*CALL, "h", 1)
            await store.claim(*done, "h", 1)
            await store.finish(*done, b"{}", 1)
            assert 1 == await store.abandon_running()
            assert 0 == await store.abandon_running()
            claimed = await store.claim(*CALL, "h", 2)
            assert "done" == claimed.state
            output = msgspec.json.decode(claimed.output, type=ToolOutput)
            assert output.error is not None
            assert (False, "CALL_INTERRUPTED") == (output.success, output.error.code)
            assert Claimed("done", b"{}") == await store.claim(*done, "h", 2)

    async def test_old_answers_are_forgotten_and_running_calls_stay(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            for number in range(3):
                await store.claim("ann", "t:x", str(number), "h", number)
            await store.finish("ann", "t:x", "0", b"{}", 10)
            await store.finish("ann", "t:x", "1", b"{}", 20)
            assert 1 == await store.prune(20)
            assert 0 == await store.prune(20)
            assert FRESH == await store.claim("ann", "t:x", "0", "h", 30)
            assert Claimed("done", b"{}") == await store.claim("ann", "t:x", "1", "h", 30)
            assert RUNNING == await store.claim("ann", "t:x", "2", "h", 30)
