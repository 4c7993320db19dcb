"""Answers by idempotency key in memory.

Promise: passes the contract suite of `testing.tool_results`. Refusal: nothing survives the process.
"""

from __future__ import annotations

from dataclasses import dataclass

from conductor_sdk.records import Claimed
from conductor_state.tool_answers import INTERRUPTED

_Name = tuple[str, str, str]


@dataclass(slots=True)
class _Result:
    input_hash: str
    at_ms: int
    output: bytes | None = None


class MemoryToolResults:
    """`ResultStore` without a database."""

    def __init__(self) -> None:
        self._results: dict[_Name, _Result] = {}

    async def claim(self, actor: str, tool: str, key: str, input_hash: str, now_ms: int) -> Claimed:
        """Claim a key before the tool runs."""
        found = self._results.get((actor, tool, key))
        if found is None:
            self._results[actor, tool, key] = _Result(input_hash, now_ms)
            return Claimed("fresh")
        if found.input_hash != input_hash:
            return Claimed("conflict")
        return Claimed("running") if found.output is None else Claimed("done", found.output)

    async def finish(self, actor: str, tool: str, key: str, output: bytes, now_ms: int) -> None:
        """Keep the answer of a claimed key; the first answer stays."""
        found = self._results.get((actor, tool, key))
        if found is not None and found.output is None:
            found.output, found.at_ms = output, now_ms

    async def release(self, actor: str, tool: str, key: str) -> None:
        """Give a claim back: the tool was not run. An answer stays."""
        found = self._results.get((actor, tool, key))
        if found is not None and found.output is None:
            del self._results[actor, tool, key]

    async def abandon_running(self) -> int:
        """Answer `CALL_INTERRUPTED` to what is running; returns how many."""
        running = [result for result in self._results.values() if result.output is None]
        for result in running:
            result.output = INTERRUPTED
        return len(running)

    async def prune(self, before_ms: int) -> int:
        """Forget answers older than `before_ms`; calls in progress stay. Returns how many."""
        old = [
            name
            for name, result in self._results.items()
            if result.at_ms < before_ms and result.output is not None
        ]
        for name in old:
            del self._results[name]
        return len(old)
