"""The contract's version and the hash of what it is about.

Promise: one number for people, one hash for programs; both are in every smoke report. Refusal:
nothing is generated here.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Final

from conductor_packs.sidekick.schemas import Toolset
from conductor_packs.sidekick.toolsets import tool_manifests

_TOOLSETS: Final[tuple[Toolset, ...]] = ("core", "full")
CONTRACT_VERSION: Final = "1.0"
"""Grows in front where a caller must change, behind where it may."""


def schema_hash() -> str:
    """Return `sha256:` and the hash over names, permissions and schemas of both tool sets."""
    seen = {
        toolset: [
            [tool.name, tool.permission, tool.input_schema, tool.output_schema]
            for tool in tool_manifests(toolset)
        ]
        for toolset in _TOOLSETS
    }
    text = json.dumps(seen, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{sha256(text.encode()).hexdigest()}"
