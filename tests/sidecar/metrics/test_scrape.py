"""A scrape of a running daemon: who gets it, and what it says after events and calls."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

import delivery_pack
import tool_pack
from conductor_sdk.client import ask, connect
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.metrics.catalogue import series
from delivery_pack import ASKED, QUEUED
from installed import install
from running import environment
from watch_world import PATIENCE_S, Watch, samples_of, watched

PREFIX = "conductor_sidecar_"
PACKS = {"disabled": ["acme-demo", "sidekick", "plan"]}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    installed = install(
        tmp_path / "installed",
        packs={"delivery_pack": "delivery_pack:pack", "tool_pack": "tool_pack:pack"},
    )
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.setattr(delivery_pack, "desk", delivery_pack.Desk())
    monkeypatch.setattr(tool_pack, "bench", tool_pack.Bench())
    (tmp_path / "work").mkdir()
    return resolve_workspace(tmp_path / "work")


async def send(workspace: Workspace, number: int, do: str) -> None:
    body = {"kind": ASKED, "payload": {"n": number, "do": do}, "idempotency_key": str(number)}
    encoded = msgspec.json.encode(body)
    await asyncio.to_thread(
        ask, workspace, "POST", "/v1/loopback/send", encoded, timeout_s=PATIENCE_S
    )


async def until(watch: Watch, reached: Any) -> dict[tuple[str, ...], float]:
    async with asyncio.timeout(PATIENCE_S):
        while not reached(found := await watch.samples()):  # noqa: ASYNC110  over HTTP
            await asyncio.sleep(0.01)
    return found


async def test_what_happened_to_events_is_in_the_next_scrape(workspace: Workspace) -> None:
    async with watched(workspace, packs=PACKS) as watch:
        for number, do in enumerate(["work", "push", "reject", "work"], start=1):
            await send(workspace, number, do)
        confirmed = (f"{PREFIX}events_delivered_total", "outbound", QUEUED)
        dead = (f"{PREFIX}events_dead_lettered", "inbound", ASKED)
        delivered = (f"{PREFIX}events_delivered_total", "inbound", ASKED)
        found = await until(
            watch,
            lambda now: now.get(confirmed) and now.get(dead) and now.get(delivered, 0) >= 3,
        )
        assert 4 == found[(f"{PREFIX}events_accepted_total", "inbound", ASKED)]
        assert 3 == found[delivered]
        assert 1 == found[dead]
        assert 1 == found[(f"{PREFIX}conservation_holds",)]
        count = f"{PREFIX}handler_duration_seconds_count"
        assert (3, 1) == tuple(
            found[(count, ASKED, outcome, "delivery-pack")] for outcome in ("handled", "rejected")
        )
        assert found[(f"{PREFIX}store_commits_total", "sidecar.db")] > 4
        commits = f"{PREFIX}store_commit_duration_seconds_count"
        assert found[(commits, "journal.db")] > 0
        assert found[(f"{PREFIX}store_bytes", "sidecar.db")] > 4096
        assert 1 == found[(f"{PREFIX}link_up",)]
        assert 4 == found[(f"{PREFIX}cursor_sequence",)]


async def test_calls_of_tools_are_counted_by_tool_and_outcome(workspace: Workspace) -> None:
    async with watched(workspace, packs=PACKS) as watch:
        tools = connect(workspace.root).tools
        for _ in range(3):
            await tools.call("bench:echo", {"n": 1})
        await tools.call("bench:echo", {"n": "no number"})
        await tools.call("bench:nothing", {})
        found = await watch.samples()
        count = f"{PREFIX}tool_call_duration_seconds_count"
        assert {("success", "bench:echo"): 3, ("failure", "bench:echo"): 1} == {
            key[1:]: value for key, value in found.items() if key[0] == count
        }


async def test_over_tcp_a_scrape_needs_a_token_and_a_host_of_ours(workspace: Workspace) -> None:
    async with watched(workspace, packs=PACKS) as watch:
        assert 401 == (await watch.tcp("/metrics")).status
        assert 401 == (await watch.tcp("/metrics", Authorization="Bearer wrong")).status
        bearer = f"Bearer {watch.token}"
        answer = await watch.tcp("/metrics", Authorization=bearer)
        assert (200, "no-store") == (answer.status, answer.headers["cache-control"])
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert {name for name, *_ in samples_of(answer.body.decode())} <= series()
        evil = await watch.tcp("/metrics", Authorization=bearer, Host="evil.example")
        assert 421 == evil.status
        assert watch.token.encode() not in answer.body
        assert str(workspace.root).encode() not in answer.body


async def test_with_metrics_open_a_scrape_needs_no_token_and_tools_still_do(
    workspace: Workspace,
) -> None:
    async with watched(workspace, packs=PACKS, metrics={"open": True}) as watch:
        assert 200 == (await watch.tcp("/metrics")).status
        assert 401 == (await watch.tcp("/tools")).status
        assert 401 == (await watch.tcp("/metrics", "POST")).status


async def test_without_http_listen_nothing_listens_and_the_socket_is_scraped(
    workspace: Workspace,
) -> None:
    async with watched(workspace, packs=PACKS, http={}) as watch:
        assert watch.url is None
        wanted = "application/openmetrics-text; version=1.0.0"
        answer = await watch.local("/metrics", Accept=wanted)
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.body.endswith(b"# EOF\n")


async def test_ten_scrapes_at_once_all_get_a_whole_answer(workspace: Workspace) -> None:
    async with watched(workspace, packs=PACKS) as watch:
        answers = await asyncio.gather(*[watch.local("/metrics") for _ in range(10)])
        assert [200] * 10 == [answer.status for answer in answers]
        assert all(samples_of(answer.body.decode()) for answer in answers)


def test_prometheus_is_not_imported_before_the_first_scrape() -> None:
    code = (
        "import sys, conductor_sidecar.serve, conductor_sidecar.http.watch_routes\n"
        "sys.exit('prometheus_client' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), check=False)
    assert 0 == done.returncode
