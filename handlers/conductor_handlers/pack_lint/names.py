"""That no two tools of a pack would answer to one name.

Promise: names are compared as written and as MCP clients see them. Refusal: other packs' names are
the tool host's concern.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from conductor_handlers.pack_lint.verdict import Check, Finding, checked
from conductor_sdk.manifest_tools import ToolManifest

TITLE = "distinct tool names"
_NOT_WORD = re.compile(r"\W")


def check_names(tools: Sequence[ToolManifest]) -> Check:
    """Refuse a tool whose name, or whose name on MCP, an earlier one has."""
    findings: list[Finding] = []
    taken: dict[str, str] = {}
    for index, tool in enumerate(tools):
        shown = _NOT_WORD.sub("_", tool.name)
        first = taken.get(shown)
        if first is None:
            taken[shown] = tool.name
            continue
        findings.append(
            Finding(
                "duplicate_name", f"/tools/{index}/name",
                f"{tool.name!r} and an earlier {first!r} are both {shown} on MCP",
                "give one of them another name",
            )
        )  # fmt: skip
    return checked("names", TITLE, findings)
