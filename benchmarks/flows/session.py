"""What a run of the flows benchmark has measured so far, and the processes that it asks.

Promise: rounds are interleaved: in each, everybody is asked once. Refusal: a process that cannot
start is noted with its own words and left out; nothing is put in its place.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.processes import Child, MeasurementFailed, environment

START_S = 100.0


@dataclass(slots=True)
class Session(Bench):
    """A run."""

    notes: dict[str, str] = field(default_factory=dict[str, str])
    """What the report has to say, by what it is about."""
    versions: dict[str, str] = field(default_factory=dict[str, str])
    """Of what is compared with."""
    peers: bool = True
    """Whether to ask the other libraries."""

    @property
    def quick(self) -> bool:
        """Whether only to see that everything works."""
        return self.sizes.rounds == 1


@dataclass(frozen=True, slots=True)
class Answering:
    """A process that measures when asked."""

    child: Child
    ready: dict[str, Any]

    def ask(self, mode: str, items: int) -> dict[str, Any]:
        """Measure, and return what it says: `took_s`, `cpu_s`, `items` and more."""
        self.child.say(f"{mode} {items}")
        return self.child.hear_all("took_s")


@contextmanager
def answering(
    session: Session, module: str, *arguments: object, python: str = sys.executable
) -> Generator[Answering]:
    """Start a module that uses `benchmarks.flows.answering`.

    Raises:
        MeasurementFailed: It did not start, with the last line of what it said about it.
    """
    said = session.directory / f"{session.name(module)}.stderr"
    # A shell puts standard error aside: libraries are talkative, and the last line is the reason.
    command = ["/bin/sh", "-c", 'exec "$@" 2>"$0"', said, python, "-m", module,
               session.directory, *arguments]  # fmt: skip
    with Child([str(word) for word in command], environment()) as child:
        try:
            ready = child.hear_all("ready", START_S)
        except MeasurementFailed as error:
            raise MeasurementFailed(_last_line(said) or str(error)) from None
        yield Answering(child, ready)


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
