"""Times and schedules that users write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor_packs.sidekick.times import check_cron, check_moment, next_occurrence, read_moment
from conductor_sdk.clock import wire_time


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T09:00:00Z", datetime(2026, 3, 1, 9, tzinfo=UTC)),
        ("2026-03-01t09:00:00z", datetime(2026, 3, 1, 9, tzinfo=UTC)),
        ("2026-03-01T09:00:00.123456789+05:30", datetime(2026, 3, 1, 3, 30, 0, 123456, UTC)),
        ("2026-03-01T00:00:00-23:59", datetime(2026, 3, 1, 23, 59, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_with_its_offset(text: str, moment: datetime) -> None:
    assert moment == read_moment(text)
    assert text == check_moment(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026-03-01", "2026-03-01 09:00:00Z", "2026-03-01T09:00Z", "20260301T090000Z",
        "2026-03-01T09:00:00+0100", "2026-13-01T09:00:00Z", "2026-03-01T25:00:00Z",
        "0001-01-01T00:00:00+01:00", "2026-03-01T09:00:00Z\n", "٢٠٢٦-03-01T09:00:00Z",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        read_moment(text)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001  made aware below
def test_every_time_of_ours_is_read_back(moment: datetime) -> None:
    ours = wire_time(moment.replace(tzinfo=UTC))
    assert abs(read_moment(ours) - moment.replace(tzinfo=UTC)) < timedelta(milliseconds=1)


def test_a_schedule_has_single_blanks_and_comes_round() -> None:
    assert check_cron("  */5  9-17 * JAN-MAR mon ") == "*/5 9-17 * JAN-MAR mon"
    after = datetime(2026, 1, 1, 9, 0, tzinfo=UTC)
    assert next_occurrence("0 9 * * *", after) == datetime(2026, 1, 2, 9, 0, tzinfo=UTC)
    assert next_occurrence("0 0 29 2 *", after) == datetime(2028, 2, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "", "banana", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "*/0 * * * *",
        "5-1 * * * *", "0 0 31 2 *", "@daily", "L L L L L",
    ],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"needs|is not|never"):
        check_cron(text)


@given(st.text("0123456789*/,-LW#MON ", max_size=40))
def test_a_schedule_is_read_or_refused_and_nothing_else(text: str) -> None:
    try:
        schedule = check_cron(text)
    except ValueError:
        return
    assert next_occurrence(schedule, datetime(2026, 1, 1, tzinfo=UTC)) is not None
