"""Every code that can be said about a flow, before it runs and while it does.

Promise: a code stands for one thing, for ever; docs/reference/flow-codes.md is written from this
registry and a test compares the two. Refusal: no rule is applied here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from conductor_flows.validate.codes.durability import DURABILITY
from conductor_flows.validate.codes.governance import GOVERNANCE
from conductor_flows.validate.codes.graph import GRAPH
from conductor_flows.validate.codes.lattices import LATTICES
from conductor_flows.validate.codes.running import RUNNING
from conductor_flows.validate.codes.surfaces import SURFACES
from conductor_flows.validate.diagnostic import Code

_TABLES: Final = (GRAPH, LATTICES, SURFACES, DURABILITY, GOVERNANCE, RUNNING)
CODES: Final[Mapping[str, Code]] = MappingProxyType(
    {code.code: code for table in _TABLES for code in table}
)
"""By code, in the order of the tables."""
