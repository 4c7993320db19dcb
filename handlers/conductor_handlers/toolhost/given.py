"""What a tool host is built on, and what it is given to run.

Promise: plain values, and nothing of tools is imported for them. Refusal: nothing is checked here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from conductor_handlers.toolhost.catalogue import Catalogue
    from conductor_handlers.toolhost.late_catalogue import LateCatalogue
    from conductor_handlers.toolhost.ports import ApprovalStore, Evidence, ResultStore, ToolEvents
    from conductor_handlers.toolhost.records import PackRoom
    from conductor_handlers.toolhost.settings import HostSettings


class HostPorts(NamedTuple):
    """The stores behind a host."""

    approvals: ApprovalStore
    results: ResultStore
    evidence: Evidence
    events: ToolEvents


class Given(NamedTuple):
    """Tools, and how they may run; another one takes its place when packs are loaded anew."""

    catalogue: Catalogue | LateCatalogue
    rooms: Mapping[str, PackRoom]
    """What each pack's tools run in, by slug."""
    settings: HostSettings | None = None
