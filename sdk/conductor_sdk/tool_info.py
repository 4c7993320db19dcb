"""A tool as it is listed: by the tool host, and by whoever calls tools from outside.

Promise: both ends of a listing read and write this one record. Refusal: nothing in it says that a
call will be allowed; that is decided with each call.
"""

from __future__ import annotations

from typing import Any

import msgspec


class ToolInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tool, for whoever chooses among them."""

    name: str
    pack: str
    version: str
    """The pack's."""
    permission: str
    input_schema: dict[str, Any]
    required_scopes: list[dict[str, Any]]
    mcp_name: str
    """`<pack>_<group>_<verb>`: unique across packs, word characters only."""
    title: str | None = None
    description: str | None = None
    output_schema: dict[str, Any] | None = None
    required_approvals: list[str] = []
    """Those of the manifest, then the policy rules that ask for one."""
    destructive: bool = False
    idempotent: bool = False
    toolset: str | None = None
    """The pack's configured selection, where it has several."""
