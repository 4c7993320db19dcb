"""Health: what is said of one snapshot, and why."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from conductor_sdk.clock import ManualClock
from conductor_sidecar.health.answers import Code, Health
from conductor_sidecar.health.progress import DISPATCHER, LocalProgress, Stuck, Verdict, Work
from conductor_sidecar.health.verdicts import (
    DEAF_AFTER_S,
    SILENT_AFTER_S,
    Hearing,
    LanesView,
    LinkView,
    Snapshot,
    StoreView,
    deaf,
    live,
    ready,
)

GOOD = Snapshot(
    phase="running",
    progress=Verdict(),
    link=LinkView(state="open", for_s=100.0, heard_s=1.0, head=7, seen=7),
    stores=(StoreView("sidecar.db"), StoreView("journal.db")),
    lanes=LanesView(jobs=0, window=4096),
)


def but(**changes: Any) -> Snapshot:
    return msgspec.structs.replace(GOOD, **changes)


def codes(health: Health) -> list[str]:
    return [reason.code for reason in health.reasons]


def test_a_sidecar_on_which_everything_flows_is_live_ready_and_hearing() -> None:
    assert Health(True, "live") == live(GOOD)
    assert Health(True, "ready") == ready(GOOD)
    assert Health(True, "hearing") == deaf(GOOD)
    assert 200 == ready(GOOD).status_code


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        (but(phase="starting"), [Code.STARTING]),
        (but(phase="draining"), [Code.DRAINING]),
        (but(phase="stopped"), [Code.STOPPED]),
        (but(link=LinkView(state="waiting", for_s=3, reason="REFUSED: no")), [Code.LINK_DOWN]),
        (but(link=LinkView(state="open", for_s=3, heard_s=SILENT_AFTER_S)), [Code.LINK_SILENT]),
        (but(link=LinkView(state="open", for_s=3, behind_s=DEAF_AFTER_S)), [Code.DEAF]),
        (but(link=LinkView(state="open", for_s=3, behind_s=DEAF_AFTER_S - 1)), []),
        (but(stores=(StoreView("sidecar.db", "STORE_FULL"),)), [Code.DISK_FULL]),
        (but(stores=(StoreView("sidecar.db", "STORE_IO"),)), [Code.STORE_FAILING]),
        (but(lanes=LanesView(jobs=4096, window=4096)), [Code.LANES_FULL]),
    ],
)
def test_what_keeps_events_from_flowing_makes_it_not_ready_and_leaves_it_live(
    snapshot: Snapshot, expected: list[str]
) -> None:
    assert expected == codes(ready(snapshot))
    assert ready(snapshot).status_code == (503 if expected else 200)
    assert live(snapshot).ok


def test_a_stuck_part_makes_it_neither_live_nor_ready() -> None:
    stuck = but(progress=Verdict((Stuck(DISPATCHER, 61.04), Stuck("sidecar.db", 31))))

    assert [Code.DISPATCHER_STUCK, Code.STORE_STUCK] == codes(live(stuck))
    assert (503, "stuck", 61.0) == (
        live(stuck).status_code, live(stuck).state, live(stuck).reasons[0].for_s,
    )  # fmt: skip
    assert codes(live(stuck)) == codes(ready(stuck))


def test_reasons_stand_in_the_order_in_which_they_should_be_mended() -> None:
    worst = but(
        phase="draining", progress=Verdict((Stuck("sidecar.db", 31),)),
        stores=(StoreView("journal.db", "STORE_FULL"),),
        link=LinkView(state="connecting", for_s=1), lanes=LanesView(jobs=9, window=9),
    )  # fmt: skip

    assert [
        Code.DRAINING, Code.STORE_STUCK, Code.DISK_FULL, Code.LINK_DOWN, Code.LANES_FULL,
    ] == codes(ready(worst))  # fmt: skip


def test_a_program_reads_every_reason() -> None:
    link = LinkView(state="waiting", for_s=3600.26, reason="LINK_FAILED: refused")

    assert {
        "ok": False, "state": "not_ready",
        "reasons": [{"code": "link_down", "detail": "waiting: LINK_FAILED: refused",
                     "for_s": 3600.3}],
    } == msgspec.json.decode(msgspec.json.encode(ready(but(link=link))))  # fmt: skip


def test_the_conductor_gone_for_an_hour_is_live_and_not_ready_all_the_time() -> None:
    clock = ManualClock()
    progress = LocalProgress({"sidecar.db": 30}, dispatcher_s=60)
    began = clock.monotonic()
    for _ in range(3600 // 5):
        clock.advance(5)
        now = clock.monotonic()
        progress.asked("sidecar.db", now)
        progress.answered("sidecar.db")
        progress.worked(Work(ready=0, mark=0), now)
        gone = but(
            progress=progress.verdict(now),
            link=LinkView(state="waiting", for_s=now - began, reason="TRANSPORT_FAILED"),
        )

        assert (True, True, False) == (gone.progress.moves, live(gone).ok, ready(gone).ok)
        assert [Code.LINK_DOWN] == codes(ready(gone))
        assert deaf(gone).ok


def test_beats_that_name_a_later_head_while_nothing_comes_make_it_deaf_and_events_end_that() -> (
    None
):
    clock, hearing = ManualClock(), Hearing()

    def seen(head: int, mine: int) -> Health:
        now = clock.monotonic()
        hearing.beat(head=head, seen=mine, credit=100, now=now)
        link = LinkView(
            state="open", for_s=1, heard_s=0, head=head, seen=mine, behind_s=hearing.behind_s(now)
        )
        return deaf(but(link=link))

    assert seen(5, 5).ok
    clock.advance(10)
    assert seen(9, 5).ok
    clock.advance(DEAF_AFTER_S)
    found = seen(12, 5)
    assert ("deaf", [Code.DEAF]) == (found.state, codes(found))
    assert "the conductor is at #12 and we stay at #5" == found.reasons[0].detail
    assert seen(12, 8).ok
    clock.advance(DEAF_AFTER_S)
    assert not seen(12, 8).ok
    assert seen(12, 12).ok


def test_a_conductor_that_we_hold_back_is_not_one_that_we_do_not_hear() -> None:
    hearing = Hearing()
    hearing.beat(head=9, seen=5, credit=0, now=0)

    assert hearing.behind_s(1000) is None
    hearing.beat(head=9, seen=5, credit=1, now=1000)
    assert 10 == hearing.behind_s(1010)


def test_a_new_link_starts_over() -> None:
    hearing = Hearing()
    hearing.beat(head=9, seen=5, credit=1, now=0)
    hearing.closed()

    assert hearing.behind_s(1000) is None


def test_a_link_that_is_not_open_is_down_and_not_deaf() -> None:
    snapshot = but(link=LinkView(state="waiting", for_s=1, behind_s=1000))

    assert deaf(snapshot).ok
    assert [Code.LINK_DOWN] == codes(ready(snapshot))
