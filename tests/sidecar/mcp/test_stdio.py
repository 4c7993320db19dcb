"""`conductor mcp`: a real process between the SDK's client and a daemon on the control socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import notes_pack
import pytest
from mcp import Client
from notes_world import (
    ACTOR,
    BOTH_ERAS,
    HANDSHAKE,
    PATIENCE_S,
    NotesHost,
    daemon,
    notes_host,
    pack_installed,
    program,
    until,
)

from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.cli.main import main
from conductor_sidecar.mcp.endpoint import McpEndpoint


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws/conductor.toml").write_text(
        '[packs]\ndisabled = ["acme-demo", "sidekick", "plan"]\n'
        '[[tools.scopes]]\ntype = "path"\npattern = "**"\naccess = "write"\n'
        '[[tools.scopes]]\ntype = "path"\npattern = "**"\naccess = "read"\n'
        '[[tools.scopes]]\ntype = "network"\nposture = "full"\n'
    )
    return resolve_workspace(tmp_path / "ws")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    return pack_installed(tmp_path / "installed")


@pytest.fixture
async def notes(workspace: Workspace) -> AsyncIterator[NotesHost]:
    async with notes_host(workspace.root) as made:
        yield made


def endpoint(notes: NotesHost) -> McpEndpoint:
    return McpEndpoint(notes.host, lambda _: ACTOR, known=notes.known())


async def test_tools_are_listed_and_called_through_the_daemon(
    workspace: Workspace, installed: Path, notes: NotesHost, desk: notes_pack.Desk
) -> None:
    async with (
        daemon(workspace, endpoint(notes)),
        Client(program(installed, workspace.root)) as client,
    ):
        tools = {tool.name for tool in (await client.list_tools()).tools}
        good = await client.call_tool("notes_note_add", {"title": "Milk"})
        bad = await client.call_tool("notes_note_find", {"title": "Eggs"})

    assert {"notes_note_add", "notes_note_list", "notes_note_wait"} < tools
    assert {"title": "Milk", "count": 1} == good.structured_content
    assert bad.is_error
    assert "NOT_FOUND" == bad.structured_content["code"]
    assert [("local:tester", "mcp")] == desk.callers


async def test_patterns_select_tools_with_a_daemon_and_without(
    workspace: Workspace, installed: Path, notes: NotesHost
) -> None:
    one = program(installed, workspace.root, "--tools", "note:add", "--tools", "notes_note_l*")

    async with Client(one) as client:
        alone = {tool.name for tool in (await client.list_tools()).tools}
        async with daemon(workspace, endpoint(notes)):
            served = {tool.name for tool in (await client.list_tools(cache_mode="bypass")).tools}

    assert {"notes_note_add", "notes_note_list"} == alone == served


async def test_without_a_daemon_tools_are_listed_and_calls_say_what_to_do(
    workspace: Workspace, installed: Path, notes: NotesHost
) -> None:
    async with Client(program(installed, workspace.root)) as client:
        alone = (await client.list_tools()).tools
        refused = await client.call_tool("notes_note_add", {"title": "Milk"})
        async with daemon(workspace, endpoint(notes)):
            served = (await client.list_tools(cache_mode="bypass")).tools

    assert [tool.model_dump() for tool in served] == [tool.model_dump() for tool in alone]
    assert refused.is_error
    assert "SIDECAR_UNREACHABLE" == refused.structured_content["code"]
    assert "conductor sidecar" in refused.structured_content["message"]


async def test_a_daemon_that_was_restarted_is_found_again(
    workspace: Workspace, installed: Path, notes: NotesHost
) -> None:
    answers: list[Any] = []
    async with Client(program(installed, workspace.root), mode="legacy") as client:
        for _ in range(2):
            async with daemon(workspace, endpoint(notes)):
                answers.append(await client.call_tool("notes_note_add", {"title": "Milk"}))
            answers.append(await client.call_tool("notes_note_add", {"title": "Milk"}))

    assert [False, True, False, True] == [answer.is_error for answer in answers]


@pytest.mark.parametrize("mode", BOTH_ERAS)
async def test_a_cancelled_request_cancels_the_call_in_the_daemon(
    workspace: Workspace, installed: Path, notes: NotesHost, mode: str, desk: notes_pack.Desk
) -> None:
    async with (
        daemon(workspace, endpoint(notes)),
        Client(program(installed, workspace.root), mode=mode) as client,
    ):
        call = asyncio.create_task(client.call_tool("notes_note_wait", {}))
        async with asyncio.timeout(PATIENCE_S):
            await desk.waiting.wait()
        call.cancel()
        await until(lambda: desk.cancelled == 1)
        after = await client.call_tool("notes_note_add", {"title": "after"})

    assert not after.is_error


async def test_a_daemon_that_goes_away_during_a_call_is_told_of(
    workspace: Workspace, installed: Path, notes: NotesHost, desk: notes_pack.Desk
) -> None:
    async with Client(program(installed, workspace.root)) as client:
        async with daemon(workspace, endpoint(notes)):
            call = asyncio.create_task(client.call_tool("notes_note_wait", {}))
            async with asyncio.timeout(PATIENCE_S):
                await desk.waiting.wait()
        lost = await call

    assert lost.is_error
    assert "CALL_INTERRUPTED" == lost.structured_content["code"]


async def test_fifty_calls_at_once_all_answer(
    workspace: Workspace, installed: Path, notes: NotesHost, desk: notes_pack.Desk
) -> None:
    async with (
        daemon(workspace, endpoint(notes)),
        Client(program(installed, workspace.root)) as client,
    ):
        results = await asyncio.gather(
            *(client.call_tool("notes_note_add", {"title": str(n)}) for n in range(50))
        )

    assert {str(n) for n in range(50)} == {one.structured_content["title"] for one in results}


async def test_a_workspace_deep_below_is_reached(
    tmp_path: Path, installed: Path, desk: notes_pack.Desk
) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    async with (
        notes_host(deep) as notes,
        daemon(resolve_workspace(deep), endpoint(notes)),
        Client(program(installed, deep)) as client,
    ):
        result = await client.call_tool("notes_note_add", {"title": "Milk"})

    assert not result.is_error


class Typed:
    """`conductor mcp` with its pipes in our hands."""

    def __init__(self, installed: Path, workspace: Workspace) -> None:
        told = program(installed, workspace.root)
        self.process = subprocess.Popen(
            [told.command, *told.args], env={**os.environ, **(told.env or {})},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def type(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def read(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, message: object) -> Any:
        self.type(json.dumps(message).encode())
        return self.read()

    def end(self) -> tuple[int, bytes, bytes]:
        """Close its input; its exit code and what it still printed."""
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, err


@pytest.fixture
def typed(installed: Path, workspace: Workspace) -> Any:
    one = Typed(installed, workspace)
    yield one
    if one.process.poll() is None:
        one.process.kill()
    for pipe in (one.process.stdin, one.process.stdout, one.process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    one.process.wait(PATIENCE_S)


def test_an_unknown_protocol_version_gets_the_latest_known_one_and_the_end_of_input_ends_it(
    typed: Typed,
) -> None:
    params = {**HANDSHAKE["params"], "protocolVersion": "1999-01-01"}  # type: ignore[dict-item]  # JSON
    answer = typed.ask(HANDSHAKE | {"params": params})["result"]

    assert ("conductor", "2025-11-25") == (answer["serverInfo"]["name"], answer["protocolVersion"])
    assert (0, b"", b"") == typed.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_while_it_waits_for_input(
    typed: Typed, number: signal.Signals
) -> None:
    typed.ask(HANDSHAKE)
    typed.process.send_signal(number)

    assert 0 == typed.process.wait(PATIENCE_S)
    assert (0, b"", b"") == typed.end()


def test_a_client_that_closes_its_end_of_the_output_ends_it_cleanly(typed: Typed) -> None:
    typed.ask(HANDSHAKE)
    assert typed.process.stdout is not None
    typed.process.stdout.close()
    typed.type(b'{"jsonrpc":"2.0","id":2,"method":"ping"}')

    assert 0 == typed.process.wait(PATIENCE_S)


NOT_MESSAGES: list[tuple[bytes, int, object]] = [
    (b"nonsense", -32700, None),
    (b'{"jsonrpc":"2.0"', -32700, None),
    (b"\xff", -32700, None),
    (b'{"jsonrpc":"2.0","id":5,"method":"ping","params":{"x":NaN}}', -32700, None),
    (b"[" * 5000, -32700, None),
    (b"[]", -32600, None),
    (b'{"jsonrpc":"1.0","id":7,"method":"ping"}', -32600, 7),
    (b'{"id":"a"}', -32600, "a"),
    (b'{"jsonrpc":"2.0","id":8,"method":"no/such"}', -32601, 8),
    (b'{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":7}}', -32602, 9),
]


def test_lines_that_are_no_requests_are_answered_with_errors(typed: Typed) -> None:
    typed.ask(HANDSHAKE)
    typed.type(b"\r")
    found: list[tuple[bytes, int, object]] = []
    for line, _, _ in NOT_MESSAGES:
        typed.type(line)
        answer = typed.read()
        found.append((line, answer["error"]["code"], answer.get("id")))
    typed.type(b'"' + b"x" * (17 * 1024 * 1024) + b'"')
    too_long = typed.read()
    ping = typed.ask({"jsonrpc": "2.0", "id": 2, "method": "ping"})

    assert NOT_MESSAGES == found
    assert "longer than" in too_long["error"]["message"]
    assert {} == ping["result"]


def test_nothing_but_the_protocol_is_on_standard_output(
    installed: Path, workspace: Workspace, tmp_path: Path
) -> None:
    (installed / "notes_noise.py").write_text(
        'import os\nprint("noise at import")\nos.write(1, b"noise below\\n")\n'
        "from notes_pack import *\n"
    )
    (installed / "delivery_tests-1.0.dist-info/entry_points.txt").write_text(
        "[conductor.packs]\nnotes = notes_noise:pack\n"
    )
    typed = Typed(installed, workspace)
    typed.ask(HANDSHAKE)
    typed.type(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
    tools = typed.ask({"jsonrpc": "2.0", "id": 2, "method": "tools/list"})
    code, out, err = typed.end()

    assert 6 == len(tools["result"]["tools"])
    assert (0, b"") == (code, out)
    assert b"noise at import" in err
    assert b"noise below" in err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--workspace", "/no/such"], 3), (["--tools", "x" * 300], 2), (["--nonsense"], 2)],
)
def test_what_cannot_work_is_said_on_standard_error(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["mcp", *arguments])
    out, err = capsys.readouterr()

    assert (code, "") == (ended.value.code, out)
    assert err
