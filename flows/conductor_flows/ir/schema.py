"""The JSON Schema of Flow IR documents, from the types.

Promise: whatever the small schema of the source project accepts, this one accepts. Refusal: it
describes the small form with its optional rich fields, not the rich dialect.
"""

from __future__ import annotations

from typing import Any

import msgspec

from conductor_flows.ir.model import FlowIR

ID = "https://conductor-sidecar.dev/schemas/flow-ir.schema.json"


def json_schema() -> dict[str, Any]:
    """Return the schema, draft 2020-12; open objects, as readers ignore what they do not know."""
    (root,), parts = msgspec.json.schema_components([FlowIR], ref_template="#/$defs/{name}")
    defs = {name: _nullable(part) for name, part in sorted(parts.items())}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": ID,
        "title": "Flow IR", **root, "$defs": defs,
    }  # fmt: skip


def _nullable(part: dict[str, Any]) -> dict[str, Any]:
    """Leave out the word `default: null` and the like, which say nothing to a reader."""
    properties = {
        name: {key: value for key, value in found.items() if key != "default" or value is not None}
        for name, found in part.get("properties", {}).items()
    }
    return {**part, "properties": properties} if properties else part
