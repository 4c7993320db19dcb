"""A process that measures what it is asked to, as often as it is asked.

Promise: a line `MODE ITEMS` on standard input gives a JSON line with the seconds that it took;
starting up, importing and warming are over before the first answer. Refusal: nothing of the project
is imported, so that the libraries it is compared with can use it in a Python of their own.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Work = Callable[[int], Awaitable[Any]]
"""Does that many items; what it returns is told beside the time, if it is a dict."""


async def answer(modes: Mapping[str, Work], *, warm: int = 3, **about: Any) -> None:
    """Warm every mode, say what there is, and answer until standard input ends."""
    for work in modes.values():
        await work(warm)
    _say({"ready": sorted(modes), **about})
    while line := await asyncio.to_thread(sys.stdin.readline):
        mode, items = line.split()
        _say(await _measured(modes[mode], int(items)))


async def _measured(work: Work, items: int) -> dict[str, Any]:
    gc.collect()
    cpu, begin = time.process_time(), time.perf_counter()
    told = await work(items)
    took_s, cpu_s = time.perf_counter() - begin, time.process_time() - cpu
    more = told if isinstance(told, dict) else {}
    return {"took_s": took_s, "cpu_s": cpu_s, "items": items, **more}


def _say(what: Mapping[str, Any]) -> None:
    sys.__stdout__.write(json.dumps(what) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]
