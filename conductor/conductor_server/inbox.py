"""The kernel's inbox, read: which signals there are, and who was seen.

Promise: reading changes nothing; marking appends a receipt and leaves the signals byte for byte.
Refusal: read state is the workspace's, not a reader's; that is how the kernel keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import msgspec

from conductor_sdk.clock import Clock, wire_time
from conductor_server.errors import SignalsUnreadable
from conductor_server.line_file import append_lines, read_lines
from conductor_server.signals import SIGNALS, Signal

RECEIPTS = Path(".lumenflow/memory/signal-receipts.jsonl")


class Receipt(msgspec.Struct, frozen=True):
    """One line of the receipts file: a signal was read."""

    signal_id: str
    read_at: str


class _Line(msgspec.Struct):
    """A signal as anyone may have written it, old records included."""

    id: str
    message: str
    created_at: str
    read: bool
    type: str = "coordination"
    sender: str = "system"
    origin: str = "local"
    remote_id: str = ""
    wu_id: str | None = None
    lane: str | None = None
    target_agent: str | None = None


_line = msgspec.json.Decoder(_Line)
_receipt = msgspec.json.Decoder(Receipt)
_encoder = msgspec.json.Encoder()


def read_signals(
    workspace: Path,
    *,
    unread_only: bool = False,
    since: datetime | None = None,
    wu_id: str | None = None,
    lane: str | None = None,
) -> list[Signal]:
    """Read signals in file order; `read` is the inline flag or a receipt.

    Args:
        workspace: The workspace's root; a missing file means no signals.
        unread_only: Leave out what was read.
        since: Aware; leave out what was created then or before.
        wu_id: Only signals of this work unit.
        lane: Only signals of this lane.

    Raises:
        SignalsUnreadable: A complete line is not a signal; the torn last one is passed over.
    """
    receipts = _receipts(workspace)
    path = workspace / SIGNALS
    signals: list[Signal] = []
    for number, line in enumerate(read_lines(path), 1):
        try:
            signal = _signal(_line.decode(line), receipts)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if not line.endswith(b"\n"):
                break
            raise SignalsUnreadable(f"{path} line {number}: {error}") from None
        if (
            not (unread_only and signal.read)
            and (wu_id is None or signal.wu_id == wu_id)
            and (lane is None or signal.lane == lane)
            and (since is None or _created(signal) > since)
        ):
            signals.append(signal)
    return signals


def mark_read(workspace: Path, signal_ids: Iterable[str], clock: Clock) -> int:
    """Append a receipt for each id that exists and is unread; returns how many, durable."""
    unread = {signal.id for signal in read_signals(workspace, unread_only=True)}
    marked = [signal_id for signal_id in dict.fromkeys(signal_ids) if signal_id in unread]
    if marked:
        read_at = wire_time(clock.now())
        lines = [_encoder.encode(Receipt(signal_id, read_at)) for signal_id in marked]
        append_lines(workspace / RECEIPTS, lines)
    return len(marked)


def _signal(line: _Line, receipts: set[str]) -> Signal:
    return Signal(
        id=line.id,
        message=line.message,
        created_at=line.created_at,
        read=line.read or line.id in receipts,
        type=line.type,
        sender=line.sender,
        origin=line.origin,
        remote_id=line.remote_id or line.id,
        wu_id=line.wu_id,
        lane=line.lane,
        target_agent=line.target_agent,
    )


def _receipts(workspace: Path) -> set[str]:
    read: set[str] = set()
    for line in read_lines(workspace / RECEIPTS):
        try:
            read.add(_receipt.decode(line).signal_id)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # A torn receipt means that its signal shows once more.
    return read


def _created(signal: Signal) -> datetime:
    try:
        moment = datetime.fromisoformat(signal.created_at)
    except ValueError:
        raise SignalsUnreadable(f"{signal.id}: created_at is not a time") from None
    return moment if moment.tzinfo else moment.astimezone()
