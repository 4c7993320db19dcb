"""How often the garbage of a daemon is looked for: rarely while it runs, once when it is over.

Promise: after `collected_rarely` the thresholds are what they were, and what the daemon left in
cycles is gone, unless the collector is off.
Refusal: nothing is frozen, and the collector is not turned off or on here.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Generator

THRESHOLDS = (50_000, 20, 50)
"""Batches make many short-lived objects; the default thresholds cost a third of the throughput."""


def collect_rarely() -> None:
    """Collect rarely from now on: for a process that is about to import a daemon, and is one.

    Imports make objects that stay; looking through them again and again is a tenth of the start.
    """
    gc.set_threshold(*THRESHOLDS)


@contextlib.contextmanager
def collected_rarely() -> Generator[None]:
    """Collect rarely inside, and everything at the end.

    A daemon's parts know each other, so only the collector frees them. With these thresholds it
    would look at old objects only after millions of new ones: whoever starts and stops daemons in
    one process would hold many of them.
    """
    before = gc.get_threshold()
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        if gc.isenabled():  # whoever turned it off wants no collection at a moment of ours
            gc.collect()
