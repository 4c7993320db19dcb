"""SIGHUP: a request to reload, or the end of the terminal in which the daemon was started.

Promise: a hangup that somebody sends asks for a reload; one that comes because the terminal has
gone is a clean stop. Refusal: nothing is reloaded here.
"""

from __future__ import annotations

import asyncio
import os
import signal


def reload_on_hangup(asked: asyncio.Event, stop: asyncio.Event) -> None:
    """Set one of two events at each SIGHUP; call in the main thread, inside of its loop."""
    terminal = os.isatty(0)

    def on_hangup() -> None:
        if terminal and not os.isatty(0):  # it is nobody's terminal any more
            stop.set()
        else:
            asked.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, on_hangup)
