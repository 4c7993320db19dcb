"""What a workspace chooses about its flows.

Promise: a section with a wrong type or a value out of range is refused as a whole, with the field.
Refusal: no file is read and no flow is loaded here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from conductor_packs.flows.errors import SettingsInvalid

FlowName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Spec = Annotated[str, Meta(min_length=1, max_length=1024)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The section `pack.flows`."""

    flows: dict[FlowName, Spec] = {}
    """Name to `module:flow`, or to `path.py:flow` inside the workspace."""
    bind: list[Spec] = []
    """Capabilities, as `kv=sqlite:state/kv.db`; for all flows. Paths are inside the workspace."""
    lock: Spec | None = None
    """A bindings lock inside the workspace, in place of `bind`."""
    checkpoints: Spec | None = None
    """A SQLite file inside the workspace; by default one in the pack's state folder."""
    deadline_s: Annotated[float, Meta(gt=0, le=86_400)] = 3600.0
    """For one run, from its start or from when it goes on; the request may ask for less."""
    concurrency: Annotated[int, Meta(ge=1, le=256)] = 4
    """Runs at once; the others wait in the pack's storage."""
    result_max_bytes: Annotated[int, Meta(ge=64, le=196_608)] = 65_536
    """Of JSON, of what a flow may answer."""
    max_attempts: Annotated[int, Meta(ge=1, le=100)] = 5
    """How often a run is taken up after the sidecar died during it."""
    retain_days: Annotated[int, Meta(ge=1, le=3650)] = 30
    """How long a run that has ended is known: its outcome, and what its key stands for."""


def settings(config: Mapping[str, Any]) -> Settings:
    """Return the pack's settings from its section of the configuration.

    Raises:
        SettingsInvalid: A value has the wrong type or is out of range, or a key is unknown.
    """
    try:
        found = msgspec.convert(dict(config), Settings)
    except msgspec.ValidationError as error:
        raise SettingsInvalid(str(error)) from None
    if found.bind and found.lock is not None:
        raise SettingsInvalid("`bind` and `lock` exclude each other")
    return found
