"""Issue 2, "What a user gets", 1 and 2: `make run` and the guided tour."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from house import ROOT
from real_world import World


def left_behind(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def test_the_demo_shows_the_contract_and_leaves_nothing_behind(world: World) -> None:
    temporary, home = world.directory / "tmp", world.directory / "home"
    temporary.mkdir()
    home.mkdir()
    world.env |= {"TMPDIR": str(temporary), "HOME": str(home)}
    began = time.monotonic()
    done = world.command("demo", cwd=home)

    assert done.code == 0, done.err
    assert time.monotonic() - began < 30
    steps = [line.split()[1] for line in done.out.splitlines()[:9]]
    expected = ["conductor", "enroll", "connect", "push", "handle", "replay", "conductor",
                "conductor", "account"]  # fmt: skip
    assert expected == steps
    for said in (
        "acme-demo:job_completed pushed twice, arrived once as evt-",
        "conductor:recovery_requested #1: handled",
        "known, the handler was not called",
        "5 queued events wait, 3 ephemeral were dropped",
        "5 queued events arrived, in order",
        "11 accepted = 8 delivered + 3 dropped",
        "accepted = delivered + buffered + dropped + dead: holds",
    ):
        assert said in done.out
    assert [[], []] == [left_behind(temporary), left_behind(home)]


def test_the_demo_gives_its_steps_and_counts_to_programs(world: World) -> None:
    done = world.command("demo", "--json")

    assert done.code == 0, done.err
    assert len(done.json["steps"]) == 9
    assert done.json["status"]["balanced"] is True
    assert done.json["status"]["outbound"]["acme-demo:job_completed"]["dropped"] == {
        "disconnected": 3
    }


def test_a_tour_that_is_interrupted_says_so_by_its_exit_code(world: World) -> None:
    temporary = world.directory / "tmp"
    temporary.mkdir()
    world.env["TMPDIR"] = str(temporary)
    demo = world.start("demo")
    demo.wait_for("connect ")

    assert demo.end(signal.SIGINT) == 130
    assert "Traceback" not in demo.printed
    assert left_behind(temporary) == []


def test_make_run_shows_events_in_both_directions_until_ctrl_c(world: World) -> None:
    assert "conductor demo --forever" in (ROOT / "Makefile").read_text()
    temporary = world.directory / "tmp"
    temporary.mkdir()
    world.env["TMPDIR"] = str(temporary)
    demo = world.start("demo", "--forever")
    workspace = demo.wait_for(r"conductor status -w (\S+)")[1]
    for line in (
        r"sidecar +link +open",
        r"sidecar +queued +acme-demo:job_queued +evt-",
        r"conductor +pushed +acme-demo:job_queued +evt-",
        r"sidecar +confirmed +acme-demo:job_queued +evt-",
        r"conductor +sent +conductor:recovery_requested +evt-",
        r"sidecar +received +conductor:recovery_requested +evt-",
        r"sidecar +handled +conductor:recovery_requested +evt-\w+ +recovered",
    ):
        demo.wait_for(line)
    assert world.command("status", "-w", workspace).code == 0

    assert demo.end(signal.SIGINT) == 0
    assert demo.printed.endswith("stopped; nothing is left behind\n")
    assert "Traceback" not in demo.printed
    assert left_behind(temporary) == []


def test_the_lock_file_names_no_registry_and_has_a_hash_for_everything() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        pins = [line for line in text.splitlines() if "==" in line and not line.startswith("#")]

        assert "://" not in text
        assert text.count("--hash=sha256:") >= len(pins)
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert "make test" in (ROOT / ".ci/run").read_text()
