"""What is told in the log of runs that failed, and how much of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from conductor_flows.execute.errors import Cancelled, DeadlineExceeded
from conductor_flows.host.web.complaints import TOLD_MAX, WHILE_S, Complaints
from flow_web import EVENTS, JSON, Asked, program_of, web
from virtual_time import virtual


class Mute(Exception):
    """Has no text that could be read."""

    def __str__(self) -> str:
        raise self

    __repr__ = __str__


class Odd(BaseException):
    """Of no kind that is caught by accident."""


def test_a_crowd_of_failures_is_told_as_a_number(caplog: pytest.LogCaptureFixture) -> None:
    time = [0.0]
    complaints = Complaints(lambda: time[0])
    for _ in range(TOLD_MAX + 7):
        complaints.tell("asked", ValueError("no"))
    told = [each.getMessage() for each in caplog.records]
    assert ["asked: ValueError: no"] * TOLD_MAX == told[:-1]
    assert "the next are left out" in told[-1]
    time[0] = WHILE_S
    caplog.clear()
    complaints.tell("asked", ValueError("again"))
    assert [
        "7 errors were not told: there were too many", "asked: ValueError: again",
    ] == [each.getMessage() for each in caplog.records]  # fmt: skip


def test_a_trace_is_told_only_where_it_leads_to_a_function(
    caplog: pytest.LogCaptureFixture,
) -> None:
    complaints = Complaints()
    for error in (ValueError("no"), Cancelled("the host is stopping"), DeadlineExceeded("1 s")):
        complaints.tell("asked", error)
    assert [True, False, False] == [each.exc_info is not None for each in caplog.records]


@pytest.mark.parametrize(("error", "said"), [
    (SystemExit(3), "SystemExit"), (Mute(), "Mute"), (Odd("secret"), "Odd"),
    (KeyError("x" * 1_000_000), "KeyError"), (RecursionError(), "RecursionError"),
    (asyncio.CancelledError(), "CancelledError"),
])  # fmt: skip
@pytest.mark.parametrize("streams", [False, True])
def test_whatever_a_function_raises_is_told_as_a_failure_of_its_node(
    error: BaseException, said: str, *, streams: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def give(_: Any) -> Any:
        async def pieces() -> Any:
            raise error
            yield

        if streams:
            return pieces()
        raise error

    @virtual
    async def run() -> None:
        app = web(program_of(give, streams=streams))
        asked = await Asked(app, body=b"1", headers=JSON | (EVENTS if streams else {})).done()
        assert (200 if streams else 500) == asked.status
        found = asked.events[-1].data if streams else asked.json
        assert ("FLOW_NODE_FAILED", "give") == (found["code"], found["details"]["node"])
        assert found["error"].endswith(f"give: {said}")

    run()
    assert [True] == [len(each.getMessage()) < 11_000 for each in caplog.records]
