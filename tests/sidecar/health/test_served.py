"""Health where probes ask for it: control socket, TCP, commands."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from conductor_sdk.secret import Secret
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.app import open_journal
from conductor_sidecar.health.answers import Code
from conductor_state.enrollment import Enrollment
from conductor_state.identity import write_enrollment
from running import environment
from watch_world import Watch, watched

CONDUCTOR = str(Path(sys.executable).with_name("conductor"))
NOBODY = "ws://127.0.0.1:1/link"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "work").mkdir()
    return resolve_workspace(tmp_path / "work")


@pytest.fixture
def lonely(workspace: Workspace) -> Workspace:
    """A workspace whose conductor is gone."""
    workspace.create()
    write_enrollment(workspace, Enrollment(NOBODY, Secret("credential"), "work", None))
    return workspace


async def ready(watch: Watch) -> None:
    async with asyncio.timeout(20):
        while (await watch.local("/health/ready")).status != 200:  # noqa: ASYNC110  over HTTP
            await asyncio.sleep(0.01)


async def run(*words: str) -> tuple[int, str]:
    """Run a command beside the daemon."""
    process = await asyncio.create_subprocess_exec(
        CONDUCTOR, *words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    printed, _ = await process.communicate()
    return process.returncode or 0, printed.decode()


async def test_probes_are_answered_on_the_socket_and_over_tcp_without_a_token(
    workspace: Workspace,
) -> None:
    async with watched(workspace) as watch:
        await ready(watch)
        for path, state in (("live", "live"), ("ready", "ready"), ("hearing", "hearing")):
            expected = {"ok": True, "state": state, "reasons": []}
            for answer in (
                await watch.local(f"/health/{path}"),
                await watch.tcp(f"/health/{path}"),
            ):
                assert (200, expected) == (answer.status, answer.json)
                assert "no-store" == answer.headers["cache-control"]


async def test_a_probe_has_to_name_our_host_and_may_only_get(workspace: Workspace) -> None:
    async with watched(workspace) as watch:
        assert 421 == (await watch.tcp("/health/live", Host="evil.example")).status
        assert 403 == (await watch.tcp("/health/live", Origin="https://evil.example")).status
        assert 401 == (await watch.tcp("/health/live", "DELETE")).status
        assert 401 == (await watch.tcp("/health/live/")).status
        assert 401 == (await watch.tcp("/health")).status
        assert 404 == (await watch.local("/health")).status


async def test_without_a_conductor_it_is_live_and_not_ready_and_no_probe_is_a_denial(
    lonely: Workspace,
) -> None:
    async with watched(lonely, link={"adapter": "websocket"}) as watch:
        live, told = await watch.tcp("/health/live"), await watch.tcp("/health/ready")
        assert (200, 503) == (live.status, told.status)
        assert [Code.LINK_DOWN] == [reason["code"] for reason in told.json["reasons"]]
        assert {"code", "for_s"} == set(told.json["reasons"][0]), "no words over TCP"
        local = (await watch.local("/health/ready")).json
        assert local["reasons"][0]["detail"].startswith(("waiting", "connecting"))
        assert 401 == (await watch.tcp("/tools")).status
    journal = open_journal(lonely)
    denied = [entry for entry in await journal.latest(50)
              if entry.event_type == "HTTP_REQUEST_DENIED"]  # fmt: skip
    await journal.close()
    assert 1 == len(denied), "the one for /tools, written at the end"
    assert "UNAUTHORIZED" in denied[0].payload


async def test_the_command_tells_all_three_and_ends_as_probes_want(lonely: Workspace) -> None:
    place = ("--workspace", str(lonely.root))
    assert 69 == (await run("health", *place))[0]
    async with watched(lonely, link={"adapter": "websocket"}):
        assert (0, "live          yes\n") == await run("health", "live", *place)
        code, text = await run("health", *place)
        assert (1, "ready         no") == (code, text.splitlines()[1])
        assert "link_down: " in text
        code, text = await run("health", "ready", "--json", *place)
        assert (1, "not_ready") == (code, json.loads(text)["state"])
        code, text = await run("health", "--json", *place)
        assert {"live", "ready", "hearing"} == set(json.loads(text))
        _, text = await run("status", *place)
        assert "health        live, not ready" in text
        assert "link_down: " in text


async def test_the_status_of_a_running_sidecar_has_its_health_and_of_stores_has_none(
    workspace: Workspace,
) -> None:
    place = ("--workspace", str(workspace.root))
    async with watched(workspace) as watch:
        await ready(watch)
        status = (await watch.local("/v1/status")).json
        assert {"ok": True, "state": "ready", "reasons": []} == status["health"]["ready"]
    _, text = await run("status", "--json", *place)
    assert json.loads(text)["health"] is None
