"""The watchdog is fed while the parts of this process move, and by nothing else."""

from __future__ import annotations

import pytest

from conductor_sdk.clock import ManualClock
from conductor_sidecar.health.progress import DISPATCHER, LocalProgress, Stuck, Verdict, Work
from conductor_sidecar.systemd.watchdog import feed_every_s

PATIENCE_S = 30.0
DISPATCH_S = 60.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def progress() -> LocalProgress:
    return LocalProgress({"sidecar.db": PATIENCE_S}, dispatcher_s=DISPATCH_S)


def test_an_idle_process_moves_for_ever(progress: LocalProgress, clock: ManualClock) -> None:
    for _ in range(1000):
        progress.asked("sidecar.db", clock.monotonic())
        progress.answered("sidecar.db")
        progress.worked(Work(ready=0, mark=0), clock.monotonic())
        clock.advance(5)

        assert Verdict() == progress.verdict(clock.monotonic())


def test_a_store_that_does_not_answer_is_stuck_after_its_patience(
    progress: LocalProgress, clock: ManualClock
) -> None:
    progress.asked("sidecar.db", clock.monotonic())
    clock.advance(PATIENCE_S - 0.1)
    assert progress.verdict(clock.monotonic()).moves
    clock.advance(0.1)
    progress.asked("sidecar.db", clock.monotonic())  # asking again does not start over

    assert (Stuck("sidecar.db", PATIENCE_S),) == progress.verdict(clock.monotonic()).stuck
    progress.answered("sidecar.db")
    assert progress.verdict(clock.monotonic()).moves


def test_a_dispatcher_with_ready_lanes_that_settles_nothing_is_stuck(
    progress: LocalProgress, clock: ManualClock
) -> None:
    progress.worked(Work(ready=3, mark=7), clock.monotonic())
    clock.advance(DISPATCH_S)
    progress.worked(Work(ready=5, mark=7), clock.monotonic())

    assert (Stuck(DISPATCHER, DISPATCH_S),) == progress.verdict(clock.monotonic()).stuck


@pytest.mark.parametrize("work", [Work(ready=5, mark=8), Work(ready=0, mark=7)])
def test_a_dispatcher_that_settles_or_has_nothing_ready_moves(
    progress: LocalProgress, clock: ManualClock, work: Work
) -> None:
    progress.worked(Work(ready=3, mark=7), clock.monotonic())
    clock.advance(DISPATCH_S)
    progress.worked(work, clock.monotonic())

    assert progress.verdict(clock.monotonic()).moves


def test_a_process_that_was_stopped_as_a_whole_is_not_blamed_for_it(
    progress: LocalProgress, clock: ManualClock
) -> None:
    progress.asked("sidecar.db", clock.monotonic())
    progress.worked(Work(ready=3, mark=7), clock.monotonic())
    clock.advance(3600)

    late = progress.verdict(clock.monotonic(), lag_s=3595)
    assert late == Verdict((), 3595)
    clock.advance(PATIENCE_S)
    assert ["sidecar.db"] == [stuck.part for stuck in progress.verdict(clock.monotonic()).stuck]


@pytest.mark.parametrize(
    ("usec", "pid", "expected"),
    [
        ("60000000", None, 20.0),
        ("60000000", "42", 20.0),
        ("60000000", "43", None),
        (None, "42", None),
        ("0", None, None),
        ("soon", None, None),
        ("-5", None, None),
        ("٣", None, None),
    ],
)
def test_the_manager_says_how_often_it_wants_to_be_fed(
    usec: str | None, pid: str | None, expected: float | None
) -> None:
    assert expected == feed_every_s(usec, pid, 42)
