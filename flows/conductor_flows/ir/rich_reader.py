"""Reading the rich dialect: closed objects, camelCase and PascalCase, ISO 8601 durations.

Promise: nothing that a rich document says is lost; what it leaves out gets the default that the
dialect gives it. Refusal: what the dialect does not know is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from conductor_flows.ir.durations import millis
from conductor_flows.ir.errors import DocumentInvalid
from conductor_flows.ir.json_values import as_array, as_object
from conductor_flows.ir.model import (
    Buffer,
    CheckpointIR,
    EdgeIR,
    FlowIR,
    Idempotency,
    Metadata,
    NodeIR,
    Policies,
    SurfaceIR,
)
from conductor_flows.ir.rich import StateModel
from conductor_flows.ir.spelling import from_rich

Json = dict[str, Any]


def read_rich(document: Mapping[str, Any]) -> Json:
    """Return the small form of a rich document, as JSON for `model.FlowIR`.

    Raises:
        DocumentInvalid: It is not shaped like a rich document; says where.
    """
    rest = dict(document)
    nodes = [_read(item, f"/nodes/{n}", _node) for n, item in enumerate(_list(rest, "nodes"))]
    edges = [_read(item, f"/edges/{n}", _edge) for n, item in enumerate(_list(rest, "edges"))]
    points = [_read(item, f"/checkpoints/{n}", _checkpoint)
              for n, item in enumerate(_list(rest, "checkpoints"))]  # fmt: skip
    surfaces = [_read(item, f"/controlSurfaces/{n}", _surface)
                for n, item in enumerate(_list(rest, "controlSurfaces"))]  # fmt: skip
    metadata = as_object(from_rich(rest.pop("metadata", {}), Metadata))
    if metadata is None:
        raise DocumentInvalid("an object is needed", location="/metadata")
    if "tags" in rest:
        metadata = {**metadata, "tags": rest.pop("tags")}
    policies = from_rich(rest.pop("policies", {}), Policies)
    if "description" in rest:
        rest["summary"] = rest.pop("description")
    return {
        **from_rich(rest, FlowIR), "nodes": nodes, "edges": edges, "checkpoints": points,
        "control_surfaces": surfaces, "metadata": metadata, "policies": policies,
    }  # fmt: skip


def _list(document: Json, key: str) -> list[Any]:
    found = as_array(document.pop(key, []))
    if found is None:
        raise DocumentInvalid("an array is needed", location=f"/{key}")
    return found


def _read(item: Any, location: str, read: Callable[[Json], Json]) -> Json:
    found = as_object(item)
    if found is None:
        raise DocumentInvalid("an object is needed", location=location)
    try:
        return read(dict(found))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DocumentInvalid(f"{error} is missing or has the wrong type", location=location
                              ) from None  # fmt: skip


def _node(node: Json) -> Json:
    alias: str = node["id"]
    module: str | None = (as_object(node.get("origin")) or {}).get("module")
    docs = node.pop("docs", None)
    state = node.pop("state", None)
    idem = node.pop("idem", None)
    read: Json = {
        "in_schema": _schema(node.pop("in")), "out_schema": _schema(node.pop("out")),
        **from_rich(node, NodeIR),
        "id": alias, "alias": alias, "identifier": f"{module}::{alias}" if module else alias,
    }  # fmt: skip
    if docs is not None:
        read |= _docs(dict(docs))
    if state is not None:
        read["state"] = {"consistency": "none"} if state == "None" else from_rich(state, StateModel)
    if idem is not None:
        read["idempotency"] = _idempotency(dict(idem))
    return read


def _docs(docs: Json) -> Json:
    summary = docs.pop("summary", None)
    read: Json = {} if summary is None else {"summary": summary}
    return read | ({"docs": docs} if docs or summary is None else {})


def _schema(ref: Json) -> Json:
    return {"kind": "named", "name": ref["id"], "version": ref["version"]}


def _idempotency(idem: Json) -> Json:
    key, scope, ttl = idem.pop("key"), idem.pop("scope"), idem.pop("ttl", None)
    read: Json = from_rich({"keySpec": key}, Idempotency)
    read["key"] = ":".join(field["path"] for field in key["fields"])
    if scope != "None":
        read["scope"] = scope.lower()
    if ttl is not None:
        read |= {"ttl": ttl} | _whole("ttlMs", ttl)
    return read | idem


def _whole(key: str, text: str) -> Json:
    found = millis(text)
    return {} if found is None else {key: found}


def _edge(edge: Json) -> Json:
    buffer: Json = dict(edge.pop("buffer", {}))
    tier, dropping = buffer.pop("spillTier", None), buffer.pop("onOverflow", None)
    timeout, partition = edge.pop("timeout", None), edge.get("partition")
    read: Json = {
        "delivery": "at_least_once", "ordering": "ordered",
        **from_rich(edge, EdgeIR), "buffer": from_rich(buffer, Buffer),
    }  # fmt: skip
    if tier is not None:
        read["buffer"]["spill_tier"] = tier.lower()
    if dropping is not None:
        read["buffer"]["on_drop"] = _snake(dropping)
    if timeout is not None:
        read |= {"timeout": timeout} | _whole("timeout_ms", timeout)
    if partition is not None:
        read["partition_key"] = partition["expression"]
    return read


def _checkpoint(point: Json) -> Json:
    payload, kind, ttl = point.pop("payload", None), point.pop("kind", None), point.pop("ttl", None)
    read: Json = {"summary": point.pop("label"), **from_rich(point, CheckpointIR)}
    if payload is not None:
        read["payload"] = _schema(payload)
    if kind is not None:
        read["kind"] = kind.lower()
    if ttl is not None:
        read |= {"ttl": ttl} | _whole("ttl_ms", ttl)
    return read


def _surface(surface: Json) -> Json:
    surface["kind"] = surface.pop("type")
    return dict(from_rich(surface, SurfaceIR))


def _snake(word: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in word).lstrip("_")
