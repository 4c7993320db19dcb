"""Exports as files: written anew, read with their checksum, restored whole.

Promise: a file that was changed is refused before anything is touched, and a restore is one commit.
Refusal: an existing file is never overwritten, and nothing is merged.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from conductor_packs.sidekick.cli.calling import host
from conductor_packs.sidekick.cli.errors import ExportInvalid, FileRefused
from conductor_packs.sidekick.records import STORES, AuditEvent, Record
from conductor_packs.sidekick.storage.codec import WrongShape, decode_record
from conductor_packs.sidekick.storage.errors import StoreNotEmpty
from conductor_packs.sidekick.storage.port import Change, StoragePort
from conductor_packs.sidekick.tools.system import checksum

TOOL = "sidekick:import"
ACTOR = "cli"
FILE_MAX_BYTES = 1 << 30
EXPORTED = STORES[:5]
"""The stores of an export; what is on its way and the run log stay where they are."""
_Content = tuple[dict[str, list[Record]], list[AuditEvent]]


def write_export(file: Path, data: Mapping[str, Any]) -> None:
    """Write an export to a new file that only its owner can read, durably.

    Raises:
        FileRefused: It is there already, or cannot be written.
    """
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump(data, out, indent=2, ensure_ascii=False)
            out.write("\n")
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise FileRefused(f"{file}: {error.strerror}") from None


def restore(
    file: Path, workspace: Path | None, *, replace: bool, dry_run: bool
) -> Mapping[str, int]:
    """Restore an export; returns how many records of each store.

    Raises:
        ExportInvalid: It is none, or its checksum does not fit.
        StoreNotEmpty: The workspace holds something, and `replace` is False.
        FileRefused: It cannot be read.
    """
    content = read_export(file)

    async def work(port: StoragePort) -> None:
        if dry_run:
            await port.read(lambda view: None if replace else _refuse_full(view))
        else:
            await port.change(lambda change: _fill(change, content, replace=replace))

    _with_storage(workspace, work)
    records, events = content
    return {**{name: len(found) for name, found in records.items()}, "audit": len(events)}


def migrated(workspace: Path | None, kind: str) -> Mapping[str, int]:
    """Copy the other kind of storage into this kind; returns how many records of each store.

    Raises:
        StoreNotEmpty: The target holds something.
    """
    from conductor_packs.sidekick.storage.migrate import migrate
    from conductor_packs.sidekick.storage.opening import open_storage

    root = host().workspace(workspace)
    target_kind: Literal["filesystem", "sqlite"] = "sqlite" if kind == "sqlite" else "filesystem"
    source_kind: Literal["filesystem", "sqlite"] = (
        "filesystem" if target_kind == "sqlite" else "sqlite"
    )

    async def work() -> Mapping[str, int]:
        source, target = open_storage(root, source_kind), open_storage(root, target_kind)
        try:
            done = await migrate(source, target)
        finally:
            await source.close()
            await target.close()
        return {**done.records, "audit": done.audit_events}

    return asyncio.run(work())


def read_export(file: Path) -> _Content:
    """Read and check an export.

    Raises:
        ExportInvalid: As `restore`.
        FileRefused: As `restore`.
    """
    try:
        with file.open("rb") as source:
            text = source.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise FileRefused(f"{file}: {error.strerror}") from None
    if len(text) > FILE_MAX_BYTES:
        raise ExportInvalid(f"{file} is longer than {FILE_MAX_BYTES} bytes")
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ExportInvalid(f"{file}: {error}") from None
    if isinstance(found, dict) and isinstance(cast("dict[str, Any]", found).get("data"), dict):
        fields = cast("dict[str, Any]", found)
        if set(fields) == {"success", "data"} or "metadata" in fields:
            fields = fields["data"]  # printed by --json: the export is inside of the answer
        return _content(file, fields)
    raise ExportInvalid(f"{file} has no data")


def _content(file: Path, fields: Mapping[str, Any]) -> _Content:
    data = cast("dict[str, Any]", fields.get("data"))
    if fields.get("checksum") != checksum(data):
        raise ExportInvalid(f"{file}: the checksum does not fit the data")
    try:
        records = {
            store.name: [decode_record(_bytes(item), store.record) for item in data[store.name]]
            for store in EXPORTED
            if store.name in data
        }
        events = [decode_record(_bytes(item), AuditEvent) for item in data.get("audit", ())]
    except (WrongShape, TypeError) as error:
        raise ExportInvalid(f"{file}: {error}") from None
    return records, events


def _bytes(item: object) -> bytes:
    return json.dumps(item, ensure_ascii=False).encode()


def _with_storage(workspace: Path | None, work: Any) -> None:
    from conductor_packs.sidekick.names import PACK
    from conductor_packs.sidekick.storage.opening import open_storage

    root = host().workspace(workspace)
    kind: Literal["filesystem", "sqlite"] = (
        "sqlite" if host().config(root, PACK).get("storage") == "sqlite" else "filesystem"
    )

    async def run() -> None:
        port = open_storage(root, kind)
        try:
            await work(port)
        finally:
            await port.close()

    asyncio.run(run())


def _refuse_full(view: Any) -> None:
    for store in EXPORTED:
        if view.records(store):
            raise StoreNotEmpty(f"there are {store.name} in it; see --replace")


def _fill(change: Change, content: _Content, *, replace: bool) -> None:
    records, events = content
    if not replace:
        _refuse_full(change)
    for store in EXPORTED:
        for old in change.records(store):
            change.remove(store, old.id)
        for record in records.get(store.name, ()):
            change.put(store, record)
    known = {event.id for event in change.audit_events()}
    for event in events:
        if event.id not in known:
            change.append(event)
    counts = {name: len(found) for name, found in records.items()}
    change.audit("create", TOOL, actor=ACTOR, details={"restored": counts, "replaced": replace})
