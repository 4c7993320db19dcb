"""The checksum that stands beside a queued event.

Promise: damage to the id, the kind or the body of an event is noticed before it is sent. Refusal:
it is no protection from somebody who writes to the file.
"""

from __future__ import annotations

import sqlite3
from zlib import crc32


def checksum_of(event_id: str, kind: str, body: bytes) -> int:
    """Return the CRC-32 of an event's id, kind and body."""
    return crc32(body, crc32(f"{event_id} {kind}".encode()))


def teach(connection: sqlite3.Connection) -> None:
    """Let statements of this connection say `event_checksum(event_id, kind, body)`."""
    connection.create_function("event_checksum", 3, checksum_of, deterministic=True)
