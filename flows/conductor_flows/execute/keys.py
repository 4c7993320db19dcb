"""Keys by which a repetition of an effect is recognised.

Promise: the same flow, node, partition and key fields give the same key on any machine; without
key fields a key belongs to one place in one run. Refusal: values are not looked into beyond the
fields.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from conductor_flows.execute.pointers import Missing, getter
from conductor_flows.ir.model import NodeIR

_encode = msgspec.json.Encoder(order="deterministic").encode


def idempotency_key(
    node: NodeIR, *, flow: str, run_id: str, place: str, partition: Any, value: Any
) -> str:
    """Return a key: 64 hex digits of SHA-256.

    Args:
        node: Whose effect.
        flow: The flow's name.
        run_id: The run, for nodes without key fields.
        place: The item's place within the run.
        partition: The partition of the item.
        value: The node's input as JSON.
    """
    spec = node.idempotency
    paths = [field.path for field in spec.key_spec.fields] if spec.key_spec else []
    paths = paths or (spec.key or "").split(":") if spec.keyed else []
    fields: dict[str, Any] = {path: _read(path, value) for path in paths}
    if not fields:
        fields = {"": [run_id, place]}
    content = {"f": flow, "n": node.alias, "p": partition, "x": fields}
    return hashlib.sha256(_encode(content)).hexdigest()


def _read(path: str, value: Any) -> Any:
    try:
        return getter(path if path.startswith("/") else "/" + path.replace(".", "/"))(value)
    except Missing:
        return None
