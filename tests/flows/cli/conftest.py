"""Running `flows` as a person does, in a folder of one's own."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conductor_flows.cli.main import main

ECHO = """
from pydantic import BaseModel

from conductor_flows import Flow, node, trigger


class Request(BaseModel):
    value: str


class Reply(BaseModel):
    value: str


@trigger(summary="Take")
async def take(request: Request) -> Request:
    return request


@node(summary="Lower the case")
async def lower(request: Request) -> Reply:
    return Reply(value=request.value.strip().lower())


flow = Flow("echo_flow", "1.0.0", profile="web")
flow.connect(flow.add(take), flow.add(lower))
"""
WAITS = """
from dataclasses import dataclass

from conductor_flows import Decision, Flow, approval, callback, node, timer, trigger


@dataclass(frozen=True)
class Order:
    amount: int


@trigger(summary="Take")
async def take(order: Order) -> Order:
    return order


@node(summary="Say what was decided")
async def say(decision: Decision) -> str:
    return f"{decision.approved} by {decision.approver}: {decision.comment}"


@node(summary="Say what came")
async def told(order: Order) -> int:
    return order.amount


asks = Flow("asks_flow", "1.0.0")
asked = asks.add(approval("ask", Order))
asks.connect(asks.add(take), asked)
asks.connect(asked, asks.add(say))

calls = Flow("calls_flow", "1.0.0")
called = calls.add(callback("call", Order, Order))
calls.connect(calls.add(take), called)
calls.connect(called, calls.add(told))

sleeps = Flow("sleeps_flow", "1.0.0")
slept = sleeps.add(timer("sleep", Order, after_s=0))
sleeps.connect(sleeps.add(take), slept)
sleeps.connect(slept, sleeps.add(told))

naps = Flow("naps_flow", "1.0.0")
napped = naps.add(timer("nap", Order, after_s=7200))
naps.connect(naps.add(take), napped)
naps.connect(napped, naps.add(told))
"""


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Flows = Callable[..., Ran]


@pytest.fixture
def flows(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Flows:
    """Return what runs `flows` with arguments, and bytes on standard input."""

    def run(*arguments: object, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ran(ended.value.code, told.out, told.err)

    return run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with `echo.py` and `waits.py` in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "echo.py").write_text(ECHO)
    (tmp_path / "waits.py").write_text(WAITS)
    return tmp_path
