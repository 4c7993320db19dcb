"""The small dialect, against the schema of the source project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from conductor_flows.ir.errors import DocumentInvalid
from conductor_flows.ir.identity import NAMESPACE, flow_id, node_id
from conductor_flows.ir.model import (
    Buffer,
    EdgeIR,
    Entrypoint,
    FlowIR,
    Metadata,
    Named,
    NodeIR,
    Opaque,
    SurfaceIR,
    Transform,
)
from conductor_flows.ir.read import from_json, read_flow
from conductor_flows.ir.schema import json_schema
from conductor_flows.ir.small import as_json, emit
from conductor_flows.ir.terms import (
    Delivery,
    Determinism,
    Effects,
    NodeKind,
    Ordering,
    Profile,
    SurfaceKind,
)

DATA = Path(__file__).parents[2] / "data" / "flows"
SMALL = json.loads((DATA / "flow_ir.schema.json").read_text())


def node(alias: str, kind: NodeKind = NodeKind.INLINE, **more: Any) -> NodeIR:
    fields: dict[str, Any] = {
        "id": node_id("f", alias), "alias": alias, "identifier": f"m::{alias}", "name": alias,
        "kind": kind, "in_schema": Opaque(), "out_schema": Named(name="Text"),
        "effects": Effects.PURE, "determinism": Determinism.STRICT,
    }  # fmt: skip
    return NodeIR(**fields | more)


def edge(source: str, to: str, **more: Any) -> EdgeIR:
    fields: dict[str, Any] = {
        "source": source, "to": to, "delivery": Delivery.AT_LEAST_ONCE,
        "ordering": Ordering.ORDERED, "buffer": Buffer(max_items=8),
    }  # fmt: skip
    return EdgeIR(**fields | more)


def a_flow() -> FlowIR:
    return FlowIR(
        id=flow_id("s1_echo_flow", "1.0.0"), name="s1_echo_flow", version="1.0.0",
        profile=Profile.WEB, nodes=[node("trigger", NodeKind.TRIGGER), node("responder")],
        edges=[edge("trigger", "responder", transform=Transform(kind="into"))],
        control_surfaces=[
            SurfaceIR(id="if:trigger:0", kind=SurfaceKind.IF, targets=["trigger", "responder"],
                      config={"v": 1})
        ],
        metadata=Metadata(
            entrypoints=[Entrypoint(trigger_alias="trigger", capture_alias="responder")]
        ),
    )  # fmt: skip


def test_flow_builder_constructs_serializable_ir() -> None:
    flow = a_flow()
    assert flow == read_flow(emit(flow))
    assert "d8e3f885-5aa5-50eb-8190-8a36f30ad70e" == flow.id


def test_a_flow_without_rich_fields_fits_the_small_schema() -> None:
    jsonschema.validate(as_json(a_flow()), SMALL)


def test_test_edge_transform_roundtrips_when_into_transform_present() -> None:
    assert Transform(kind="into") == read_flow(emit(a_flow())).edges[0].transform


def test_the_same_flow_gives_the_same_bytes() -> None:
    assert emit(a_flow()) == emit(read_flow(emit(a_flow())))


@pytest.mark.parametrize(("name", "expected"), [
    ("s1_echo_flow", "d8e3f885-5aa5-50eb-8190-8a36f30ad70e"),
    ("s2_site_flow", "25c7b343-7bb9-5822-b686-4b13d3e3b396"),
    ("etl_logs", "90d302b1-51c5-50eb-b65e-bd5396a31f97"),
])  # fmt: skip
def test_uuid_vectors(name: str, expected: str) -> None:
    assert expected == flow_id(name, "1.0.0")
    assert "d12f43c7-6e26-553e-abf0-0440f80ee8d9" == str(NAMESPACE)


def test_a_document_of_the_least_content_is_read() -> None:
    document = {"id": "x", "name": "n", "version": "1.0.0", "profile": "dev", "summary": None}
    assert Profile.DEV == from_json(document).profile


def test_unknown_keys_are_ignored() -> None:
    document = as_json(a_flow()) | {"connectorOps": [1, 2]}
    assert a_flow() == from_json(document)


@pytest.mark.parametrize(("data", "location"), [
    (b"", ""),
    (b"[]", ""),
    (b"{}", ""),
    (b'{"profile": "web"', ""),
    (b'{"id":1,"name":"n","version":"1.0.0","profile":"dev"}', "/id"),
    (b'{"id":"i","name":"n","version":"1.0.0","profile":"dev","nodes":[{}]}', "/nodes/0"),
    (b'{"id":"i","name":"n","version":"1.0.0","profile":"Web","nodes":7}', "/nodes"),
    (b'{"id":"i","name":"n","version":"1.0.0","profile":"Web","nodes":[7]}', "/nodes/0"),
    (b'{"id":"i","name":"n","version":"1.0.0","profile":"Web","nodes":[{"id":"a"}]}', "/nodes/0"),
    (b"[" * 100_000, ""),
    (b'{"a":' * 1000 + b"1" + b"}" * 1000, ""),
    (b"\xff\xfe", ""),
])  # fmt: skip
def test_what_is_no_document_is_refused_with_its_place(data: bytes, location: str) -> None:
    with pytest.raises(DocumentInvalid) as refused:
        read_flow(data)
    assert location == refused.value.location


def test_our_schema_is_a_valid_one_and_takes_what_we_emit() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(as_json(a_flow()))


def test_every_example_of_an_enum_of_the_small_schema_is_known_to_ours() -> None:
    known = msgspec.json.encode(json_schema()).decode()
    for name, part in SMALL["definitions"].items():
        for choice in part.get("oneOf", []):
            for word in choice.get("enum", []):
                assert f'"{word}"' in known, f"{name}: {word}"
