"""Writes `manifest.yaml` from the table of descriptors: run this module with `--write`.

Promise: the same table gives the same bytes; without `--write` it only tells whether the file is
what the table gives. Refusal: nothing else is written.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from conductor_packs.sidekick.descriptors import tools_of
from conductor_packs.sidekick.names import PACK, VERSION
from conductor_packs.sidekick.toolsets import tool_fields

MANIFEST = Path(__file__).with_name("manifest.yaml")
ROUTINE_RUN = "sidekick:routine_run"
"""What the runner says of each run."""
_HEAD = "# Edit descriptors.py, then: python -m conductor_packs.sidekick.manifest_file --write\n"


class _Plain(yaml.SafeDumper):
    """Repeats what stands twice: a manifest has no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never write an anchor."""
        del data
        return True


def manifest_fields() -> dict[str, Any]:
    """Return the whole manifest: the core tool set and what the pack declares of itself."""
    return {
        "id": PACK,
        "slug": PACK,
        "version": VERSION,
        "config_key": PACK,
        "task_types": [PACK],
        "tools": [tool_fields(tool, "core") for tool in tools_of("core")],
        "policies": [
            {
                "id": "sidekick.policy.default",
                "trigger": "on_tool_request",
                "decision": "allow",
                "reason": "Every tool stays inside .sidekick; the workspace may be stricter.",
            }
        ],
        "evidence_types": ["sidekick.audited.tool-call"],
        "state_aliases": {},
        "lane_templates": [],
        "emitted_event_kinds": [ROUTINE_RUN],
        "subscribed_event_kinds": [],
        "required_approvals": [],
        "surfaces_required": ["http"],
        "backpressure_policy": {ROUTINE_RUN: "queue"},
    }


def manifest_text() -> str:
    """Return the text of `manifest.yaml`."""
    body = yaml.dump(
        manifest_fields(), Dumper=_Plain, sort_keys=False, default_flow_style=None, width=100,
        allow_unicode=True,
    )  # fmt: skip
    return _HEAD + body


def main(arguments: list[str]) -> int:
    """Write the file, or compare it; returns the exit code."""
    text = manifest_text()
    if "--write" in arguments:
        MANIFEST.write_text(text, encoding="utf-8")
        return 0
    return int(MANIFEST.read_text(encoding="utf-8") != text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
