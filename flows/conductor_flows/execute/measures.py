"""What a run tells about itself in numbers.

Promise: names and labels are those of docs/reference/flow-metrics.md, without the prefix
`latticeflow.`, which the recorder adds. Refusal: nothing is kept here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

Labels = Mapping[str, str]
"""`flow` is the flow's name, `node` an alias; never an id of a run."""


class Recorder(Protocol):
    """Where measurements go. Calls must not block."""

    def count(self, name: str, labels: Labels, by: int = 1) -> None:
        """Add to a counter."""
        ...

    def level(self, name: str, labels: Labels, value: float) -> None:
        """Set a gauge."""
        ...

    def observe(self, name: str, labels: Labels, value: float) -> None:
        """Add to a histogram; milliseconds where the name ends in `_ms`."""
        ...
