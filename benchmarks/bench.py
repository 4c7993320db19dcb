"""Where a run happens, and what it has measured so far."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from benchmarks.sizes import Sizes


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number, with every run of it."""

    unit: str
    runs: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle run."""
        return statistics.median(self.runs)

    def as_json(self) -> dict[str, object]:
        """Return median, spread and runs."""
        return {
            "unit": self.unit, "median": _short(self.median), "min": _short(min(self.runs)),
            "max": _short(max(self.runs)), "runs": [_short(run) for run in self.runs],
        }  # fmt: skip


@dataclass(slots=True)
class Bench:
    """A run: its directory on the disk that is measured, its sizes, its numbers."""

    directory: Path
    sizes: Sizes
    rounds: dict[str, list[float]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    loads: list[float] = field(default_factory=list)
    """The machine's load average at the start of each part."""
    _numbers: count[int] = field(default_factory=count)

    def name(self, stem: str) -> str:
        """Return a name for a directory that is not there yet."""
        return f"{stem}-{next(self._numbers)}"

    def add(self, name: str, unit: str, value: float) -> None:
        """Note one run of a figure."""
        self.rounds.setdefault(name, []).append(value)
        self.units[name] = unit
        progress(f"  {name:<34} {value:>12,.3f} {unit}")

    def part(self, title: str) -> None:
        """Begin a part: told on standard error, and the load of the machine noted."""
        self.loads.append(os.getloadavg()[0])
        progress(f"[{time.strftime('%H:%M:%S')}] {title} (load {self.loads[-1]:.2f})")

    def figures(self) -> dict[str, Figure]:
        """Return everything that was measured."""
        return {name: Figure(self.units[name], tuple(runs)) for name, runs in self.rounds.items()}

    def ratio(self, above: str, below: str) -> Figure:
        """Divide two figures, round by round: what disturbs a round disturbs both."""
        return paired(self.rounds[above], self.rounds[below])


def paired(above: Sequence[float], below: Sequence[float]) -> Figure:
    """Divide run by run."""
    return Figure("ratio", tuple(a / b for a, b in zip(above, below, strict=True)))


def progress(text: str) -> None:
    """Tell whoever waits."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _short(value: float) -> float:
    return float(f"{value:.4g}") if abs(value) < 10_000 else round(value)
