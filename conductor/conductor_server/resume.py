"""From where a sidecar goes on: a pure decision.

Promise: whatever is kept and may be unknown to the sidecar is sent; what cannot be sent any more
is named as a gap. Refusal: a cursor of another history is never believed.
"""

from __future__ import annotations

import msgspec


class Resume(msgspec.Struct, frozen=True):
    """How a session begins: events follow from sequence `start + 1`."""

    resumed: bool
    start: int
    gap_from: int | None = None
    gap_to: int | None = None


def resume(*, epoch: str, first: int, last: int, known_epoch: str, known_cursor: int) -> Resume:
    """Decide where a session begins.

    Args:
        epoch: The id of the conductor's history.
        first: Its first kept sequence for the workspace; `last + 1` when nothing is kept.
        last: Its last sequence; 0 before the first event.
        known_epoch: What the sidecar's cursor belongs to; "" when it has none.
        known_cursor: The last sequence that the sidecar has stored.
    """
    oldest = first - 1
    if known_epoch == "":
        known_epoch, known_cursor = epoch, 0
    if known_epoch != epoch:
        return Resume(resumed=False, start=oldest)
    if known_cursor < oldest:
        return Resume(resumed=False, start=oldest, gap_from=known_cursor + 1, gap_to=oldest)
    if known_cursor > last:
        # This history went back in time, as after restoring a backup. Ids tell what is new.
        return Resume(resumed=False, start=oldest)
    return Resume(resumed=True, start=known_cursor)
