"""Digests of ids: how stores remember an id in 16 bytes, or index it as an integer.

Promise: the same id has the same digest on every machine and in every version. Refusal: not a
secret and not a signature; whoever needs certainty compares the id itself.
"""

from __future__ import annotations

from hashlib import blake2b

DIGEST_BYTES = 16


def id_digest(event_id: str) -> bytes:
    """Return the 16-byte digest of an id."""
    return blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


def id_key(event_id: str, scope: str = "") -> int:
    """Return an id's digest as a signed 64-bit integer, for an SQLite key; others may share it."""
    digest = id_digest(f"{scope}\0{event_id}" if scope else event_id)
    return int.from_bytes(digest[:8], "big", signed=True)
