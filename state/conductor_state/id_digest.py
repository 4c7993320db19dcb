"""Digests of ids: how a store remembers an id in 16 bytes.

Promise: the same id has the same digest on every machine and in every version. Refusal: not a
secret and not a signature; whoever needs certainty compares the id itself.
"""

from __future__ import annotations

from hashlib import blake2b

DIGEST_BYTES = 16


def id_digest(event_id: str) -> bytes:
    """Return the 16-byte digest of an id."""
    return blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()
