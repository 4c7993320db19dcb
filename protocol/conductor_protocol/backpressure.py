"""Who may go up, and how much may come down: functions of policy and depth.

Promise: the same arguments give the same answer. Refusal: nothing is remembered, stored or sent.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, TypeAlias

Policy: TypeAlias = Literal["queue", "ephemeral"]
GRANT_SHARE = 4
"""A grant is worth a message when it raises the open credit by at least a cap / GRANT_SHARE."""


class Admission(StrEnum):
    """What becomes of one pushed event; a drop's value is its reason in the counts."""

    STORE = "store"
    SEND = "send"
    DROP_DISCONNECTED = "disconnected"
    DROP_WINDOW = "window_full"

    @property
    def dropped(self) -> bool:
        """Whether the event goes nowhere."""
        return self in {Admission.DROP_DISCONNECTED, Admission.DROP_WINDOW}


def admit(policy: Policy, *, connected: bool, in_flight: int, cap: int) -> Admission:
    """Decide on one event: `queue` is always stored, `ephemeral` is sent now or never.

    Args:
        policy: The kind's backpressure policy.
        connected: Whether the session is open.
        in_flight: Pushed events without a result.
        cap: How many there may be.
    """
    if policy == "queue":
        return Admission.STORE
    if not connected:
        return Admission.DROP_DISCONNECTED
    return Admission.SEND if in_flight < cap else Admission.DROP_WINDOW


def credit(backlog: int, cap: int) -> int:
    """Return how many events may come down while `backlog` are stored and unsettled."""
    return max(0, cap - backlog)


def worth_granting(open_credit: int, new_credit: int, cap: int) -> bool:
    """Tell whether a changed credit deserves a message of its own, without an ack to ride on.

    Small raises would cost one message per settled event; a raise from nothing always counts,
    because the conductor is waiting for it.
    """
    if open_credit <= 0:
        return new_credit > 0
    return (new_credit - open_credit) * GRANT_SHARE >= cap
