"""What happens at a conductor, as lines of text.

Promise: one line per event and per thing that happened, whole in a pipe, safe from control
characters in data. Refusal: nothing is printed here.
"""

from __future__ import annotations

from conductor_sdk.clock import from_epoch_ms, wire_time
from conductor_sdk.terminal_text import clean
from conductor_server.activity import Activity, EventRef

_WORD = 12


def lines(record: Activity) -> list[str]:
    """Return the lines of one record: time, what, workspace, then the event or the detail."""
    head = f"{wire_time(from_epoch_ms(record.at_ms))[11:]}  {record.what:<{_WORD}}"
    where = f"  {record.workspace}" if record.workspace else ""
    said = [_event(event) for event in record.events] or [record.detail]
    return [clean(f"{head}{where}  {text}".rstrip()) for text in said]


def _event(event: EventRef) -> str:
    number = "" if event.sequence is None else f"#{event.sequence} "
    note = f" ({event.note})" if event.note else ""
    return f"{number}{event.kind} {event.event_id}{note}"
