"""How fast log records may come, and what may stand in them."""

from __future__ import annotations

import json

import pytest

from conductor_sdk.clock import ManualClock
from conductor_sdk.secret import Secret
from conductor_sidecar import logs
from conductor_sidecar.log_limits import NAMES_MAX, OTHERS, TELL_S, Limiter
from conductor_sidecar.logs import DEPTH_MAX, FIELDS_MAX, TEXT_MAX, configure, get_logger
from conductor_sidecar.settings import LogSettings

HOSTILE = "a\x1b[2J\x1b]0;title\x07\r\nb\u2028c\u2029d\x00\x7f\x9b31m\u202ee\u2066f\ufeff\ud800g"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def limiter(clock: ManualClock) -> Limiter:
    return Limiter(clock.monotonic, burst=3, per_s=1)


@pytest.fixture
def written(limiter: Limiter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write JSON, as fast as the limiter allows; `lines()` reads it."""
    monkeypatch.setattr(logs, "_limiter", limiter)
    configure(LogSettings(format="json"))


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_flood_is_cut_to_its_burst_and_then_to_its_rate(
    limiter: Limiter, clock: ManualClock
) -> None:
    assert [0, 0, 0, None, None] == [limiter.admit("flood") for _ in range(5)]
    clock.advance(1)
    assert [2, None] == [limiter.admit("flood") for _ in range(2)]
    clock.advance(3600)
    assert [1, 0, 0, None] == [limiter.admit("flood") for _ in range(4)]
    assert 4 == limiter.total


def test_a_flood_of_one_record_hides_no_other(limiter: Limiter) -> None:
    for _ in range(1000):
        limiter.admit("flood")
    assert 0 == limiter.admit("rare")


def test_what_was_held_back_is_told_when_nothing_more_comes(
    limiter: Limiter, clock: ManualClock
) -> None:
    for _ in range(10):
        limiter.admit("flood")
    assert [] == limiter.overdue()
    clock.advance(TELL_S)
    assert [("flood", 7)] == limiter.overdue()
    clock.advance(TELL_S)
    assert [] == limiter.overdue()


def test_a_million_names_take_no_more_room_than_a_few_hundred(limiter: Limiter) -> None:
    for number in range(10_000):
        limiter.admit(f"name-{number}")
    assert limiter.total == 10_000 - NAMES_MAX - 3
    assert limiter.admit("another") is None
    assert limiter.admit(OTHERS) is None


@pytest.mark.usefixtures("written")
def test_the_record_after_a_flood_says_how_many_are_missing(
    capsys: pytest.CaptureFixture[str], clock: ManualClock
) -> None:
    for number in range(8):
        get_logger().warning("flood", number=number)
    clock.advance(1)
    get_logger().warning("flood", number=8)
    get_logger().info("other")
    found = lines(capsys)
    assert [0, 1, 2, 8] == [line["number"] for line in found[:4]]
    assert [None, None, None, 5, None] == [line.get("suppressed") for line in found]


@pytest.mark.usefixtures("written")
def test_a_flood_that_ended_is_told_in_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str], clock: ManualClock
) -> None:
    for _ in range(8):
        get_logger().warning("flood")
    clock.advance(TELL_S)
    logs.tell_suppressed()
    logs.tell_suppressed()
    told = lines(capsys)[3:]
    assert [("suppressed", "flood", 5)] == [
        (line["event"], line["of"], line["count"]) for line in told
    ]
    assert 5 == logs.suppressed_total()


@pytest.mark.usefixtures("written")
def test_nobody_passes_the_limit_by_calling_a_record_suppressed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(10):
        get_logger().warning("suppressed", _told=True)
    assert 3 == len(lines(capsys))


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_text_ends_a_line_drives_a_terminal_or_turns_around(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(LogSettings.model_validate({"format": form}))
    get_logger().error(
        HOSTILE, text=HOSTILE, error=ValueError(HOSTILE), thing=object, many=[HOSTILE],
        within={HOSTILE: {"a": (HOSTILE,)}}, **{HOSTILE: 1},
    )  # fmt: skip
    raw = capsys.readouterr().err
    assert 1 == len(raw.splitlines())
    assert not set(raw.rstrip("\n")) & set(HOSTILE) - set("abcdefg[2J]0;title31m")


@pytest.mark.usefixtures("written")
def test_fields_are_cut_and_so_is_what_is_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    deep: object = "bottom"
    for _ in range(100):
        deep = [deep]
    get_logger().error("x" * 100_000, long="y" * 100_000, many=list(range(10_000)), deep=deep)
    get_logger().error("many", **{f"field-{number}": number for number in range(5000)})
    first, second = lines(capsys)
    assert {TEXT_MAX} == {len(str(first["event"])), len(str(first["long"]))}
    assert FIELDS_MAX == len(first["many"])  # type: ignore[arg-type]  it is a list, as given
    assert str(first["deep"]).count("[") <= 100 + DEPTH_MAX
    assert ("many", "error") == (second["event"], second["level"])
    assert len(second) <= 2 * FIELDS_MAX


@pytest.mark.usefixtures("written")
def test_secrets_and_things_that_cannot_be_printed_do_no_harm(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    secret = Secret("canary-51ac")
    get_logger().error("x", a=secret, b=[secret], c={"d": secret}, e=Broken(), f=b"\x1b")
    raw = capsys.readouterr().err
    assert "canary" not in raw
    found = json.loads(raw)
    expected = {"event": "x", "e": "(Broken: RuntimeError)", "f": repr(b"\x1b")}
    assert expected.items() <= found.items()
