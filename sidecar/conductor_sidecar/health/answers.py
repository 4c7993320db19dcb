"""What a probe is told: an answer with its reasons.

Promise: codes are stable, for programs; details are for people. Refusal: nothing is judged here,
and nothing here is a secret or a path.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

LinkState = Literal["stopped", "connecting", "open", "waiting", "draining"]


class Code(StrEnum):
    """Why an answer is not ok. Stable; listed in docs/how-to/watch.md."""

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

    @property
    def codes(self) -> tuple[Code, ...]:
        """The codes of the reasons, in their order."""
        return tuple(reason.code for reason in self.reasons)


class HealthReport(msgspec.Struct, frozen=True):
    """All three answers, from one snapshot."""

    live: Health
    ready: Health
    hearing: Health
