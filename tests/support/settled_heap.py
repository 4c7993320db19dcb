"""What a worker has collected and imported is not looked through again by the garbage collector.

Promise: a full collection during a test costs what the tests of its module left, not what ten
thousand collected tests and every import weigh. A daemon that ends collects once, and the suite
ends hundreds of them: that was a fifth of the time of the whole suite.
Refusal: no threshold is touched and the collector stays on. What is garbage is freed first, so
that nothing is kept that a test could miss.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from typing import Any

import pytest


def settle() -> None:
    """Free what can be freed, then leave alone what is here."""
    gc.collect()
    gc.freeze()


def pytest_collection_finish() -> None:
    """Settle before the first test."""
    settle()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, Any, object]:
    """Settle between modules, when what one has imported is there and what it opened is closed."""
    ran: object = yield
    if nextitem is not None and nextitem.path != item.path:
        settle()
    return ran
