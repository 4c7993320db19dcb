"""Where a future was made is noted without a look at the disk.

asyncio's debug mode, which every test runs in, notes the whole stack with each future, task and
callback. The library asks the disk for every frame whether the file has changed, and reads the
line, though hardly ever anybody prints it: that was a third of the time of a test with a daemon.

Promise: the notes have the same frames; their lines are read when somebody prints them.
Refusal: exceptions are left alone; so is a caller who wants local variables.
"""

from __future__ import annotations

import itertools
import linecache
import sys
from collections import deque
from collections.abc import Callable, Iterator
from traceback import FrameSummary, StackSummary
from types import FrameType
from typing import Any

_AT_ONCE: Any = vars(StackSummary)["extract"].__func__
_frames: dict[tuple[str, int, str], FrameSummary] = {}
"""One for each line that ever stood in a stack: the lines of the code are the bound."""


def extract(
    cls: type[StackSummary], frame_gen: Iterator[tuple[FrameType, int]], *,
    limit: int | None = None, lookup_lines: bool = True, capture_locals: bool = False,
) -> StackSummary:  # fmt: skip
    """Stand in for `StackSummary.extract`; lines are looked up when they are asked for."""
    if capture_locals:
        whole: StackSummary = _AT_ONCE(
            cls, frame_gen, limit=limit, lookup_lines=lookup_lines, capture_locals=True
        )
        return whole
    if limit is None and (limit := getattr(sys, "tracebacklimit", None)) is not None:
        limit = max(limit, 0)
    if limit is not None:
        frame_gen = (
            itertools.islice(frame_gen, limit) if limit >= 0
            else iter(deque(frame_gen, maxlen=-limit))
        )  # fmt: skip
    found = cls()
    for frame, number in frame_gen:
        code = frame.f_code
        key = (code.co_filename, number, code.co_name)
        noted = _frames.get(key)
        if noted is None:
            linecache.lazycache(key[0], frame.f_globals)  # what is no file tells its source
            noted = _frames[key] = FrameSummary(*key, lookup_line=False)
        found.append(noted)
    return found


def begin() -> Callable[[], None]:
    """Take the place of the library's way; returns what gives it back."""
    StackSummary.extract = classmethod(extract)  # type: ignore[assignment,method-assign,arg-type] # the same, later
    return lambda: setattr(StackSummary, "extract", classmethod(_AT_ONCE))
