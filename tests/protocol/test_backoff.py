"""Reconnection waits: spread first, exponential then, capped, for ever, never hot."""

from __future__ import annotations

import pytest

from conductor_protocol.backoff import Backoff, BackoffPolicy, Ended, ended_by
from conductor_protocol.effects import CloseCode

ALMOST = 1 - 2**-53


def waits(backoff: Backoff, count: int, ended: Ended = Ended.FAILED) -> list[float]:
    return [round(backoff.delay(ended, 0.0), 6) for _ in range(count)]


def test_ceilings_start_at_the_spread_and_double_to_the_cap_for_ever() -> None:
    backoff = Backoff(BackoffPolicy(), lambda: ALMOST)

    assert waits(backoff, 6, Ended.CLOSED) == [30, 60, 120, 240, 300, 300]
    assert {300} == set(waits(backoff, 5000))


def test_jitter_is_full() -> None:
    backoff = Backoff(BackoffPolicy(), iter([0.0, 0.5, 0.25]).__next__)

    assert waits(backoff, 3) == [0, 30, 30]


def test_a_spread_of_nothing_still_backs_off() -> None:
    backoff = Backoff(BackoffPolicy(first_spread_s=0.0), lambda: ALMOST)

    assert waits(backoff, 4) == [0, 2, 4, 8]


def test_a_stable_link_forgets_the_attempts_before_it() -> None:
    backoff = Backoff(BackoffPolicy(), lambda: ALMOST)
    waits(backoff, 3)
    backoff.connected(100.0)

    assert pytest.approx(backoff.delay(Ended.CLOSED, 160.0)) == 30


def test_an_unstable_link_does_not() -> None:
    backoff = Backoff(BackoffPolicy(), lambda: ALMOST)
    waits(backoff, 3)
    backoff.connected(100.0)

    assert pytest.approx(backoff.delay(Ended.CLOSED, 159.9)) == 240


def test_resuming_is_immediate_three_times_in_a_minute_and_then_waits() -> None:
    backoff = Backoff(BackoffPolicy(), lambda: ALMOST)

    assert waits(backoff, 5, Ended.RESUME) == [0, 0, 0, 30, 60]
    assert backoff.delay(Ended.RESUME, 60.0) == 0


def test_what_the_conductor_asks_for_is_the_least_and_is_spread() -> None:
    backoff = Backoff(BackoffPolicy(), lambda: 0.5)

    assert backoff.delay(Ended.CLOSED, 0.0, retry_after_s=12.0) == 27
    assert backoff.delay(Ended.CLOSED, 0.0, retry_after_s=1e9) == 3615
    assert backoff.attempt == 0


def test_a_refused_credential_waits_a_minute_however_often() -> None:
    backoff = Backoff(BackoffPolicy(), lambda: 0.0)
    assert [60] * 4 == [backoff.delay(Ended.REFUSED, 0.0) for _ in range(4)]


def test_a_refused_credential_waits_no_longer_than_the_cap() -> None:
    assert Backoff(BackoffPolicy(cap_s=7.0), lambda: 0.0).delay(Ended.REFUSED, 0.0) == 7


@pytest.mark.parametrize("code", list(CloseCode))
def test_only_resume_and_deaf_come_back_at_once(code: str) -> None:
    quick = {CloseCode.RESUME, CloseCode.DEAF}

    assert (Ended.RESUME if code in quick else Ended.CLOSED) is ended_by(code)


def test_the_code_of_a_protocol_error_waits() -> None:
    assert Ended.CLOSED is ended_by("MALFORMED_FRAME")
