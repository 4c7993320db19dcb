"""Events as signals: the writing end of the kernel's inbox file.

Promise: what `SignalFile.append` has returned for is on the disk, once per `remote_id`, and every
line of it satisfies the kernel's strict reader. Refusal: nothing is pruned; that is the kernel's.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from conductor_sdk.clock import Clock, wire_time
from conductor_sdk.event import KernelEvent
from conductor_server.digests import SeenNumbers, digest64
from conductor_server.line_file import append_lines, read_lines

SIGNALS = Path(".lumenflow/memory/signals.jsonl")
MESSAGE_MAX = 200
"""Characters of a signal's message; the event itself is in the conductor's history."""
_WU_ID = re.compile(r"WU-\d+\Z", re.ASCII)
_SIGNAL_ID = re.compile(r"sig-([0-9a-f]{8})\Z")


class Signal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the inbox file."""

    id: str
    message: str
    created_at: str
    read: bool
    type: str
    """The kind of the event that it tells of."""
    sender: str
    origin: str
    """`remote` for what came over a link, `local` for the kernel's own."""
    remote_id: str
    """The event's id: one signal per event."""
    wu_id: str | None = None
    lane: str | None = None
    target_agent: str | None = None


class _Known(msgspec.Struct):
    id: str
    remote_id: str = ""


_known = msgspec.json.Decoder(_Known)
_encoder = msgspec.json.Encoder()


def render(event: KernelEvent) -> str:
    """Say in one short line what an event brings: `kind: name=value, …`."""
    payload: dict[str, Any] = event.payload
    said = ", ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in payload.items()
    )
    text = " ".join(f"{event.kind}: {said}".split()) if said else event.kind
    return text if len(text) <= MESSAGE_MAX else text[: MESSAGE_MAX - 1] + "…"


class SignalFile:
    """Appends. Blocking, so call it from a thread; one call at a time."""

    def __init__(self, workspace: Path, clock: Clock) -> None:
        self._path = workspace / SIGNALS
        self._clock = clock
        self._ids = SeenNumbers()
        self._remote_ids = SeenNumbers()
        self._loaded = False
        self.healed_bytes = 0
        """Bytes of torn last lines that were cut off."""

    def append(self, events: Iterable[KernelEvent]) -> int:
        """Append a signal for each event that has none; flushed and synced on return.

        Returns:
            How many were new.

        Raises:
            OSError: Nothing may be confirmed; call again with the same events.
        """
        if not self._loaded:
            self._load()
        numbered = [(digest64(event.event_id), event) for event in events]
        fresh = {number: event for number, event in numbered if number not in self._remote_ids}
        if fresh:
            lines = [_encoder.encode(self._signal(event)) for event in fresh.values()]
            self.healed_bytes += append_lines(self._path, lines)
            for number in fresh:
                self._remote_ids.add(number)
        return len(fresh)

    def _signal(self, event: KernelEvent) -> Signal:
        wu_id = event.payload.get("wu_id")
        return Signal(
            id=self._new_id(),
            message=render(event),
            created_at=wire_time(self._clock.now()),
            read=False,
            type=event.kind,
            sender=event.from_.strip() or "system",
            origin="remote",
            remote_id=event.event_id,
            wu_id=wu_id if isinstance(wu_id, str) and _WU_ID.match(wu_id) else None,
        )

    def _new_id(self) -> str:
        while not self._ids.add(number := secrets.randbits(32)):
            pass
        return f"sig-{number:08x}"

    def _load(self) -> None:
        for line in read_lines(self._path):
            try:
                known = _known.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # Not ours to judge here; the reader names the line.
            if match := _SIGNAL_ID.match(known.id):
                self._ids.add(int(match[1], 16))
            if known.remote_id:
                self._remote_ids.add(digest64(known.remote_id))
        self._loaded = True
