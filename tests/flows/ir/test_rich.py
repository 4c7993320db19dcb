"""The rich dialect, against the schema that the seed calls drafted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor_flows.ir.durations import duration, millis
from conductor_flows.ir.errors import NotExpressible
from conductor_flows.ir.model import FlowIR
from conductor_flows.ir.read import from_json, read_flow
from conductor_flows.ir.rich_writer import emit_rich
from conductor_flows.ir.schema import json_schema
from conductor_flows.ir.small import as_json, emit
from conductor_flows.ir.terms import Profile, RetryOwner

DATA = Path(__file__).parents[2] / "data" / "flows"
RICH = json.loads((DATA / "flow_ir.rich.schema.json").read_text())
ETL = json.loads((DATA / "etl_logs.rich.json").read_text())
DEFAULTS: dict[str, Any] = {"docs": {}, "policies": {}}


def paths_of(schema: dict[str, Any]) -> set[str]:
    """Every property of every object of the schema, as Object.property."""
    found: set[str] = set()

    def walk(name: str, part: Any) -> None:
        if isinstance(part, dict):
            for key, inner in part.get("properties", {}).items():
                found.add(f"{name}.{key}")
                walk(f"{name}.{key}", inner)
            for choice in part.get("oneOf", []):
                walk(name, choice)
            walk(name, part.get("items"))

    walk("Flow", {key: value for key, value in schema.items() if key != "$defs"})
    for name, part in schema["$defs"].items():
        walk(name, part)
    return found


def used_by(document: Any, schema: dict[str, Any]) -> set[str]:
    """Those of them that a document holds."""
    found: set[str] = set()

    def walk(value: Any, name: str, part: Any) -> None:
        if not isinstance(part, dict):
            return
        if "$ref" in part:
            name = part["$ref"].rsplit("/", 1)[1]
            walk(value, name, schema["$defs"][name])
            return
        for choice in part.get("oneOf", []):
            walk(value, name, choice)
        if isinstance(value, dict):
            for key, inner in value.items():
                if key in part.get("properties", {}):
                    found.add(f"{name}.{key}")
                    walk(inner, f"{name}.{key}", part["properties"][key])
        if isinstance(value, list):
            for inner in value:
                walk(inner, name, part.get("items"))

    walk(document, "Flow", schema)
    return found


def test_the_sample_holds_every_field_of_the_schema() -> None:
    jsonschema.Draft202012Validator(RICH).validate(ETL)
    assert set() == paths_of(RICH) - used_by(ETL, RICH)


def test_every_rich_field_survives_a_round_trip() -> None:
    flow = from_json(ETL)
    assert ETL == emit_rich(flow)
    assert ETL == emit_rich(read_flow(emit(flow)))


def test_both_schema_dialects_load_to_one_model() -> None:
    flow = from_json(ETL)
    assert isinstance(flow, FlowIR)
    assert Profile.QUEUE == flow.profile
    assert flow == read_flow(emit(flow))
    jsonschema.Draft202012Validator(json_schema()).validate(as_json(flow))
    window, write = flow.nodes[2], flow.nodes[3]
    assert RetryOwner.ORCHESTRATOR == write.retry_owner
    assert "customer_id:window.start:window.end" == write.idempotency.key
    assert 86_400_000 == write.idempotency.ttl_ms
    assert {"kind": "tumbling", "size": "PT5M", "maxLateness": {"asIs": True}} == window.params
    assert ("disk", "dead_letter") == (
        flow.edges[1].buffer.spill_tier,
        flow.edges[1].buffer.on_drop,
    )
    assert ("customer_id", 300_000) == (flow.edges[2].partition_key, flow.edges[2].timeout_ms)


def test_a_flow_without_words_in_the_rich_dialect_says_so() -> None:
    document = {"id": "x", "name": "n", "version": "1.0.0", "profile": "dev",
                "policies": {"durability": {"mode": "strong"}}}  # fmt: skip
    with pytest.raises(NotExpressible):
        emit_rich(from_json(document))


def random_choices() -> st.SearchStrategy[dict[str, Any]]:
    """The sample with any of its optional fields left out."""
    required = {"Flow": set(RICH["required"])} | {
        name: set(part.get("required", ())) for name, part in RICH["$defs"].items()
    }

    @st.composite
    def thinned(draw: st.DrawFn) -> dict[str, Any]:
        def thin(value: Any, name: str, part: Any) -> Any:
            if "$ref" in part:
                name = part["$ref"].rsplit("/", 1)[1]
                return thin(value, name, RICH["$defs"][name])
            if isinstance(value, dict) and "properties" in part:
                needs = required.get(name, set(part.get("required", ())))
                return {key: thin(inner, f"{name}.{key}", part["properties"][key])
                        for key, inner in value.items()
                        if key in needs or draw(st.booleans())}  # fmt: skip
            if isinstance(value, list) and "items" in part:
                return [thin(inner, name, part["items"]) for inner in value]
            return value

        return dict(thin(ETL, "Flow", RICH))

    return thinned()


def with_defaults(document: dict[str, Any]) -> dict[str, Any]:
    """Say what the dialect's defaults say, and leave out what says nothing."""
    edges = [{"ordering": "Ordered", "delivery": "AtLeastOnce"} | edge
             for edge in document["edges"]]  # fmt: skip
    lean = {key: value for key, value in document.items() if value not in ({}, [])}
    for edge in edges:
        if edge.get("buffer") == {}:
            del edge["buffer"]
    if "policies" in lean and lean["policies"].get("lint") == {}:
        lean["policies"] = {k: v for k, v in lean["policies"].items() if k != "lint"}
        if not lean["policies"]:
            del lean["policies"]
    return lean | {"edges": edges}


@given(random_choices())
def test_any_part_of_the_sample_survives_a_round_trip(document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(RICH).validate(document)
    assert with_defaults(document) == emit_rich(from_json(document))


@given(st.integers(min_value=0, max_value=10**12))
def test_durations_come_back_from_their_text(milliseconds: int) -> None:
    assert milliseconds == millis(duration(milliseconds))


@pytest.mark.parametrize(("text", "expected"), [
    ("PT5M", 300_000), ("P1W", 604_800_000), ("PT1,5S", 1500), ("P1DT2H3M4.5S", 93_784_500),
    ("P1M", None), ("PT0.0001S", None), ("P", None), ("PT", None), ("5m", None),
])  # fmt: skip
def test_durations_are_read_exactly_or_not_at_all(text: str, expected: int | None) -> None:
    assert expected == millis(text)
