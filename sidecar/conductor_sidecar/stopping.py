"""Stopping on SIGTERM and SIGINT, whatever the packs do.

Promise: the first signal begins a clean stop, the second ends the process at once, and a stop
that pack code holds up (it blocks the event loop, or swallows its cancellation) ends by force a
little after its deadline. Refusal: nothing is saved here; what was promised is on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass
from types import FrameType

from conductor_sdk.errors import Exit
from conductor_sidecar.logs import get_logger

GRACE_S = 5.0
"""Seconds beyond drain.deadline_s for goodbye and last commits."""
SAY_S = 0.2
TWICE = 130
"""Exit code of a stop that was asked for twice, as a shell reports Ctrl-C."""


@dataclass(slots=True)
class Deadline:
    """How long a clean stop may take."""

    drain_s: float
    """drain.deadline_s, as it is in force."""


def stop_on_signals(stop: asyncio.Event, deadline_s: float) -> Deadline:
    """Set `stop` at the first SIGTERM or SIGINT; call in the main thread, inside of its loop.

    Returns the deadline, which may be changed until then.

    Not `loop.add_signal_handler`: that one waits for the loop, which foreign code may block.
    """
    loop = asyncio.get_running_loop()
    asked, deadline = threading.Event(), Deadline(deadline_s)

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            os._exit(TWICE)
        asked.set()
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            loop.call_soon_threadsafe(stop.set)

    def force() -> None:
        asked.wait()
        time.sleep(deadline.drain_s + GRACE_S)
        # In a thread of its own: whoever blocks the loop may hold the log too.
        threading.Thread(target=_say_forced, daemon=True).start()
        time.sleep(SAY_S)
        os._exit(Exit.FAILURE)

    threading.Thread(target=force, name="stop-by-force", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return deadline


def _say_forced() -> None:
    error = "pack code did not end; its attempt is counted at the next start"
    get_logger(part="daemon").error("stop_forced", error=error)
