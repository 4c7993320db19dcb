"""What a rotation works with.

Promise: everything that it touches is here, so that a test can hand in twins. Refusal: no code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from conductor_sdk.clock import Clock
from conductor_sidecar.credentials import Credentials
from conductor_sidecar.feed import Feed
from conductor_sidecar.ports import Journal
from conductor_sidecar.rotation.ports import CrashPoint, Endpoint, Files
from conductor_sidecar.settings import LinkSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a rotation works with."""

    credentials: Credentials
    files: Files
    endpoint: Endpoint
    journal: Journal
    feed: Feed
    clock: Clock
    random: Callable[[], float]
    crash_point: CrashPoint
    link: Callable[[], LinkSettings] = LinkSettings
    """How the conductor is reached now."""
    retry_first_s: float = 5.0
    pause_s: float = 1.0
    """Seconds between two rotations at least, however often they are asked for."""
