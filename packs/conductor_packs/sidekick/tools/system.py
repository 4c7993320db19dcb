"""The tools about the pack itself.

Promise: status and export are each of one consistent state and make no file; where the storage is
in use they leave an audit event behind, which the pack writes and not the call's own scopes.
Refusal: an export is answered, never written to a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from conductor_packs.sidekick.descriptors import (
    SIDEKICK_EXPORT,
    SIDEKICK_INIT,
    SIDEKICK_STATUS,
)
from conductor_packs.sidekick.inputs.system import SidekickExport, SidekickInit, SidekickStatus
from conductor_packs.sidekick.names import VERSION
from conductor_packs.sidekick.records import (
    CHANNELS,
    MEMORIES,
    MESSAGES,
    ROUTINES,
    TASKS,
    Store,
    as_json,
)
from conductor_packs.sidekick.tools.desk import Answer, Desk, runs
from conductor_packs.sidekick.tools.ledger import Ledger, Reader

_EXPORTED: Final[tuple[Store[Any], ...]] = (TASKS, MEMORIES, CHANNELS, MESSAGES, ROUTINES)


@runs(SIDEKICK_INIT)
async def sidekick_init(given: SidekickInit, desk: Desk) -> Answer:
    """Make the pack's directory; where it is in use nothing changes."""
    del given

    def init(ledger: Ledger) -> None:
        if not ledger.used():
            ledger.audit("create", details={"root_dir": desk.root_dir})

    await desk.change(init)
    return desk.answer(initialized=True, root_dir=desk.root_dir)


@runs(SIDEKICK_STATUS)
async def sidekick_status(given: SidekickStatus, desk: Desk) -> Answer:
    """Count what is kept; the audit event of this call is not counted yet."""
    del given
    status = await desk.read(_status)
    if status["initialized"]:
        await desk.leave_trace("read", details={"task_count": status["task_count"]})
    return status


@runs(SIDEKICK_EXPORT)
async def sidekick_export(given: SidekickExport, desk: Desk) -> Answer:
    """Return everything that is kept, with a checksum over it."""

    def export(view: Reader) -> tuple[dict[str, Any], str, bool]:
        data: dict[str, Any] = {store.name: _rows(view, store) for store in _EXPORTED}
        if given.include_audit:
            data["audit"] = [as_json(event) for event in view.audit_events()]
        return data, checksum(data), view.used()

    data, hashed, used = await desk.read(export)
    if used:
        await desk.leave_trace("export", details={"include_audit": given.include_audit})
    return {
        "exported_at": desk.stamp,
        "version": VERSION,
        "checksum": hashed,
        "data": data,
    }


def checksum(data: Mapping[str, Any]) -> str:
    """Return `sha256:` and the hash of the data as compact JSON with sorted keys, in UTF-8."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _rows(view: Reader, store: Store[Any]) -> list[dict[str, Any]]:
    return [as_json(record) for record in view.records(store)]


def _status(view: Reader) -> dict[str, Any]:
    states = [task.status for task in view.records(TASKS)]
    return {
        "initialized": view.used(),
        "version": VERSION,
        "task_count": len(states),
        "pending_tasks": states.count("pending"),
        "completed_tasks": states.count("done"),
        "canceled_tasks": states.count("canceled"),
        "memory_entries": len(view.records(MEMORIES)),
        "channels": len(view.records(CHANNELS)),
        "messages": len(view.records(MESSAGES)),
        "routines": len(view.records(ROUTINES)),
        "audit_events": view.audit_count(),
    }
