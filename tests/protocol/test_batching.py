"""Batches are cut within the limits, in order, without touching a body."""

from __future__ import annotations

from conductor_protocol.batching import events_frames, fits, push_frames, pushed_frames
from conductor_protocol.codec import decode_conductor, decode_sidecar
from conductor_protocol.messages import Events, Limits, PushResult

LIMITS = Limits(max_frame_bytes=4096, max_batch_events=10, max_event_bytes=3000)


def test_no_frame_passes_the_limits_and_the_order_is_kept() -> None:
    bodies = [b"1" * size for size in [1, 2900, 1500, 1500, 1500, *[20] * 35]]

    frames, withheld = events_frames(100, bodies, LIMITS)

    assert withheld == 0
    assert all(len(frame) <= LIMITS.max_frame_bytes for frame in frames)
    messages = [decode_conductor(frame, LIMITS) for frame in frames]
    assert bodies == [bytes(raw) for m in messages for raw in m.events]
    sequence = 100
    for message in messages:
        assert sequence == message.first
        sequence += len(message.events)


def test_a_body_keeps_its_bytes() -> None:
    body = b'{ "a" :\t"\\u0041" }'

    frames, _ = events_frames(1, [body], LIMITS)

    assert [Events] == [type(decode_conductor(frame, LIMITS)) for frame in frames]
    assert body in frames[0]


def test_nothing_to_send_is_no_frame() -> None:
    assert events_frames(1, [], LIMITS) == ([], 0)
    assert push_frames([], LIMITS) == []
    assert pushed_frames([], LIMITS) == []


def test_an_event_that_no_frame_can_carry_is_withheld_and_leaves_no_hole() -> None:
    frames, withheld = events_frames(1, [b"1", b"2" * 3001, b"3"], LIMITS)

    message = decode_conductor(frames[0], LIMITS)

    assert withheld == 1
    assert [bytes(raw) for raw in message.events] == [b"1", b"null", b"3"]


def test_the_largest_event_that_fits_makes_a_frame_that_fits() -> None:
    limits = Limits(max_frame_bytes=4096, max_event_bytes=10_000)
    largest = next(b"1" * n for n in range(5000, 0, -1) if fits(b"1" * n, limits))

    frames, withheld = events_frames(9_007_199_254_740_990, [largest], limits)

    assert withheld == 0
    assert len(frames[0]) <= 4096


def test_pushes_and_results_are_cut_as_well() -> None:
    pushes = push_frames([b"{}"] * 25, LIMITS)
    results = pushed_frames([PushResult(f"evt-{n}", "accepted") for n in range(25)], LIMITS)

    assert [len(decode_sidecar(frame, LIMITS).events) for frame in pushes] == [10, 10, 5]
    assert [len(decode_conductor(frame, LIMITS).results) for frame in results] == [10, 10, 5]
