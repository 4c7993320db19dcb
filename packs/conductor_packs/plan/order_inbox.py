"""Work orders that arrive as files.

Promise: a file that was taken in stands in `processed`, one that was refused in `error` with the
reason beside it, and no file ever replaces another. A crash in between takes the same file in
again, which changes nothing. Refusal: links are not followed, and what is no work order is not
guessed at.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from conductor_packs.plan.batch import Caller
from conductor_packs.plan.errors import OrderRefused, PlanError
from conductor_packs.plan.gateway.requests import SubmitOrder
from conductor_packs.plan.inbox_files import waiting
from conductor_packs.plan.store import Plans
from conductor_sdk.chain.canonical import PayloadRefused
from conductor_sdk.errors import ConductorError

FILE_MAX: Final = 262_144
_CALLER: Final = Caller("gateway")


class Taken(msgspec.Struct, frozen=True):
    """What became of one file."""

    name: str
    moved_to: str
    """Relative to the inbox's own directory."""
    reason: str = ""
    """Why it was refused."""


async def take_in(plans: Plans, workspace: Path) -> list[Taken]:
    """Take in what lies in the inbox, oldest first; without an inbox nothing is done."""
    folder = workspace / plans.settings.gateway.inbox
    names = await asyncio.to_thread(waiting, folder, workspace)
    return [await _take(plans, folder, name) for name in names]


async def _take(plans: Plans, folder: Path, name: str) -> Taken:
    reason = ""
    fields: Mapping[str, Any] = {}
    try:
        fields = await asyncio.to_thread(_read, folder / name)
    except OrderRefused as error:
        reason = error.detail
    request = SubmitOrder(order=dict(fields), source=f"file:{name}"[:256])
    try:
        await plans.change(request, _CALLER)
    except PlanError as error:
        reason = reason or f"{error.code}: {error.detail}"
    place = "error" if reason else "processed"
    moved = await asyncio.to_thread(_move, folder / name, folder.parent / place, reason)
    return Taken(name, f"{place}/{moved}", reason)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise OrderRefused(f"{error.strerror}") from None
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OrderRefused("it is not a file")
    with os.fdopen(opened, "rb") as file:
        text = file.read(FILE_MAX + 1)
    if len(text) > FILE_MAX:
        raise OrderRefused(f"it is longer than {FILE_MAX} bytes")
    return _decoded(text, path.suffix.lower())


def _decoded(text: bytes, suffix: str) -> Mapping[str, Any]:
    from conductor_sdk.yaml12 import load_yaml

    try:
        value: object = msgspec.json.decode(text) if suffix == ".json" else load_yaml(text)
    except (msgspec.DecodeError, ConductorError, PayloadRefused, RecursionError) as error:
        raise OrderRefused(f"{error}"[:500]) from None
    if not isinstance(value, Mapping):
        raise OrderRefused("it is not an object")
    return cast("Mapping[str, Any]", value)


def _move(path: Path, folder: Path, reason: str) -> str:
    """Move a file, under another name where there is one; returns the name.

    Another process may have moved it first, which is as good.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    while True:
        name = path.name if number == 0 else f"{path.stem}.{number}{path.suffix}"
        try:
            os.link(path, folder / name, follow_symlinks=False)  # unlike rename: never over another
        except FileExistsError:
            number += 1
            continue
        except FileNotFoundError:
            return name
        path.unlink(missing_ok=True)
        if reason:
            (folder / f"{name}.reason").write_text(f"{reason}\n", encoding="utf-8")
        return name
