"""One line of the access log: how it is read, and what is kept of it.

2026-11-20T10:00:03.250Z r000017 acme 200 18234 /v1/items
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

FIELDS = 6


@dataclass(frozen=True)
class Line:
    """One request."""

    ts: int
    """When it was answered; milliseconds since 1970."""
    request_id: str
    customer_id: str
    size: int
    """Bytes of the answer."""


def read_line(text: str) -> Line:
    """Read one line.

    Raises:
        ValueError: It is none.
    """
    fields = text.split()
    if len(fields) != FIELDS:
        raise ValueError(f"{len(fields)} fields instead of {FIELDS}: {text!r}")
    moment, request_id, customer_id, _status, size, _path = fields
    return Line(
        round(datetime.fromisoformat(moment).timestamp() * 1000), request_id, customer_id, int(size)
    )
