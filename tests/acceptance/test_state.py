"""Issue 2, "State": caps and overflow of the outbox, by configuration, over a real restart."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from real_world import QUEUED, QUICK, Conductor, Sidecar, World


@pytest.fixture(scope="module")
def conductor(shared: World) -> Conductor:
    return shared.conductor()


def lonely(world: World, conductor: Conductor, name: str, *settings: str) -> Sidecar:
    """A sidecar whose conductor refuses every link, with these settings of the outbox."""
    workspace = world.directory / name
    conductor.enroll(workspace)
    conductor.dev("fault", "set", "refuse=503@1")
    words = [word for setting in settings for word in ("--set", setting)]
    return world.sidecar(workspace, *QUICK, *words)


def numbers(conductor: Conductor, workspace: str) -> list[int]:
    return [of["payload"]["n"] for of in conductor.events(workspace)]


def push(sidecar: Sidecar, *ns: int) -> list[Any]:
    receipts = [sidecar.push({"kind": QUEUED, "payload": {"n": n}})[0] for n in ns]
    return [(of["status"], of["reason"]) for of in receipts]


@pytest.mark.parametrize(
    ("overflow", "receipts", "arrive"),
    [
        ("drop_oldest", [("queued", None)] * 5, [2, 3, 4]),
        ("drop_newest", [("queued", None)] * 3 + [("dropped", "overflow")] * 2, [0, 1, 2]),
    ],
)
def test_an_overflow_that_drops_is_counted_and_keeps_the_rest_in_order(
    world: World, conductor: Conductor, overflow: str, receipts: list[Any], arrive: list[int]
) -> None:
    name = overflow.replace("_", "-")
    sidecar = lonely(
        world, conductor, name, "outbox.max_events=3", f"outbox.overflow={overflow}"
    )  # fmt: skip
    got = push(sidecar, *range(5))
    counts = sidecar.counts(QUEUED, "outbound")

    assert got == receipts
    assert (counts["accepted"], counts["buffered"], sum(counts["dropped"].values())) == (5, 3, 2)
    conductor.dev("fault", "clear")
    sidecar.until(QUEUED, "outbound", buffered=0)
    assert numbers(conductor, name) == arrive


def test_an_overflow_that_blocks_waits_for_room(world: World, conductor: Conductor) -> None:
    sidecar = lonely(world, conductor, "block", "outbox.max_events=2", "outbox.overflow=block")
    push(sidecar, 0, 1)
    waiting = threading.Thread(target=push, args=(sidecar, 2))
    waiting.start()
    assert sidecar.counts(QUEUED, "outbound")["buffered"] == 2
    assert waiting.is_alive()
    conductor.dev("fault", "clear")
    waiting.join(20)

    assert not waiting.is_alive()
    sidecar.until(QUEUED, "outbound", delivered=3, buffered=0)
    assert numbers(conductor, "block") == [0, 1, 2]


def test_one_kind_can_have_caps_of_its_own(world: World, conductor: Conductor) -> None:
    workspace = world.directory / "kinds"
    conductor.enroll(workspace)
    (workspace / "conductor.toml").write_text(
        f'[outbox.kinds."{QUEUED}"]\nmax_events = 1\noverflow = "drop_newest"\n'
    )
    conductor.dev("fault", "set", "refuse=503@1")
    sidecar = world.sidecar(workspace, *QUICK)

    assert push(sidecar, 0, 1) == [("queued", None), ("dropped", "overflow")]
    conductor.dev("fault", "clear")


def test_events_over_their_age_are_dropped_and_counted(world: World, conductor: Conductor) -> None:
    sidecar = lonely(world, conductor, "aged", "outbox.max_age_s=1")
    push(sidecar, 0)
    sidecar.until(QUEUED, "outbound", accepted=1, buffered=0, dropped={"expired": 1})
    conductor.dev("fault", "clear")


def test_a_cap_in_bytes_counts_what_is_waiting(world: World, conductor: Conductor) -> None:
    sidecar = lonely(
        world, conductor, "bytes", "outbox.max_bytes=2000", "outbox.overflow=drop_newest"
    )  # fmt: skip
    for _ in range(4):
        sidecar.push({"kind": QUEUED, "payload": {"text": "x" * 600}})
    counts = sidecar.counts(QUEUED, "outbound")

    assert counts["buffered"] < 4
    assert counts["buffered"] + counts["dropped"]["overflow"] == 4
    conductor.dev("fault", "clear")


def test_the_queue_survives_kill_and_keeps_its_order(world: World, conductor: Conductor) -> None:
    sidecar = lonely(world, conductor, "killed")
    push(sidecar, *range(20))
    sidecar.kill()
    again = world.sidecar(world.directory / "killed", *QUICK)
    assert again.counts(QUEUED, "outbound")["buffered"] == 20
    push(again, 20)
    conductor.dev("fault", "clear")
    again.until(QUEUED, "outbound", buffered=0)

    assert numbers(conductor, "killed") == list(range(21))
