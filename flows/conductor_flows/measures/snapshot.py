"""A recorder that keeps everything, for tests.

Promise: what was recorded can be asked for by name and any part of the labels; a name or a label
that the catalogue does not have is an error at once. Refusal: it grows for as long as it is used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TypeAlias

from conductor_flows.execute.measures import Labels
from conductor_flows.measures.names import BY_NAME, Kind

Key: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]


class SnapshotRecorder:
    """A `Recorder`."""

    def __init__(self) -> None:
        self.counts: dict[Key, int] = defaultdict(int)
        self.levels: dict[Key, list[float]] = defaultdict(list)
        """Every value that a gauge had, in order."""
        self.samples: dict[Key, list[float]] = defaultdict(list)

    def count(self, name: str, labels: Labels, by: int = 1) -> None:
        """See `Recorder.count`."""
        self.counts[_key(name, labels, "counter")] += by

    def level(self, name: str, labels: Labels, value: float) -> None:
        """See `Recorder.level`."""
        self.levels[_key(name, labels, "gauge")].append(value)

    def observe(self, name: str, labels: Labels, value: float) -> None:
        """See `Recorder.observe`."""
        self.samples[_key(name, labels, "histogram")].append(value)

    @property
    def names(self) -> set[str]:
        """What was recorded at all."""
        return {name for kept in (self.counts, self.levels, self.samples) for name, _ in kept}

    def counted(self, name: str, **labels: str) -> int:
        """Add up a counter over everything that has these labels."""
        return sum(self.counts[key] for key in _chosen(self.counts, name, labels))

    def level_of(self, name: str, **labels: str) -> float:
        """Add up the last values of a gauge over everything that has these labels."""
        return sum(self.levels[key][-1] for key in _chosen(self.levels, name, labels))

    def highest(self, name: str, **labels: str) -> float:
        """Return the highest value of a gauge; 0 where it was never set."""
        chosen = _chosen(self.levels, name, labels)
        return max((max(self.levels[key]) for key in chosen), default=0.0)

    def observed(self, name: str, **labels: str) -> list[float]:
        """Return the samples of everything that has these labels."""
        chosen = _chosen(self.samples, name, labels)
        return [value for key in chosen for value in self.samples[key]]


def _key(name: str, labels: Labels, kind: Kind) -> Key:
    known = BY_NAME[name]
    if (kind, sorted(labels)) != (known.kind, sorted(known.labels)):
        raise ValueError(f"{name} is a {known.kind} with the labels {known.labels}")
    return name, tuple(sorted(labels.items()))


def _chosen(kept: dict[Key, int] | dict[Key, list[float]], name: str, labels: dict[str, str]
            ) -> Iterator[Key]:  # fmt: skip
    for key in list(kept):
        if key[0] == name and labels.items() <= dict(key[1]).items():
            yield key
