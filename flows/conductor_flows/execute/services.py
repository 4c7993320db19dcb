"""What a host gives to the runs that it hosts.

Promise: everything that a run takes from outside is here, so that a test may give all of it.
Refusal: nothing is looked up anywhere else.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from conductor_flows.execute.durability import Durable
from conductor_flows.execute.measures import Recorder
from conductor_flows.execute.notices import Tell, logged
from conductor_flows.execute.planning.plan import CAPTURE_CAPACITY
from conductor_flows.execute.planning.surfaces import SERVED
from conductor_flows.execute.spilling import SpillStore
from conductor_flows.ir.terms import SurfaceKind


@dataclass(frozen=True, slots=True)
class Services:
    """What runs may use."""

    capabilities: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Providers by the hint that they satisfy, as `resource::kv::read`."""
    recorder: Recorder | None = None
    random: Callable[[], float] = random.random
    """For the jitter of retries."""
    served: frozenset[SurfaceKind] = SERVED
    """Control surfaces that the host serves; a flow with another is CTRL901."""
    capture_capacity: int = CAPTURE_CAPACITY
    """Results that may be outstanding."""
    spill: Mapping[str, SpillStore] = field(default_factory=lambda: MappingProxyType({}))
    """Where items go that leave memory, by the tier that the edge names."""
    durability: Durable | None = None
    """Where checkpoints go; `conductor_flows.durable.services` has several."""
    tell: Tell = logged
    """Takes notices: RUN030, RUN040, WEB201."""
