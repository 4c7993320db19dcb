"""What can be said of a log: five answers that are kept apart.

Promise: each answer has its own remedy, so none hides another. Refusal: a verdict that was reached
without an anchor never claims that the log is complete.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Source: TypeAlias = Literal["OK", "EMPTY", "MISSING"]
Chain: TypeAlias = Literal["OK", "CORRUPTED", "FORKED"]
Completeness: TypeAlias = Literal["OK", "TRUNCATED", "UNANCHORED"]
State: TypeAlias = Literal["OK", "DRIFT", "ABSENT"]
Reason: TypeAlias = Literal[
    "",
    "ANCHOR_MISMATCH",  # the entry at an anchor's size is another one: history was rewritten
    "ENTRY_ALTERED",  # the content does not give the stored hash
    "ENTRY_MALFORMED",  # a field has a type or a value that no writer makes
    "ENTRY_MISSING",  # the sequence jumps
    "FORKED",  # a second entry follows an entry that already has a successor
    "HEAD_MISMATCH",  # the head that the log records is another one
    "LINK_BROKEN",  # the entry follows one that is not in this log
    "LOG_UNREADABLE",  # the file cannot be read to its end
    "PAYLOAD_NOT_CANONICAL",  # the hash fits, but the text is not canonical JSON
    "STATE_DRIFT",  # a table that is derived from the log is not what a replay gives
    "TAIL_MISSING",  # an anchor or the recorded head reaches further than the log
]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a walk found."""

    source: Source
    chain: Chain
    completeness: Completeness
    state: State = "ABSENT"
    """ABSENT where nothing is derived from the log, or nothing was compared."""
    size: int
    """Entries that the log holds."""
    head: str
    """The stored hash of the last one; the genesis hash when there is none."""
    log_id: str
    first_bad: int | None = None
    """The first sequence that is missing, altered or not ours; None when nothing is wrong."""
    reason: Reason = ""
    detail: str = ""
    """The reason in words, for people."""

    @property
    def intact(self) -> bool:
        """Whether nothing contradicts the log. True also where no anchor was given."""
        return self.chain == "OK" and self.completeness != "TRUNCATED" and self.state != "DRIFT"


def missing(log_id: str = "") -> Verdict:
    """Return the verdict on a log that is not there: nothing was checked."""
    return Verdict(
        source="MISSING", chain="OK", completeness="UNANCHORED", size=0, head="", log_id=log_id,
        detail="there is no journal",
    )  # fmt: skip
