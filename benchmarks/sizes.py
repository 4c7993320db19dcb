"""How much is measured: the full run, and a quick one that only shows that everything works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of events and rounds."""

    rounds: int
    """Interleaved rounds of every ratio."""
    flood: int
    """Events of one flood through the sidecar, and of one raw flood."""
    single: int
    """Events of the flood with one event in a frame."""
    frame_events: int
    """Events in a frame of the other floods."""
    naive: int
    """Events of the naive per-event design."""
    known_ids: int
    """Ids in the filled replay log."""
    drain: int
    """Queued events that are drained."""
    one_by_one: int
    """Queued events that are drained one by one."""
    pushers: int
    """Concurrent pushers."""
    push_each: int
    """Events of each concurrent pusher."""
    push_alone: int
    """Events of the sequential pusher."""
    queued_memory: int
    """Events in the outbox while memory is measured."""
    paced_rate: int
    """Events a second while the time to the acknowledgement is measured."""
    paced: int
    """Events of one such round."""
    appends: int
    """Appends of 4 KiB, each with its fdatasync, of one round."""
    starts: int
    """Starts of the command and of the daemon."""


FULL = Sizes(
    rounds=5, flood=200_000, single=100_000, frame_events=256, naive=2_000, known_ids=1_000_000,
    drain=100_000, one_by_one=1_500, pushers=256, push_each=200, push_alone=1_500,
    queued_memory=1_000_000, paced_rate=500, paced=1_500, appends=750, starts=15,
)  # fmt: skip
QUICK = Sizes(
    rounds=1, flood=20_000, single=10_000, frame_events=256, naive=200, known_ids=50_000,
    drain=10_000, one_by_one=200, pushers=256, push_each=20, push_alone=200,
    queued_memory=20_000, paced_rate=500, paced=300, appends=150, starts=3,
)  # fmt: skip
