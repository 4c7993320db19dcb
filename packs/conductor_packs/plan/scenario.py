"""Scenarios: files of steps on a plan, checked as a whole and applied as a whole.

Promise: every field of a file is checked before the first write, and a scenario that does not come
out as it says leaves nothing but the entries of its refusals. Refusal: no file outside of the
workspace's `scenarios` directory is opened, whatever the path's parts or links say.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from conductor_packs.plan.errors import ScenarioMissing, ScenarioRefused
from conductor_packs.plan.records import LinkType, PlanStatus, State
from conductor_packs.plan.requests import (
    Estimate,
    Id,
    Kind,
    Moment,
    Name,
    Object,
    Patch,
    Priority,
    Request,
    Title,
    Version,
)

FOLDER: Final = "scenarios"
FILE_MAX: Final = 4_194_304
_Actor = Annotated[str, Meta(max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
_DEFAULT_SESSION: Final = "L3_PLAN_P0_SESSION"
_DEFAULT_TASK: Final = "L3_PLAN_P0_TASK"


class ScenarioPlan(Request, frozen=True, kw_only=True):
    """The plan that a scenario makes."""

    plan_id: Id
    title: Title
    owner_agent: Name
    status: PlanStatus = "ACTIVE"
    actor: _Actor = ""


class ScenarioItem(Request, frozen=True, kw_only=True):
    """An item that it adds."""

    item_id: Id
    plan_id: Id
    kind: Kind
    title: Title
    state: State
    priority: Priority = 0
    assigned_to: Name | None = None
    due_ts: Moment | None = None
    estimate: Estimate | None = None
    actor: _Actor = ""


class ScenarioLink(Request, frozen=True, kw_only=True):
    """A link that it adds."""

    from_item_id: Id
    to_item_id: Id
    link_type: LinkType = "DEPENDS_ON"
    link_id: Id | None = None
    actor: _Actor = ""


class _Step(Request, frozen=True, kw_only=True):
    item_id: Id
    expected_version: Version
    actor: _Actor = ""


class ScenarioUpdate(_Step, frozen=True, kw_only=True):
    """A change of fields."""

    patch: Patch


class ScenarioTransition(_Step, frozen=True, kw_only=True):
    """A move to another state."""

    to_state: State


class ConflictPatch(Patch, frozen=True, kw_only=True):
    """What is attempted on a stale version: a state, or else fields."""

    state: State | None = None


class ScenarioConflict(_Step, frozen=True, kw_only=True):
    """A change that must fail, because its version is stale."""

    patch: ConflictPatch = ConflictPatch()


class ScenarioReady(_Step, frozen=True, kw_only=True):
    """First leg of the handshake."""


class ScenarioRequest(_Step, frozen=True, kw_only=True):
    """Second leg of the handshake."""

    payload: Object = msgspec.field(default_factory=dict[str, Any])


class ScenarioResult(_Step, frozen=True, kw_only=True):
    """Third leg of the handshake."""

    result: Object = msgspec.field(default_factory=dict[str, Any])
    error: Annotated[str, Meta(max_length=4000)] | None = None


class Scenario(Request, frozen=True, kw_only=True):
    """A file of steps; the lists are applied one after the other, in this order."""

    plan: ScenarioPlan
    session_id: _Actor = _DEFAULT_SESSION
    task_id: _Actor = _DEFAULT_TASK
    items: list[ScenarioItem] = msgspec.field(default_factory=list[ScenarioItem])
    links: list[ScenarioLink] = msgspec.field(default_factory=list[ScenarioLink])
    updates: list[ScenarioUpdate] = msgspec.field(default_factory=list[ScenarioUpdate])
    transitions: list[ScenarioTransition] = msgspec.field(default_factory=list[ScenarioTransition])
    conflicts: list[ScenarioConflict] = msgspec.field(default_factory=list[ScenarioConflict])
    exec_ready: list[ScenarioReady] = msgspec.field(default_factory=list[ScenarioReady])
    exec_requests: list[ScenarioRequest] = msgspec.field(default_factory=list[ScenarioRequest])
    exec_results: list[ScenarioResult] = msgspec.field(default_factory=list[ScenarioResult])


def locate(workspace: Path, name: str) -> Path:
    """Return the real path of a scenario.

    Args:
        workspace: The workspace's root.
        name: Relative to its `scenarios` directory; a leading `scenarios/` is understood.

    Raises:
        ScenarioRefused: It is absolute, has `..`, or leads elsewhere through a link.
        ScenarioMissing: There is none.
    """
    path = PurePosixPath(name)
    if "\0" in name or not path.parts:
        raise ScenarioRefused("it has no name")
    if path.is_absolute() or name.startswith("~") or "\\" in name:
        raise ScenarioRefused(f"{name!r} is not relative to {FOLDER}/")
    if ".." in path.parts:
        raise ScenarioRefused(f"{name!r} has ..")
    if path.parts[0] == FOLDER and len(path.parts) > 1:
        path = PurePosixPath(*path.parts[1:])
    root = workspace.resolve()
    folder = root / FOLDER
    try:
        real = (folder / path).resolve(strict=True)
        inside = folder.resolve(strict=True)
    except (FileNotFoundError, NotADirectoryError):
        raise ScenarioMissing(repr(name)) from None
    except (OSError, RuntimeError, ValueError) as error:
        raise ScenarioRefused(f"{name!r}: {error}") from None
    if inside != folder or not real.is_relative_to(inside) or real == inside:
        raise ScenarioRefused(f"{name!r} leads out of {FOLDER}/")
    return real


def load(workspace: Path, name: str) -> Scenario:
    """Read and check a scenario.

    Raises:
        ScenarioRefused: It is not inside, or any field of it is wrong; says which.
        ScenarioMissing: There is none.
    """
    return parse(_read(locate(workspace, name), name))


def parse(text: bytes) -> Scenario:
    """Check a scenario's text.

    Raises:
        ScenarioRefused: A field is wrong, or a step names an item or plan that is not its own.
    """
    try:
        scenario = msgspec.json.decode(text, type=Scenario)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ScenarioRefused(str(error)) from None
    _check_names(scenario)
    return scenario


def _read(path: Path, name: str) -> bytes:
    """Read a regular file that is still where it was found."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ScenarioRefused(f"{name!r}: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise ScenarioRefused(f"{name!r} is not a file")
    with os.fdopen(opened, "rb") as file:
        text = file.read(FILE_MAX + 1)
    if len(text) > FILE_MAX:
        raise ScenarioRefused(f"{name!r} is longer than {FILE_MAX} bytes")
    return text


def _check_names(scenario: Scenario) -> None:
    known: set[str] = set()
    for at, item in enumerate(scenario.items):
        if item.plan_id != scenario.plan.plan_id:
            where = f"`$.items[{at}].plan_id`"
            raise ScenarioRefused(f"{where} is {item.plan_id!r}, not {scenario.plan.plan_id!r}")
        if item.item_id in known:
            raise ScenarioRefused(f"`$.items[{at}].item_id` {item.item_id!r} stands twice")
        known.add(item.item_id)
    for field in ("updates", "transitions", "conflicts", "exec_ready", "exec_requests",
                  "exec_results"):  # fmt: skip
        for at, step in enumerate(getattr(scenario, field)):
            if step.item_id not in known:
                raise ScenarioRefused(f"`$.{field}[{at}].item_id` {step.item_id!r} is no item")
    for at, link in enumerate(scenario.links):
        if not known.issuperset({link.from_item_id, link.to_item_id}):
            raise ScenarioRefused(f"`$.links[{at}]` names an item that the scenario has not")
