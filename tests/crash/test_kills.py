"""SIGKILL at every named point of both ends: nothing is lost, nothing is repeated too often."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from conductor_state import crash_points
from crash_children import Home
from crash_lineage import Kill, drop, lineage, redrive, sooner_or_later, stop_when_busy
from crash_verdict import read_verdict
from house import ROOT
from rotation_deaths import SIDECAR

OFTEN = (
    crash_points.BEFORE_COMMIT, crash_points.AFTER_COMMIT, crash_points.AFTER_INSERT,
    crash_points.AFTER_SEAL, crash_points.AFTER_CLAIM, crash_points.AFTER_SETTLE,
    "outbox.before_put", "outbox.after_put", "outbox.before_confirm", "outbox.after_confirm",
    "pack.before_effect", "pack.after_effect", "pack.between",
    "sidecar.events.received", "sidecar.ack.before_send", "sidecar.ack.after_send",
    "sidecar.push.before_send", "sidecar.push.after_send", "sidecar.pushed.received",
)  # fmt: skip
"""Points that the traffic reaches many times a second."""
NOW_AND_THEN = (
    crash_points.AFTER_BURY, "journal.begun", "journal.inserted", "journal.committed",
)  # fmt: skip
AT_START = (crash_points.AFTER_REAP, "sidecar.hello.before_send", "sidecar.welcome.received")
CONDUCTOR = (
    crash_points.BEFORE_COMMIT, crash_points.AFTER_COMMIT,
    "conductor.hello.received", "conductor.welcome.before_send",
    "conductor.events.before_send", "conductor.events.after_send", "conductor.ack.received",
    "conductor.push.received", "conductor.pushed.before_send", "conductor.pushed.after_send",
)  # fmt: skip
SPECIAL = (crash_points.AFTER_RELEASE, crash_points.AFTER_REDRIVE, crash_points.AFTER_DROP)
RETENTION = (crash_points.AFTER_PRUNE,)


def kill_at(point: str, random: Random) -> Kill:
    """A death of the sidecar at a point, brought about where the traffic alone does not."""
    match point:
        case crash_points.AFTER_RELEASE:
            return Kill("sidecar", point, push=stop_when_busy, may_stop=True)
        case crash_points.AFTER_REDRIVE:
            return Kill("sidecar", point, push=redrive)
        case crash_points.AFTER_DROP:
            return Kill("sidecar", point, push=drop)
        case _ if point in OFTEN:
            return Kill("sidecar", point, random.randint(1, 40))
        case _:
            once = point in (*AT_START, *RETENTION)
            return Kill("sidecar", point, 1 if once else random.randint(1, 4))


def at_conductor(point: str, random: Random) -> Kill:
    rare = "hello" in point or "welcome" in point
    return Kill("conductor", point, 1 if rare else random.randint(1, 25))


def any_time(end: str, random: Random) -> Kill:
    return Kill(end, "any time", push=sooner_or_later(random))


def sample(number: int) -> list[Kill]:
    """A quarter of all points, some deaths in between; four of these hold every point."""
    random = Random(number)
    sidecar = [*OFTEN, *NOW_AND_THEN, *AT_START, *SPECIAL][number::4]
    kills = [kill_at(point, random) for point in sidecar]
    kills += [at_conductor(point, random) for point in CONDUCTOR[number::4]]
    # Where a promise was just given: the likeliest place for one that cannot be kept.
    kills += [at_conductor("conductor.pushed.after_send", random) for _ in range(3)]
    kills += [kill_at("sidecar.ack.after_send", random)]
    kills.append(any_time("conductor" if number % 2 else "sidecar", random))
    random.shuffle(kills)
    return kills


def sweep(seed: int) -> list[Kill]:
    """Every point once, in another order and at other hits for each seed."""
    random = Random(1000 + seed)
    kills = [kill_at(point, random) for point in [*OFTEN, *NOW_AND_THEN, *AT_START, *SPECIAL]]
    kills += [at_conductor(point, random) for point in CONDUCTOR]
    kills += [any_time(end, random) for end in ("sidecar", "conductor") * 3]
    random.shuffle(kills)
    return kills


def endure(home: Home, kills: Sequence[Kill]) -> None:
    with lineage(home) as line:
        line.suffer(kills)
        line.drain()
        deaths = Counter(line.deaths)
        verdict = asyncio.run(read_verdict(home, line.killed_generations))
    assert ([], Counter(kill.point for kill in kills)) == (verdict.problems(), deaths)


def test_every_named_point_of_the_stores_is_in_the_sweep() -> None:
    named = {value for name, value in vars(crash_points).items() if isinstance(value, str)
             and name.isupper()}  # fmt: skip
    for source in (ROOT / "state" / "conductor_state").glob("*.py"):
        named |= set(re.findall(r'crash_point\("([a-z_.]+)"\)', source.read_text()))
    swept = {kill.point for kill in sweep(0)} | set(RETENTION)
    # The steps of a rotation have deaths of their own, in tests/rotation.
    of_rotation = {point for full in SIDECAR for point in (full, full.rpartition(".")[2])}
    assert set() == named - swept - of_rotation


@pytest.mark.parametrize("number", range(4))
def test_a_sample_of_deaths_loses_and_repeats_nothing(number: int, tmp_path: Path) -> None:
    endure(Home(tmp_path, seed=number), sample(number))


def test_deaths_while_old_events_are_forgotten_lose_nothing(tmp_path: Path) -> None:
    random = Random(7)
    old_enough = Kill("sidecar", "any time", push=sooner_or_later(random, 3.0, 3.5))
    pruned = Kill("sidecar", "any time", push=sooner_or_later(random, 1.1, 1.5))
    kills = [old_enough, *(kill_at(point, random) for point in RETENTION), pruned]
    endure(Home(tmp_path, seed=7, resends=False, retention_days=2 / 86_400), kills)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(6))
def test_a_sweep_over_every_point_loses_and_repeats_nothing(seed: int, tmp_path: Path) -> None:
    endure(Home(tmp_path, seed=seed), sweep(seed))
