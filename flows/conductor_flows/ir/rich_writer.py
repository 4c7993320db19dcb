"""Writing the rich dialect.

Promise: what was read from a rich document is written back field by field; what it left out is
written with its default, or not at all. Refusal: a flow for which the dialect has no words.
"""

from __future__ import annotations

from typing import Any

from conductor_flows.ir.durations import duration
from conductor_flows.ir.errors import NotExpressible
from conductor_flows.ir.model import (
    CheckpointIR,
    EdgeIR,
    FlowIR,
    Idempotency,
    Named,
    NodeIR,
    Policies,
    SchemaRef,
    SurfaceIR,
)
from conductor_flows.ir.spelling import camel, pascal, to_rich

Json = dict[str, Any]


def emit_rich(flow: FlowIR) -> Json:
    """Return a flow as a rich document.

    Raises:
        NotExpressible: A port without a name and version, a nested flow, durability settings.
    """
    body: Json = {
        "id": flow.id, "name": flow.name, "version": flow.version,
        "profile": pascal(flow.profile),
        "nodes": [_emit_node(node) for node in flow.nodes],
        "edges": [_emit_edge(edge, n) for n, edge in enumerate(flow.edges)],
    }  # fmt: skip
    if flow.summary is not None:
        body["description"] = flow.summary
    if flow.metadata.tags:
        body["tags"] = flow.metadata.tags
    if flow.checkpoints:
        body["checkpoints"] = [_emit_checkpoint(point) for point in flow.checkpoints]
    if flow.control_surfaces:
        body["controlSurfaces"] = [_emit_surface(surface) for surface in flow.control_surfaces]
    if policies := _emit_policies(flow.policies):
        body["policies"] = policies
    metadata: Json = to_rich(flow.metadata)
    del metadata["tags"], metadata["entrypoints"]
    if flow.metadata.entrypoints:
        raise NotExpressible("entrypoints")
    if metadata:
        body["metadata"] = metadata
    if flow.artifacts:
        body["artifacts"] = [to_rich(artifact) for artifact in flow.artifacts]
    return body


def _emit_node(node: NodeIR) -> Json:
    if node.subflow_ir is not None or node.effect_hints or node.determinism_hints:
        raise NotExpressible(f"hints or a nested flow at {node.alias!r}")
    body: Json = {
        "id": node.alias, "name": node.name, "kind": pascal(node.kind),
        "in": _emit_schema(node.in_schema), "out": _emit_schema(node.out_schema),
        "effects": pascal(node.effects), "determinism": pascal(node.determinism),
    }  # fmt: skip
    for name in ("origin", "schedule", "cost", "cache", "compensate", "params", "labels"):
        if (value := getattr(node, name)) is not None:
            body[name] = to_rich(value)
    if node.retry_owner is not None:
        body["retryOwner"] = pascal(node.retry_owner)
    if node.capabilities is not None:
        body["capabilities"] = [to_rich(binding) for binding in node.capabilities]
    docs: Json = {} if node.summary is None else {"summary": node.summary}
    if docs or node.docs is not None:
        body["docs"] = docs | (to_rich(node.docs) if node.docs is not None else {})
    if node.state is not None:
        body["state"] = "None" if node.state.consistency == "none" else to_rich(node.state)
    if (idem := _emit_idempotency(node.idempotency)) is not None:
        body["idem"] = idem
    return body


def _emit_schema(ref: SchemaRef) -> Json:
    if not isinstance(ref, Named) or ref.version is None:
        raise NotExpressible("a port without a name and a version")
    return {"id": ref.name, "version": ref.version}


def _emit_idempotency(idem: Idempotency) -> Json | None:
    if idem.key_spec is None:
        if idem.keyed:
            raise NotExpressible("an idempotency key that is not written in full")
        return None
    scope = "None" if idem.scope is None else pascal(idem.scope)
    body: Json = {"scope": scope, "key": to_rich(idem.key_spec)}
    return body | _iso("ttl", idem.ttl, idem.ttl_ms)


def _iso(key: str, text: str | None, milliseconds: int | None) -> Json:
    if text is None and milliseconds is not None:
        text = duration(milliseconds)
    return {} if text is None else {key: text}


def _emit_edge(edge: EdgeIR, number: int) -> Json:
    if edge.transform is not None:
        raise NotExpressible(f"a transform at {edge.source} -> {edge.to}")
    body: Json = {
        "id": edge.id or f"e{number + 1}", "from": edge.source, "to": edge.to,
        "ordering": pascal(edge.ordering), "delivery": pascal(edge.delivery),
    }  # fmt: skip
    buffer: Json = to_rich(edge.buffer)
    if tier := buffer.pop("spillTier", None):
        buffer["spillTier"] = pascal(tier)
    if dropping := buffer.pop("onDrop", None):
        buffer["onOverflow"] = pascal(dropping)
    if buffer:
        body["buffer"] = buffer
    for name in ("partition", "condition", "metrics"):
        if (value := getattr(edge, name)) is not None:
            body[name] = to_rich(value)
    return body | _iso("timeout", edge.timeout, edge.timeout_ms)


def _emit_checkpoint(point: CheckpointIR) -> Json:
    body: Json = {"id": point.id, "node": point.node, "label": point.summary or point.id}
    if point.kind is not None:
        body["kind"] = pascal(point.kind)
    if point.payload is not None:
        body["payload"] = _emit_schema(point.payload)
    for name in ("view", "escalation"):
        if (value := getattr(point, name)) is not None:
            body[name] = to_rich(value)
    return body | _iso("ttl", point.ttl, point.ttl_ms)


def _emit_surface(surface: SurfaceIR) -> Json:
    body: Json = {"id": surface.id, "type": pascal(surface.kind), "targets": surface.targets}
    if surface.config is not None:
        body["config"] = surface.config
    for name in ("origin", "lint"):
        if (value := getattr(surface, name)) is not None:
            body[name] = to_rich(value)
    return body


def _emit_policies(policies: Policies) -> Json:
    if policies.durability != Policies().durability:
        raise NotExpressible("durability settings")
    body: Json = {
        camel(name): to_rich(value)
        for name in ("rate_limit", "budget", "egress", "capability_guards")
        if (value := getattr(policies, name)) is not None
    }
    if policies.lint.require_control_hints:
        body["lint"] = {"requireControlHints": True}
    return body
