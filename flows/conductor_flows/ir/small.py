"""The small dialect: what the product writes.

Promise: the same flow gives the same bytes; a flow without rich fields gives a document of the
small schema. Refusal: nothing is checked beyond types.
"""

from __future__ import annotations

from typing import Any

import msgspec

from conductor_flows.ir.model import FlowIR

_encode = msgspec.json.Encoder(order="deterministic")


def emit(flow: FlowIR, *, pretty: bool = True) -> bytes:
    """Return a flow as a document, UTF-8, ending in a line feed."""
    data = _encode.encode(flow)
    return (msgspec.json.format(data, indent=2) if pretty else data) + b"\n"


def as_json(flow: FlowIR) -> dict[str, Any]:
    """Return a flow as JSON values; JSON Pointers of diagnostics point into this."""
    found: dict[str, Any] = msgspec.to_builtins(flow)
    return found
