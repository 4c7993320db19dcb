"""Admission and credit are functions of policy and depth."""

from __future__ import annotations

import pytest

from conductor_protocol.backpressure import Admission, admit, credit, worth_granting


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("in_flight", [0, 10, 11])
def test_a_queue_event_is_always_stored(connected: bool, in_flight: int) -> None:
    assert Admission.STORE is admit("queue", connected=connected, in_flight=in_flight, cap=10)


@pytest.mark.parametrize(
    ("connected", "in_flight", "expected"),
    [
        (True, 0, Admission.SEND),
        (True, 9, Admission.SEND),
        (True, 10, Admission.DROP_WINDOW),
        (False, 0, Admission.DROP_DISCONNECTED),
        (False, 10, Admission.DROP_DISCONNECTED),
    ],
)
def test_an_ephemeral_event_is_sent_now_or_never(
    connected: bool, in_flight: int, expected: object
) -> None:
    answer = admit("ephemeral", connected=connected, in_flight=in_flight, cap=10)

    assert expected is answer
    assert (answer is not Admission.SEND) == answer.dropped


@pytest.mark.parametrize(("backlog", "expected"), [(0, 100), (40, 60), (100, 0), (140, 0)])
def test_credit_is_the_room_that_is_left(backlog: int, expected: object) -> None:
    assert expected == credit(backlog, 100)


@pytest.mark.parametrize(
    ("open_credit", "new", "expected"),
    [(0, 0, False), (0, 1, True), (50, 74, False), (50, 75, True), (50, 10, False)],
)
def test_a_grant_is_sent_when_it_is_worth_a_message(
    open_credit: int, new: int, expected: object
) -> None:
    assert expected == worth_granting(open_credit, new, 100)
