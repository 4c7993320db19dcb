"""A server in a test looks a hundred times a second whether it has to end, and not ten times.

uvicorn looks ten times a second, and waits once more when it ends. The suite ends hundreds of
servers, and each had its test wait for a fifth of a second.

Promise: the same steps in the same order, sooner.
Refusal: nothing but the pause between two looks is touched, and no process that a test starts.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from types import ModuleType
from typing import Any

TICK_S = 0.01


class _Quick(ModuleType):
    """`asyncio` as the server sees it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    def sleep(delay: float) -> Coroutine[Any, Any, None]:
        return asyncio.sleep(min(delay, TICK_S))


_QUICK = _Quick("asyncio")


def pytest_runtest_setup() -> None:
    """Shorten the pause from the first test on after somebody has imported the server."""
    served: Any = sys.modules.get("uvicorn.server")
    if served is not None:
        served.asyncio = _QUICK
