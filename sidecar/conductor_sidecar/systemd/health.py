"""Health that does not lie: live, ready and deaf, each with its reasons.

Promise: `live` knows local progress only, so a conductor that is gone makes nothing restart;
`ready` names everything that keeps events from flowing; `deaf` is a link on which beats pass and
events do not. Refusal: no I/O, no clock, and no state without a reason for a program to read.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from conductor_sidecar.report import LinkState
from conductor_sidecar.systemd.watchdog import DISPATCHER, Verdict

DEAF_AFTER_S = 30.0
"""Seconds behind a beating conductor, with credit, without an event."""
SILENT_AFTER_S = 90.0
"""Seconds without a frame on an open link; the session gives such a link up by itself."""

Phase = Literal["starting", "running", "reloading", "draining", "stopped"]


class Code(StrEnum):
    """Why an answer is not ok. Stable; listed in docs/how-to/systemd.md."""

    STORE_STUCK = "store_stuck"
    DISPATCHER_STUCK = "dispatcher_stuck"
    STARTING = "starting"
    DRAINING = "draining"
    STOPPED = "stopped"
    LINK_DOWN = "link_down"
    LINK_SILENT = "link_silent"
    DEAF = "deaf"
    DISK_FULL = "disk_full"
    STORE_FAILING = "store_failing"
    LANES_FULL = "lanes_full"


class LinkView(msgspec.Struct, frozen=True, kw_only=True):
    """The link, as health sees it."""

    state: LinkState
    for_s: float
    """Seconds in this state."""
    reason: str = ""
    """Why it is not open; a code, then words."""
    heard_s: float | None = None
    """Seconds since the last frame, a beat being one; None before the first."""
    behind_s: float | None = None
    """See `Hearing.behind_s`."""
    head: int = 0
    """The conductor's last sequence, as its last beat named it."""
    seen: int = 0
    """Ours."""


class StoreView(msgspec.Struct, frozen=True):
    """One store, as health sees it."""

    name: str
    refuses: str | None = None
    """The code of the error with which it refuses writes now, as STORE_FULL; None: it does not."""


class LanesView(msgspec.Struct, frozen=True):
    """The dispatcher, as health sees it."""

    jobs: int
    """Events stored and not settled."""
    window: int
    """How many there may be before the conductor is held back."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that health is judged by, taken at one moment."""

    phase: Phase
    progress: Verdict
    link: LinkView
    stores: tuple[StoreView, ...]
    lanes: LanesView


class Reason(msgspec.Struct, frozen=True):
    """One thing that is not as it should be."""

    code: Code
    detail: str
    for_s: float | None = None
    """Seconds, where that is known."""


class Health(msgspec.Struct, frozen=True):
    """An answer: for a program by `ok` and `code`s, for people by `detail`s."""

    ok: bool
    state: Literal["live", "stuck", "ready", "not_ready", "hearing", "deaf"]
    reasons: tuple[Reason, ...] = ()

    @property
    def status_code(self) -> int:
        """The HTTP status: 200 or 503."""
        return 200 if self.ok else 503


class Hearing:
    """Since when a beating conductor is ahead of us while nothing comes.

    Credit that is used up is our own doing, and whatever arrives starts over.
    """

    __slots__ = ("_seen", "_since")

    def __init__(self) -> None:
        self._since: float | None = None
        self._seen = -1

    def beat(self, *, head: int, seen: int, credit: int, now: float) -> None:
        """Note one beat of the conductor, or one look at what the last one said.

        Args:
            head: The conductor's last sequence.
            seen: Our last sequence.
            credit: Events that it may still send.
            now: Seconds of a monotonic clock.
        """
        moved, self._seen = seen != self._seen, seen
        if head <= seen or credit <= 0:
            self._since = None
        elif moved or self._since is None:
            self._since = now

    def closed(self) -> None:
        """Note that the link ended: the next one starts over."""
        self._since, self._seen = None, -1

    def behind_s(self, now: float) -> float | None:
        """Return for how long; None while it is not so."""
        return None if self._since is None else now - self._since


def live(snapshot: Snapshot) -> Health:
    """Say whether the process makes progress. When it does not, only a restart helps."""
    reasons = tuple(
        Reason(
            Code.DISPATCHER_STUCK if stuck.part == DISPATCHER else Code.STORE_STUCK,
            f"{stuck.part} has not moved",
            round(stuck.for_s, 1),
        )
        for stuck in snapshot.progress.stuck
    )
    return Health(not reasons, "stuck" if reasons else "live", reasons)


def deaf(snapshot: Snapshot) -> Health:
    """Say whether beats pass while events do not; `ok` is that they do, or that no link is open."""
    link = snapshot.link
    behind_s = link.behind_s if link.state == "open" else None
    if behind_s is None or behind_s < DEAF_AFTER_S:
        return Health(ok=True, state="hearing")
    detail = f"the conductor is at #{link.head} and we stay at #{link.seen}"
    return Health(False, "deaf", (Reason(Code.DEAF, detail, round(behind_s, 1)),))


def ready(snapshot: Snapshot) -> Health:
    """Say whether events flow: running, live, linked, hearing, stores that write, lanes with room.

    Reasons stand in the order in which they should be mended.
    """
    reasons = (
        *_phase(snapshot.phase),
        *live(snapshot).reasons,
        *(_store(store.name, store.refuses) for store in snapshot.stores if store.refuses),
        *_link(snapshot.link),
        *deaf(snapshot).reasons,
        *_lanes(snapshot.lanes),
    )
    return Health(not reasons, "not_ready" if reasons else "ready", reasons)


def _phase(phase: Phase) -> tuple[Reason, ...]:
    match phase:
        case "starting":
            return (Reason(Code.STARTING, "the daemon has not begun to handle events"),)
        case "draining":
            return (Reason(Code.DRAINING, "the daemon stops"),)
        case "stopped":
            return (Reason(Code.STOPPED, "the daemon has stopped"),)
        case "running" | "reloading":
            return ()


def _store(name: str, refuses: str) -> Reason:
    full = refuses == "STORE_FULL"
    return Reason(Code.DISK_FULL if full else Code.STORE_FAILING, f"{name}: {refuses}")


def _link(link: LinkView) -> tuple[Reason, ...]:
    if link.state != "open":
        words = f"{link.state}: {link.reason}" if link.reason else link.state
        return (Reason(Code.LINK_DOWN, words, round(link.for_s, 1)),)
    if link.heard_s is not None and link.heard_s >= SILENT_AFTER_S:
        return (Reason(Code.LINK_SILENT, "open, and nothing comes", round(link.heard_s, 1)),)
    return ()


def _lanes(lanes: LanesView) -> tuple[Reason, ...]:
    if lanes.jobs < lanes.window:
        return ()
    detail = f"{lanes.jobs} events wait for handlers; the conductor is held back"
    return (Reason(Code.LANES_FULL, detail),)
