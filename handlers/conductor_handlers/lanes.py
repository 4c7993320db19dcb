"""Lanes: events of one key in order, keys in parallel.

Promise: a lane runs one job at a time and in order of arrival; a job that waits for its retry
holds its own lane only. Refusal: no I/O, no clock, no handler is known here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum, auto

import msgspec

from conductor_handlers.subscribers import Joint, Subscriber
from conductor_sdk.event import KernelEvent
from conductor_sdk.records import Position


class Job(msgspec.Struct, eq=False):
    """One event for one subscriber.

    The garbage collector must see it: its subscriber's context leads to the daemon, whose lanes
    lead back to the jobs that a stop left.
    """

    position: Position
    event: KernelEvent | None
    """None while the lane is long and held up: loaded from the store when its turn comes."""
    subscriber: Subscriber
    attempts: int = 0
    """Attempts counted, the claimed one included."""
    claimed: bool = False
    """Whether the next run is already counted in the store."""
    after: int = 0
    """The writer's number of the outcome of the last attempt; the next one is counted after it."""
    redriven: bool = False
    joint: Joint | None = None
    """Shared by the jobs of one event with several subscribers."""
    keys: list[tuple[str, str]] | None = None
    """Replay keys put while the job ran."""
    kind: str = ""
    """The event's; known while its body is not in memory."""
    first: bool = False
    """Whether its first attempt is claimed with its batch, and there is nothing to look back at."""


class LaneState(Enum):
    """Where a lane is; a lane is in the ready queue exactly when it is READY."""

    IDLE = auto()
    READY = auto()
    RUNNING = auto()
    WAITING = auto()


class Lane:
    """The queue of one key."""

    __slots__ = ("jobs", "key", "state")

    def __init__(self, key: tuple[str, str]) -> None:
        self.key = key
        self.jobs: deque[Job] = deque()
        self.state = LaneState.IDLE


class Lanes:
    """All lanes, and the queue of those that have something to run."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._ready: deque[Lane] = deque()
        self.jobs = 0

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def ready(self) -> int:
        """Lanes that wait for a worker."""
        return len(self._ready)

    def waiting(self) -> int:
        """Lanes held up by a retry."""
        return sum(lane.state is LaneState.WAITING for lane in self._lanes.values())

    def add(self, key: tuple[str, str], job: Job) -> Lane:
        """Append a job to its lane, which becomes ready if it was idle."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
        lane.jobs.append(job)
        self.jobs += 1
        if lane.state is LaneState.IDLE:
            self.make_ready(lane)
        return lane

    def make_ready(self, lane: Lane) -> None:
        """Queue a lane for a worker."""
        lane.state = LaneState.READY
        self._ready.append(lane)

    def unready(self, lane: Lane) -> None:
        """Take a lane out of the ready queue again."""
        self._ready.remove(lane)

    def take(self) -> Lane | None:
        """Take the lane that has waited longest; it is RUNNING from here."""
        if not self._ready:
            return None
        lane = self._ready.popleft()
        lane.state = LaneState.RUNNING
        return lane

    def finish(self, lane: Lane) -> None:
        """Give a lane back after its turn: ready again, or gone when it is empty."""
        if lane.jobs:
            self.make_ready(lane)
        else:
            lane.state = LaneState.IDLE
            del self._lanes[lane.key]

    def wait(self, lane: Lane) -> None:
        """Hold a lane up until `make_ready`."""
        lane.state = LaneState.WAITING

    def done(self, lane: Lane) -> None:
        """Take the finished job off the head of its lane."""
        lane.jobs.popleft()
        self.jobs -= 1

    def sift(self, keeps: Callable[[Job], bool]) -> list[Job]:
        """Take out the jobs that are not kept, and return them. No lane may be running."""
        out: list[Job] = []
        for lane in list(self._lanes.values()):
            kept = deque(job for job in lane.jobs if keeps(job))
            if len(kept) < len(lane.jobs):
                staying = set(map(id, kept))
                out += [job for job in lane.jobs if id(job) not in staying]
                lane.jobs = kept
            if not kept and lane.state is LaneState.READY:
                self.unready(lane)
                self.finish(lane)
        self.jobs -= len(out)
        return out

    def drain(self) -> list[Job]:
        """Empty everything; return the jobs that never finished."""
        left = [job for lane in self._lanes.values() for job in lane.jobs]
        self._lanes.clear()
        self._ready.clear()
        self.jobs = 0
        return left
