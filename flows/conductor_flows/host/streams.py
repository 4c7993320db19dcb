"""Holding the stream of a run.

Promise: whatever ends the block closes the stream, and with it the run. Refusal: nothing is read.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any


@contextlib.asynccontextmanager
async def held(items: AsyncIterator[Any]) -> AsyncGenerator[AsyncIterator[Any]]:
    """Close an iterator at the end, if it can be closed."""
    try:
        yield items
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()
