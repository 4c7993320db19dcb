"""What a workspace may choose about plans.

Promise: a section of the configuration with a wrong type or a value out of range is refused as a
whole. Refusal: no file is read here, and nothing of a plan is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from conductor_packs.plan.errors import PlanInputInvalid
from conductor_packs.plan.routes import Routes


class Settings(msgspec.Struct, frozen=True):
    """The section `pack.plan`."""

    lease_s: Annotated[int, Meta(ge=1, le=604_800)] = 900
    """How long a claim lasts without a heartbeat."""
    strike_limit: Annotated[int, Meta(ge=1, le=1000)] = 3
    """How many leases may run out before the item is BLOCKED for a person to look at."""
    gateway: Routes = Routes()
    """How work orders are routed."""


def settings(config: Mapping[str, Any]) -> Settings:
    """Return the pack's settings from its section of the configuration.

    Raises:
        PlanInputInvalid: A value has the wrong type or is out of range.
    """
    known = {name: config[name] for name in Settings.__struct_fields__ if name in config}
    try:
        return msgspec.convert(known, Settings)
    except msgspec.ValidationError as error:
        raise PlanInputInvalid(f"[pack.plan] {error}") from None
