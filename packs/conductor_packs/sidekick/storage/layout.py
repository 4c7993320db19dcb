"""Where each store lies below `.sidekick`.

Promise: the names are those that Sidekick has always shipped with; two older ones are read where
the new ones are missing. Refusal: nothing here opens a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Place:
    """The file of a store."""

    directory: str
    name: str
    legacy: str | None = None
    """Read where `name` does not exist; never written, never removed."""

    @property
    def path(self) -> str:
        """Relative to the root."""
        return f"{self.directory}/{self.name}"


PLACES: Final[Mapping[str, Place]] = {
    "tasks": Place("tasks", "tasks.json"),
    "memories": Place("memory", "memories.json", legacy="memory.json"),
    "channels": Place("channels", "channels.json"),
    "messages": Place("channels", "messages.json", legacy="outbox.json"),
    "deliveries": Place("channels", "deliveries.json"),
    "routines": Place("routines", "routines.json"),
    "runs": Place("routines", "runs.json"),
}
"""By the store's name."""

DIRECTORIES: Final = tuple(dict.fromkeys(place.directory for place in PLACES.values()))

AUDIT_DIRECTORY: Final = "audit"
AUDIT: Final = Place(AUDIT_DIRECTORY, "events.jsonl")
AUDIT_ROTATED: Final = re.compile(r"events\.(\d{6})\.jsonl")
LOCK: Final = ".lock"
COMMIT: Final = ".commit"
COMMIT_TEMPORARY: Final = ".commit.tmp"
TEMPORARY: Final = re.compile(r".+\.json\.tmp-[0-9a-f]{8}")
"""The names of files that a change has not put in place yet."""


def rotated(number: int) -> str:
    """Return the name of the audit file that was closed as the `number`th."""
    return f"events.{number:06}.jsonl"
