"""The pack of these tests with two tool sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from notes_pack import TOOLS

from conductor_sdk.manifest import PackManifest
from conductor_sdk.manifest_tools import ToolManifest
from conductor_sdk.pack import Pack

SETS = {"core": ("note:add", "note:list"), "full": tuple(tool.name for tool in TOOLS)}


def toolset(config: Mapping[str, Any]) -> Sequence[ToolManifest]:
    chosen = SETS[config.get("toolset", "core")]
    return [tool for tool in TOOLS if tool.name in chosen]


pack = Pack(manifest=PackManifest(id="notes", version="1.0.0", tools=TOOLS), toolset=toolset)
