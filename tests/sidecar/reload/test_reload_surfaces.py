"""What a reload changes for those who call tools, and for a service manager."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
from pathlib import Path

import pytest
import structlog

from conductor_sdk.clock import SystemClock
from conductor_sidecar.config import Configuration
from conductor_sidecar.health.progress import LocalProgress, Work
from conductor_sidecar.logs import configure, get_logger
from conductor_sidecar.reload.difference import setting_changes
from conductor_sidecar.reload.hangup import reload_on_hangup
from conductor_sidecar.reload.live import HELD, is_live, taken_over
from conductor_sidecar.serve import Service
from conductor_sidecar.settings import (
    DispatchSection,
    HttpSettings,
    LinkSettings,
    LogSettings,
    OutboxCaps,
    OutboxSettings,
    Settings,
    TracesSettings,
)
from conductor_sidecar.systemd.herald import Herald
from conductor_sidecar.systemd.notify import Notifier
from reload_pack import GUEST, STEADY
from reload_world import ReloadWorld

LISTEN = {"listen": "127.0.0.1:0"}


async def test_what_tcp_lets_through_changes_on_the_same_port(world: ReloadWorld) -> None:
    world.write({"http": LISTEN})
    await world.run()
    before = (await world.status())["http"]
    seen = [await world.tcp_tools()]
    for allowed in (["*"], [f"{STEADY}:*"]):
        world.write({"http": {**LISTEN, "allow_tools": allowed}})
        await world.reload()
        seen.append(await world.tcp_tools())
    assert [[], [f"{GUEST}:say", f"{STEADY}:say"], [f"{STEADY}:say"]] == seen
    assert before == (await world.status())["http"]


async def test_tools_of_a_pack_come_and_go_with_it(world: ReloadWorld) -> None:
    world.write({"http": {**LISTEN, "allow_tools": ["*"]}})
    await world.run()
    others = ["acme-demo", "sidekick", "plan", GUEST]
    world.write({"http": {**LISTEN, "allow_tools": ["*"]}, "packs": {"disabled": others}})
    await world.reload()
    tools = (await world.get("/tools"))["tools"]
    assert [f"{STEADY}:say"] == [tool["name"] for tool in tools] == await world.tcp_tools()


def test_what_needs_a_restart_stays_as_it_was() -> None:
    old = Settings()
    new = Settings(
        link=LinkSettings(adapter="mqtt", open_timeout_s=3.0),
        http=HttpSettings(listen="127.0.0.1:1", allow_tools=["*"]),
        traces=TracesSettings(sample_ratio=0.5),
        dispatch=DispatchSection(concurrency=3),
        outbox=OutboxSettings(kinds={"a:b": OutboxCaps(max_events=1)}),
    )
    kept = taken_over(old, new)
    assert (
        LinkSettings(open_timeout_s=3.0), new.http, new.dispatch, new.outbox, TracesSettings()
    ) == (kept.link, kept.http, kept.dispatch, kept.outbox, kept.traces)  # fmt: skip
    left = setting_changes(Configuration(kept, {}), Configuration(new, {}))
    assert [
        ("link.adapter", "restart", "the adapter is chosen once, when the daemon starts"),
        ("traces.sample_ratio", "restart",
         "the exporter of traces is opened once, when the daemon starts"),
    ] == [
        (change.name, change.effect, change.why) for change in sorted(left, key=lambda c: c.name)
    ]  # fmt: skip
    held = taken_over(old, new, HELD)
    assert HttpSettings(allow_tools=["*"]) == held.http


def test_a_setting_that_nobody_thought_of_needs_a_restart() -> None:
    assert [False, False, True, True] == [
        is_live(name) for name in ("link.nonsense", "nonsense.a", "outbox.kinds.a:b", "pack.x.y")
    ]


def test_what_is_called_a_key_is_hidden_in_every_section() -> None:
    old = Configuration(Settings(), {})
    new = Configuration(Settings(link=LinkSettings(key_file="/etc/keys/client.pem")), {})
    [change] = setting_changes(old, new)
    assert ("link.key_file", "…", "…") == (change.name, change.old, change.new)


def test_the_watchdog_is_as_patient_as_handlers_may_take() -> None:
    progress = LocalProgress({}, dispatcher_s=60)
    progress.worked(Work(1, "mark"), 0.0)
    assert not progress.verdict(61.0).moves
    progress.patient(600)
    assert progress.verdict(61.0).moves


def test_another_log_level_holds_for_loggers_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    try:
        configure(LogSettings(level="error", format="json"))
        log = get_logger(part="test")
        for level in ("error", "info", "error"):
            configure(LogSettings(level=level, format="json"))
            log.info("heard", at=level)
            said += [json.loads(line)["at"] for line in capsys.readouterr().err.splitlines()]
    finally:
        structlog.reset_defaults()
        logging.basicConfig(level=logging.WARNING, handlers=[], force=True)
    assert ["info"] == said


async def test_a_service_manager_is_told_of_every_reload_and_how_it_ended(
    world: ReloadWorld, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        said: list[str] = []
        loop = asyncio.get_running_loop()
        loop.add_reader(manager, lambda: said.append(manager.recv(65536).decode()))
        world.service = Service(Herald(Notifier(str(tmp_path / "notify")), SystemClock()))
        await world.run()
        world.write({"dispatch": {"concurrency": 3}})
        await world.reload()
        world.write_text("[dispatch")
        await world.refused()
        await world.until("all is said", lambda: sum("READY=1" in text for text in said) == 3)
        loop.remove_reader(manager)
    begun = [text.splitlines()[-1] for text in said if text.startswith("RELOADING=1")]
    ended = [text for text in said if text.startswith("READY=1")]
    assert ["STATUS=reloading", "STATUS=reloading"] == begun
    assert [
        "READY=1\nSTATUS=running", "READY=1\nSTATUS=running",
        "READY=1\nSTATUS=running; reload refused: CONFIG_INVALID",
    ] == ended  # fmt: skip
    assert all("MONOTONIC_USEC=" in text for text in said if text.startswith("RELOADING=1"))


async def test_a_hangup_reloads_unless_the_terminal_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[tuple[bool, bool]] = []
    for before, after in ((False, False), (True, True), (True, False)):
        asked, stop = asyncio.Event(), asyncio.Event()
        monkeypatch.setattr("os.isatty", lambda _, here=before: here)
        reload_on_hangup(asked, stop)
        monkeypatch.setattr("os.isatty", lambda _, here=after: here)
        signal.raise_signal(signal.SIGHUP)
        async with asyncio.timeout(5):
            while not (asked.is_set() or stop.is_set()):  # noqa: ASYNC110  one of two
                await asyncio.sleep(0.001)
        found.append((asked.is_set(), stop.is_set()))
    asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
    assert [(True, False), (True, False), (False, True)] == found
