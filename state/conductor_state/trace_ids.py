"""The trace ids of a batch: 20 bytes for each event that came with a context, nothing otherwise.

Promise: packing and finding are inverses, and a batch without contexts has no blob. Refusal: no
span ids and no derived traces; those can be had from the event ids.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from conductor_sdk.trace_context import parse_traceparent

RECORD = struct.Struct("<I16s")
"""The event's index in its batch, and its trace id."""


def pack_traces(traceparents: Sequence[str | None]) -> bytes:
    """Return the blob of a batch's contexts, in the batch's order; empty where there is none."""
    if not any(traceparents):
        return b""
    packed: list[bytes] = []
    for index, text in enumerate(traceparents):
        if text is not None and (context := parse_traceparent(text)) is not None:
            packed.append(RECORD.pack(index, bytes.fromhex(context.trace_id)))
    return b"".join(packed)


def find_trace(blob: bytes | None, index: int) -> str | None:
    """Return the trace id of one event of a batch; None where it came without a context."""
    for found, trace_id in RECORD.iter_unpack(blob or b""):
        if found == index:
            return bytes(trace_id).hex()
    return None
