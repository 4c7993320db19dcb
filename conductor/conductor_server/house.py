"""What a session needs of its conductor.

Promise: a session knows nothing else of the hub. Refusal: no implementation here.
"""

from __future__ import annotations

from typing import Protocol

from conductor_sdk.clock import Clock
from conductor_server.activity import Feed
from conductor_server.intake import Intake
from conductor_server.ports import History
from conductor_server.rotation import Rotations
from conductor_server.settings import HubSettings


class House(Protocol):
    """The hub, as its sessions see it."""

    @property
    def history(self) -> History:
        """The present history; a restart may have put another in its place."""
        ...

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    @property
    def settings(self) -> HubSettings:
        """Limits, beats and pages."""
        ...

    @property
    def feed(self) -> Feed:
        """Where to tell what happens."""
        ...

    @property
    def rotations(self) -> Rotations:
        """Which credentials wait to be fetched."""
        ...

    @property
    def intake(self) -> Intake:
        """Where pushed events go."""
        ...
