"""What becomes of one call of `put`.

Promise: a closed union. Refusal: no behaviour.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from conductor_sdk.errors import QueueFull
from conductor_sdk.records import PutResult
from conductor_state.outbox_caps import Pool


class Stored(msgspec.Struct, frozen=True):
    """The call is done: one result for each event, in order."""

    results: list[PutResult]


class Waits(msgspec.Struct, frozen=True):
    """Nothing of the call is stored; it waits until there is room in this pool."""

    pool: Pool


class Refused(msgspec.Struct, frozen=True):
    """Nothing of the call is stored, and it raises."""

    error: QueueFull


Verdict: TypeAlias = Stored | Waits | Refused
