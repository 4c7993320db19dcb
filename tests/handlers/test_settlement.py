from __future__ import annotations

import pytest

from conductor_handlers.errors import HandlerFailed, PayloadInvalid
from conductor_handlers.settlement import ERROR_TEXT_MAX, RetryPolicy, settle
from conductor_sdk.handler import Handled, Ignored, Reject, Replayed, Retry
from conductor_sdk.records import Buried, Delivered, RetryLater

POLICY = RetryPolicy(max_attempts=3, first_delay_s=1.0, factor=4.0, cap_s=10.0)


def decide(answer: object, attempts: int = 1, roll: float = 0.0, **extra: object) -> object:
    return settle(7, answer, attempts, POLICY, now_ms=1_000, roll=roll, **extra)  # type: ignore[arg-type]


@pytest.mark.parametrize("outcome", [Handled("did"), Replayed("noop"), Ignored("not mine")])
def test_an_answered_event_is_delivered_with_its_action(outcome: Handled) -> None:
    expected = Delivered(7, outcome.status, outcome.action)  # type: ignore[arg-type]

    assert expected == decide(outcome)


def test_a_failure_is_retried_after_half_of_the_full_delay_at_least() -> None:
    expected = RetryLater(7, 1, 1_500, "HANDLER_FAILED: The handler raised: boom")

    assert expected == decide(HandlerFailed("boom"))


def test_jitter_never_passes_the_full_delay() -> None:
    settled = decide(HandlerFailed("boom"), attempts=2, roll=0.999)

    assert isinstance(settled, RetryLater)
    assert 3_000 <= settled.not_before_ms <= 5_000


def test_the_delay_stops_growing_at_its_cap_even_after_very_many_attempts() -> None:
    assert POLICY.cap_s >= RetryPolicy(10**9, 1.0, 4.0, 10.0).delay_s(10**6, 0.999)


def test_the_last_attempt_buries_the_event_with_the_reason_of_its_failure() -> None:
    expected = Buried(7, 3, "HANDLER_FAILED", "The handler raised: boom")

    assert expected == decide(HandlerFailed("boom"), attempts=3)


def test_a_reject_buries_at_once() -> None:
    assert Buried(7, 1, "EVENT_REJECTED", "never") == decide(Reject("never"))


def test_a_payload_that_does_not_fit_is_not_retried() -> None:
    settled = decide(PayloadInvalid("/wu_id: missing"))

    assert isinstance(settled, Buried)
    assert settled.error_code == "PAYLOAD_INVALID"


def test_a_handler_may_choose_its_own_delay() -> None:
    expected = RetryLater(7, 1, 61_000, "RETRY: busy")

    assert expected == decide(Retry("busy", after_s=60.0))


def test_a_chosen_delay_below_zero_means_now() -> None:
    settled = decide(Retry("busy", after_s=-5.0))

    assert isinstance(settled, RetryLater)
    assert settled.not_before_ms == 1_000


def test_replay_keys_ride_with_every_decision() -> None:
    keys = (("acme-demo", "k"),)

    for answer, attempts in ((Handled(), 1), (HandlerFailed("x"), 1), (HandlerFailed("x"), 3)):
        assert keys == decide(answer, attempts, keys=keys).keys  # type: ignore[attr-defined]


def test_a_very_long_error_is_cut() -> None:
    settled = decide(HandlerFailed("x" * 100_000), attempts=3)

    assert isinstance(settled, Buried)
    assert len(settled.error) == ERROR_TEXT_MAX
