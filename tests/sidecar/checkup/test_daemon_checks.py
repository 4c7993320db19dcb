"""What a running sidecar says of itself, its credential, and its units."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from checkup_scene import NOW, Enroll, look
from conductor_sdk.clock import wire_time
from conductor_sdk.workspace import Workspace
from conductor_sidecar import __version__
from conductor_sidecar.checkup import service
from conductor_sidecar.checkup.scene import Scene
from conductor_sidecar.systemd.installing import apply, plan_install
from conductor_sidecar.systemd.units import Wanted, render

PID = 4242
STATUS: dict[str, Any] = {
    "pid": PID, "started": wire_time(NOW - timedelta(hours=1)), "version": __version__,
    "link": {"state": "open", "adapter": "websocket", "reason": ""},
    "backlog": 3, "outbox": {"events": 2, "bytes": 100, "oldest_age_s": 1.0},
    "dead_letters": 0, "approvals_pending": 0, "balanced": True, "errors": [],
}  # fmt: skip
FINE = {"ok": True, "state": "live", "reasons": []}


def says(scene: Scene, path: str = "/v1/status", **changed: Any) -> None:
    """Let the daemon have answered."""
    scene._known["/v1/status"] = STATUS
    scene._known[path] = {**(STATUS if path == "/v1/status" else {}), **changed}


def test_a_sidecar_that_is_well_is_ok_throughout(scene: Scene) -> None:
    says(scene, "/v1/health", live=FINE, ready=FINE, hearing=FINE)
    ids = ("running", "version", "link", "health", "balance", "backlog", "dead_letters", "outbox",
           "approvals", "errors", "owner")  # fmt: skip

    assert {"ok"} == {look(scene, f"daemon.{each}").state for each in ids}


@pytest.mark.parametrize(
    ("check", "changed", "state"),
    [
        ("version", {"version": "0.0.1"}, "warn"),
        ("link", {"link": {"state": "waiting", "adapter": "w", "reason": "X"}}, "warn"),
        ("balance", {"balanced": False}, "fail"),
        ("backlog", {"backlog": 4000}, "warn"),
        ("dead_letters", {"dead_letters": 7}, "warn"),
        ("outbox", {"outbox": {"events": 900_000, "bytes": 1, "oldest_age_s": 1.0}}, "warn"),
        ("outbox", {"outbox": {"events": 9, "bytes": 2**30, "oldest_age_s": 1.0}}, "warn"),
        ("outbox", {"outbox": {"events": 9, "bytes": 1, "oldest_age_s": 7200.0}}, "warn"),
        ("outbox", {"outbox": {"events": 0, "bytes": 0, "oldest_age_s": None}}, "ok"),
        ("errors", {"errors": [{"at": wire_time(NOW), "code": "X", "message": "m"}]}, "warn"),
        ("errors", {"errors": [{"at": "2026-01-01T00:00:00Z", "code": "X", "message": "m"}]}, "ok"),
    ],
)  # fmt: skip
def test_what_a_sidecar_suffers_from_is_named(
    scene: Scene, check: str, changed: dict[str, Any], state: str
) -> None:
    says(scene, **changed)
    found = look(scene, f"daemon.{check}")

    assert (state, state != "ok") == (found.state, bool(found.hint))


@pytest.mark.parametrize(
    ("wrong", "state"), [("live", "fail"), ("ready", "warn"), ("hearing", "warn")]
)
def test_health_that_is_not_is_passed_on_with_its_reason(
    scene: Scene, wrong: str, state: str
) -> None:
    bad = {"ok": False, "state": "not_ready", "reasons": [{"code": "disk_full", "detail": "x"}]}
    says(scene, "/v1/health", **{name: bad if name == wrong else FINE
                                for name in ("live", "ready", "hearing")})  # fmt: skip
    found = look(scene, "daemon.health")

    assert (state, True) == (found.state, "disk_full: x" in found.detail)


@pytest.mark.parametrize(("hours", "state"), [(0.5, "ok"), (3.0, "warn")])
def test_a_request_that_nobody_decides_is_named(scene: Scene, hours: float, state: str) -> None:
    asked = {"requested_at": wire_time(NOW - timedelta(hours=hours))}
    says(scene, approvals_pending=1)
    scene._known["/v1/approvals?state=pending&limit=10000"] = {"approvals": [asked]}

    assert state == look(scene, "daemon.approvals").state


def process(scene: Scene, *, files: int = 3, kib: int = 1000, age_s: float = 3600.0,
            environ: bytes = b"") -> None:  # fmt: skip
    place = scene.root / f"proc/{PID}"
    (place / "fd").mkdir(parents=True)
    for number in range(files):
        (place / "fd" / str(number)).touch()
    (place / "limits").write_text("Limit\nMax open files            10   4096  files\n")
    (place / "status").write_text(f"Name: x\nVmRSS:\t {kib} kB\n")
    (place / "environ").write_bytes(environ)
    ticks = os.sysconf("SC_CLK_TCK")
    start = int((50_000.0 - age_s) * ticks)
    (place / "stat").write_text(f"{PID} (a) b) S " + " ".join(["0"] * 18) + f" {start} 0\n")
    (scene.root / "proc/uptime").write_text("50000.00 1.0\n")


@pytest.mark.parametrize(
    ("facts", "states"),
    [
        ({}, ("ok", "ok", "ok")),
        ({"files": 9, "kib": 2**20}, ("warn", "warn", "ok")),
        ({"age_s": 60.0}, ("ok", "ok", "warn")),
    ],
)
def test_what_the_kernel_tells_of_the_process_is_compared(
    scene: Scene, facts: dict[str, Any], states: tuple[str, str, str]
) -> None:
    process(scene, **facts)
    says(scene)
    ids = ("daemon.open_files", "daemon.memory", "machine.clock_jump")

    assert states == tuple(look(scene, each).state for each in ids)


@pytest.mark.parametrize(
    ("environ", "state"),
    [(b"PATH=/\0", "skip"), (b"NOTIFY_SOCKET=/x\0", "warn"),
     (b"NOTIFY_SOCKET=/x\0WATCHDOG_USEC=1\0", "ok")],
)  # fmt: skip
def test_a_service_that_nobody_watches_is_named(scene: Scene, environ: bytes, state: str) -> None:
    process(scene, environ=environ)
    says(scene)

    assert state == look(scene, "service.watchdog").state


@pytest.mark.parametrize(("days", "state"), [(30, "ok"), (None, "ok"), (3, "warn"), (-3, "fail")])
def test_an_enrollment_that_ends_is_named_and_its_token_is_not(
    scene: Scene, enroll: Enroll, days: float | None, state: str
) -> None:
    from conductor_sidecar.doctor import Doctor

    enroll(days=days)
    [found] = Doctor(scene).examine(["credentials.enrollment"])

    assert (state, False) == (found.state, "t0ken" in found.detail + found.hint)


@pytest.mark.parametrize(("hours", "state"), [(1, "ok"), (50, "warn")])
def test_a_rotation_that_never_ends_is_named(
    scene: Scene, workspace: Workspace, hours: int, state: str
) -> None:
    workspace.create()
    path = workspace.state_dir / "enrollment.next.json"
    path.write_text("{}")
    at = (NOW - timedelta(hours=hours)).timestamp()
    os.utime(path, (at, at))

    assert state == look(scene, "credentials.rotation").state


def test_tokens_that_are_short_or_expired_are_named(scene: Scene, workspace: Workspace) -> None:
    workspace.create()
    path = workspace.http_token
    path.write_text("short")
    path.chmod(0o600)
    assert "fail" == look(scene, "credentials.tokens").state
    path.write_text("x" * 40)
    assert "ok" == look(scene, "credentials.tokens").state
    named = workspace.state_dir / "http-credentials.json"
    stored = {"name": "ci", "sha256": "0" * 64, "tools": ["*"], "scopes": None,
              "created_at": "2026-01-01T00:00:00Z",
              "expires_at": "2026-01-02T00:00:00Z"}  # fmt: skip
    named.write_text(json.dumps({"version": 1, "credentials": [stored]}))
    named.chmod(0o600)
    found = look(scene, "credentials.tokens")

    assert ("warn", True) == (found.state, "ci" in found.detail)


@pytest.fixture
def units(scene: Scene, workspace: Workspace) -> list[Path]:
    """A user's units, installed below the scene's root."""
    wanted = Wanted(
        program=Path("/usr/bin/conductor"), workspace=workspace.root, manager="user",
        home=Path("/home/someone"),
    )  # fmt: skip
    changes = plan_install(render(wanted), scene.root)
    apply(changes)
    return [change.path for change in changes if change.path.suffix == ".service"]


def test_units_that_were_edited_are_named(scene: Scene, units: list[Path]) -> None:
    assert "ok" == look(scene, "service.installed").state
    units[0].write_text(units[0].read_text() + "# mine\n")
    assert "edited" in look(scene, "service.installed").detail
    units[0].write_text("[Unit]\n")
    assert "was not written by" in look(scene, "service.installed").detail


def test_units_of_another_version_are_named(scene: Scene, units: list[Path]) -> None:
    found = look(scene, "service.current")  # of /usr/bin/conductor; this program is elsewhere

    assert ("warn", True) == (found.state, units[0].name in found.detail)


def test_drop_ins_of_the_operator_are_listed(scene: Scene, units: list[Path]) -> None:
    assert "none beside ours" == look(scene, "service.dropins").detail
    place = units[0].with_name(f"{units[0].name}.d")
    place.mkdir(exist_ok=True)
    (place / "override.conf").write_text("[Service]\n")

    assert "override.conf" in look(scene, "service.dropins").detail


@pytest.mark.parametrize(("said", "state"), [("1.2 OK", "ok"), ("7.5 EXPOSED", "warn")])
def test_the_exposure_of_the_unit_is_asked_for(
    scene: Scene, units: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    said: str, state: str,
) -> None:  # fmt: skip
    program = tmp_path / "systemd-analyze"
    line = f"→ Overall exposure level for {units[0].name}: {said}"
    program.write_text(f"#!/bin/sh\necho '{line}'\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = look(scene, "service.hardening")

    assert (state, True) == (found.state, said.split(maxsplit=1)[0] in found.detail)


def test_units_that_end_with_the_login_are_named(scene: Scene, units: list[Path]) -> None:
    assert units
    assert "warn" == look(scene, "service.linger").state
    place = scene.below("var/lib/systemd/linger")
    place.mkdir(parents=True)
    (place / service._user()).touch()

    assert "ok" == look(scene, "service.linger").state


def test_without_units_and_without_a_sidecar_it_says_so(scene: Scene) -> None:
    for check in ("installed", "current", "dropins", "hardening", "linger", "watchdog"):
        assert "skip" == look(scene, f"service.{check}").state
    assert "warn" == look(scene, "daemon.running").state
    assert {"no sidecar runs here"} == {
        look(scene, f"daemon.{each}").detail for each in ("version", "outbox", "memory", "owner")
    }
