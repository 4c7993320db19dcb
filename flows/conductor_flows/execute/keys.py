"""Keys by which a repetition of an effect is recognised.

Promise: the same flow, node, partition and key fields give the same key on any machine; without
key fields a key belongs to one place in one run. Refusal: values are not looked into beyond the
fields.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from conductor_flows.execute.binding import Bound
from conductor_flows.execute.context import RunInfo
from conductor_flows.execute.errors import KeyCollision
from conductor_flows.execute.planning.pointers import Missing, getter
from conductor_flows.execute.scheduling.items import Invocation
from conductor_flows.ir.model import NodeIR

KEYS_KEPT: Final = 4096
"""Keys of a run whose inputs are remembered; the newest."""
_encode = msgspec.json.Encoder(order="deterministic").encode


class Keys:
    """The keys of one run."""

    def __init__(self, bound: Bound, run: RunInfo) -> None:
        self._bound = bound
        self._run = run
        self._inputs: dict[str, bytes] = {}

    def of(self, invocation: Invocation) -> str:
        """Return the key of an invocation."""
        plan, item = self._bound.plan, invocation.items[0]
        value = self._bound.view(plan.edges[invocation.edges[0]].source, item.value)
        return idempotency_key(
            plan.nodes[invocation.node].ir, flow=self._run.flow, run_id=self._run.run_id,
            place=place_of(invocation), partition=item.lane, value=value,
        )  # fmt: skip

    def claimed(self, invocation: Invocation) -> str:
        """Return the key of an invocation whose effect is about to be keyed by it.

        Raises:
            KeyCollision: IDEM099: another input had it; its effect would count as done.
        """
        key, plan = self.of(invocation), self._bound.plan
        if not plan.nodes[invocation.node].ir.idempotency.keyed:
            return key  # by place: no two inputs have one
        pairs = zip(invocation.edges, invocation.items, strict=True)
        values = [self._bound.view(plan.edges[edge].source, item.value) for edge, item in pairs]
        digest = hashlib.sha256(_encode(values)).digest()
        if self._inputs.setdefault(key, digest) != digest:
            raise KeyCollision(plan.nodes[invocation.node].alias, key)
        if len(self._inputs) > KEYS_KEPT:
            del self._inputs[next(iter(self._inputs))]
        return key


def place_of(invocation: Invocation) -> str:
    """Name an invocation's place within its run: the same when the run is resumed."""
    parts: list[str] = []
    scope = invocation.scope
    while scope.group is not None:
        parts.append(f"{scope.group.node}[{scope.element}]")
        scope = scope.group.parent
    turns = [f"{node}x{count}" for node, count in invocation.items[0].turns]
    return "/".join([str(scope.number), *reversed(parts), *turns])


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
