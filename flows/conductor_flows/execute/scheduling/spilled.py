"""What stands on an edge instead of a value that has left memory.

Promise: a reference, a size and a checksum, nothing else. Refusal: no I/O (`spilling` does it).
"""

from __future__ import annotations

from typing import Final

import msgspec

SPILL_LOAD_FAILED: Final = "spill_load_failed"
"""The kind of failure of a node whose input did not come back."""


class Spilled(msgspec.Struct, frozen=True):
    """Names a value in a blob store."""

    ref: str
    """Its key there."""
    size: int
    """Of the JSON, bytes."""
    digest: str
    """Of the JSON; hex SHA-256."""
