"""Ids that follow from names.

Promise: equal names give equal ids, on any machine and in any version of this product. Refusal:
nothing random.
"""

from __future__ import annotations

from uuid import NAMESPACE_DNS, UUID, uuid5

NAMESPACE: UUID = uuid5(NAMESPACE_DNS, "latticeflow.flow")
"""Under which the ids of flows are made."""


def flow_id(name: str, version: str) -> str:
    """Return the id of a flow: lower case, with hyphens."""
    return str(uuid5(NAMESPACE, f"{name}:{version}"))


def node_id(flow: str, alias: str) -> str:
    """Return the id of a node of the flow with that id."""
    return f"{flow}::{alias}"
