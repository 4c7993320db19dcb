"""The document that a flow written in Python becomes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from pydantic import BaseModel, Field

import conductor_flows
from conductor_flows import Flow, FlowInvalid, FlowRefused, approval, callback, node, timer, trigger
from conductor_flows.ir.model import Idempotency, NodeIR, Transform
from conductor_flows.ir.read import read_flow
from conductor_flows.ir.rich import RetryBackoff
from conductor_flows.ir.small import emit
from conductor_flows.ir.terms import Determinism, Effects, IdempotencyScope, NodeKind
from conductor_flows.validate.run import validate
from flow_orders import Reply, Request, answer, left, rest, right, route

DATA = Path(__file__).parents[2] / "data" / "flows"


def routed() -> tuple[Flow, Any]:
    flow = Flow("scene", "1.0.0", summary="A flow")
    nodes = [flow.add(each) for each in (route, left, right, rest)]
    for each in nodes[1:]:
        flow.connect(nodes[0], each)
    return flow, nodes


def pair() -> tuple[Flow, Any, Any]:
    flow = Flow("scene", "1.0.0", summary="A flow")
    start, end = flow.add(route), flow.add(left)
    flow.connect(start, end)
    return flow, start, end


def only_node(flow: Flow) -> NodeIR:
    return flow.ir().nodes[-1]


def test_flow_builder_constructs_serializable_ir() -> None:
    flow, *_ = pair()
    assert flow.ir() == read_flow(emit(flow.ir()))
    assert "s1_echo_flow d8e3f885-5aa5-50eb-8190-8a36f30ad70e" == (
        f"s1_echo_flow {Flow('s1_echo_flow', '1.0.0').ir().id}"
    )
    assert f"{flow.id}::route" == flow.ir().nodes[0].id


def test_what_is_emitted_is_valid_against_the_small_schema() -> None:
    flow, (start, yes, no, other) = routed()
    flow.if_(start, "/flag", then=yes, otherwise=no)
    flow.timeout(start, other, ms=250)
    flow.spill(start, other, tier="local", threshold_bytes=512)
    flow.buffer(start, other, max_items=1)
    flow.partition(start, yes, key="mode")
    flow.entrypoint(start, other, path="/scene")
    schema = json.loads((DATA / "flow_ir.schema.json").read_text())
    jsonschema.validate(json.loads(emit(flow.ir())), schema)


def test_workflow_switch() -> None:
    flow, (start, a, b, other) = routed()
    assert "switch:route:0" == flow.switch(start, "/mode", {"a": a, "b": b}, other)
    surface = flow.ir().control_surfaces[0]
    assert ["route", "left", "right", "rest"] == surface.targets
    assert {
        "v": 1, "source": "route", "selector_pointer": "/mode",
        "cases": {"a": "left", "b": "right"}, "default": "rest",
    } == surface.config  # fmt: skip


def test_workflow_if() -> None:
    flow, (start, yes, no, _) = routed()
    assert "if:route:0" == flow.if_(start, "/flag", then=yes, otherwise=no)
    assert {
        "v": 1, "source": "route", "selector_pointer": "/flag", "then": "left", "else": "right",
    } == flow.ir().control_surfaces[0].config  # fmt: skip


def test_ids_of_surfaces_count_by_kind() -> None:
    flow, (start, yes, no, other) = routed()
    flow.if_(start, "/flag", then=yes, otherwise=no)
    ids = [flow.rate_limit(each, qps=1, burst=1) for each in (yes, no)]
    assert ["rate_limit:left:0", "rate_limit:right:1"] == ids
    assert "error_handler:rest:0" == flow.on_error([other], "continue")


def test_timeout_sets_the_edge() -> None:
    flow, *ends = pair()
    flow.timeout(*ends, ms=250)
    assert 250 == flow.ir().edges[0].timeout_ms


def test_delivery_sets_the_edge() -> None:
    flow, *ends = pair()
    flow.delivery(*ends, "exactly_once")
    assert "exactly_once" == flow.ir().edges[0].delivery


def test_buffer_and_spill_set_the_edge() -> None:
    flow, *ends = pair()
    flow.spill(*ends, tier="local", threshold_bytes=65536)
    flow.buffer(*ends, max_items=10, on_full="drop_oldest")
    buffer = flow.ir().edges[0].buffer
    assert (10, "drop_oldest") == (buffer.max_items, buffer.on_drop)
    assert ("local", 65536) == (buffer.spill_tier, buffer.spill_threshold_bytes)


def test_connect_notes_a_conversion() -> None:
    flow, start, _ = pair()
    flow.connect(start, flow.add(answer), into=True)
    assert [None, Transform("into")] == [edge.transform for edge in flow.ir().edges]


def test_delivery_without_prerequisites() -> None:
    flow, *ends = pair()
    flow.delivery(*ends, "exactly_once")
    with pytest.raises(FlowInvalid) as invalid:
        flow.program()
    codes = [each.code for each in invalid.value.diagnostics]
    assert ["EXACT001", "EXACT002", "EXACT003"] == codes


def test_spill_without_buffer() -> None:
    flow, *ends = pair()
    flow.spill(*ends, tier="local")
    assert "SPILL001" in [each.code for each in validate(flow.ir())]


def test_names_are_derived() -> None:
    @node(summary="A name")
    async def normalize_input(request: Request) -> Reply:
        return Reply(text=request.mode)

    flow = Flow("scene", "1.0.0")
    flow.add(normalize_input)
    found = only_node(flow)
    assert ("normalize_input", "NormalizeInput") == (found.alias, found.name)
    assert found.identifier.endswith("::test_names_are_derived::normalize_input")


def test_the_shorthands_of_triggers_and_nodes() -> None:
    flow, *_ = pair()
    first, second = flow.ir().nodes
    assert (NodeKind.TRIGGER, Effects.READ_ONLY, Determinism.STRICT) == (
        first.kind, first.effects, first.determinism,
    )  # fmt: skip
    assert (NodeKind.INLINE, Effects.PURE, Determinism.BEST_EFFORT) == (
        second.kind, second.effects, second.determinism,
    )  # fmt: skip


INFERRED = [
    ("http_sender", "HttpWrite", ["resource::http::write"], ["resource::http"], "effectful"),
    ("http_reader", "HttpRead", ["resource::http::read"], ["resource::http"], "read_only"),
    ("clock", "SystemClock", [], ["resource::clock"], "pure"),
    ("db_read_pool", "PostgresRead", ["resource::db::read"], ["resource::db"], "read_only"),
    ("custom", "CustomCapability", ["resource::custom::read"], [], "pure"),
]  # fmt: skip


@pytest.mark.parametrize(("alias", "kind", "effects", "freedom", "level"), INFERRED)
def test_hints_and_levels_follow_declared_resources(
    alias: str, kind: str, effects: list[str], freedom: list[str], level: str
) -> None:
    flow = Flow("scene", "1.0.0")
    flow.add(left, resources={alias: kind})
    found = only_node(flow)
    assert (effects, freedom, level) == (
        found.effect_hints, found.determinism_hints, found.effects,
    )  # fmt: skip


def test_used_hints_are_written_once_and_loosen_determinism() -> None:
    flow = Flow("scene", "1.0.0")
    flow.add(left, uses=["resource::kv::read", "resource::kv::read", "resource::clock"])
    found = only_node(flow)
    assert ["resource::kv::read"] == found.effect_hints
    assert ["resource::kv", "resource::clock"] == found.determinism_hints


def test_nodes_without_resources_remain_hint_free() -> None:
    flow, *_ = pair()
    assert ([], []) == (only_node(flow).effect_hints, only_node(flow).determinism_hints)


def test_options_of_a_node_reach_the_document_and_add_overrides_them() -> None:
    class Knobs(BaseModel):
        depth: int = 3

    retry = RetryBackoff(strategy="fixed", base="PT1S", max_attempts=4)

    @node(
        summary="Writes", effects="effectful", kind="activity", concurrency=2, timeout_ms=1500,
        retry=retry, retry_owner="orchestrator", params=Knobs(), labels=["slow"],
        idempotency=Idempotency(key="id", scope=IdempotencyScope.NODE, ttl_ms=300_000),
        replayable=False,
    )  # fmt: skip
    async def write(request: Request) -> Reply:
        return Reply(text=request.mode)

    flow = Flow("scene", "1.0.0")
    flow.add(write, "second", concurrency=5, idempotency="other", summary=None)
    found = only_node(flow)
    assert (5, "PT1.5S", retry) == (
        found.schedule and found.schedule.concurrency,
        found.schedule and found.schedule.timeout,
        found.schedule and found.schedule.retry_backoff,
    )
    assert Idempotency(key="other", scope=IdempotencyScope.NODE, ttl_ms=300_000) == (
        found.idempotency
    )
    assert ({"depth": 3}, ["slow"], None) == (found.params, found.labels, found.summary)
    assert (True, False) == (found.durability.checkpointable, found.durability.replayable)
    assert (Effects.EFFECTFUL, NodeKind.ACTIVITY) == (found.effects, found.kind)


def test_data_classes_of_ports_are_in_the_document() -> None:
    class Person(BaseModel):
        email: str = Field(json_schema_extra={"x-data-class": "pii.email"})

    @trigger(summary="Take a person")
    async def meet(person: Person) -> Person:
        return person

    flow = Flow("scene", "1.0.0")
    flow.add(meet)
    assert {"/email": "pii.email"} == only_node(flow).in_data_classes


def test_two_functions_of_one_name_are_told_apart() -> None:
    def made(text: str) -> Any:
        @node(summary="Made in a function")
        async def work(request: Request) -> Reply:
            return Reply(text=text)

        return work

    one, other = made("one"), made("other")
    flow = Flow("scene", "1.0.0")
    flow.add(one, "a"), flow.add(other, "b"), flow.add(one, "c")
    first, second, third = (each.identifier for each in flow.ir().nodes)
    assert (True, False) == (first == third, first == second)
    assert {first: one.handler, second: other.handler} == {
        each.ir.identifier: each.handler for each in flow._draft.nodes.values()
    }


def test_entrypoints_are_metadata_of_their_own() -> None:
    flow, start, end = pair()
    flow.entrypoint(start, end, path="/echo", method="POST", deadline_ms=250, aliases=["/e"])
    found = flow.ir().metadata.entrypoints[0]
    assert ("route", "left", "/echo", "POST", 250, ["/e"]) == (
        found.trigger_alias, found.capture_alias, found.route_path, found.method,
        found.deadline_ms, found.route_aliases,
    )  # fmt: skip


def test_halt_nodes_say_that_they_halt() -> None:
    flow = Flow("scene", "1.0.0", durability="strong")
    flow.add(timer("pause", Request, after_s=1.0, summary="Wait"))
    flow.add(callback("asked", Request, Reply))
    flow.add(approval("decided", Request))
    assert [True, True, True] == [each.durability.halts for each in flow.ir().nodes]
    assert ["std::timer::wait::pause", "Decision"] == [
        flow.ir().nodes[0].identifier, msgspec.to_builtins(flow.ir().nodes[2].out_schema)["name"],
    ]  # fmt: skip


def test_a_subflow_amounts_to_what_is_in_it() -> None:
    inner = Flow("inner", "1.0.0", summary="Inside")
    start = inner.add(route)
    end = inner.add(left, uses=["resource::kv::write"], replayable=False)
    inner.connect(start, end)
    flow, *_ = pair()
    flow.subflow(inner, summary="Within")
    found = only_node(flow)
    assert (NodeKind.SUBFLOW, "inner", f"subflow::{inner.id}::route") == (
        found.kind, found.alias, found.identifier,
    )  # fmt: skip
    assert (Effects.EFFECTFUL, Determinism.BEST_EFFORT) == (found.effects, found.determinism)
    assert ["resource::kv::write"] == found.effect_hints
    assert (True, False) == (found.durability.checkpointable, found.durability.replayable)
    assert inner.ir() == found.subflow_ir


def test_a_subflow_may_not_wait_nor_hold_the_flow_around_it() -> None:
    waiting = Flow("waiting", "1.0.0")
    start = waiting.add(route)
    waiting.connect(start, waiting.add(timer("pause", Request, after_s=1.0)))
    flow, *_ = pair()
    with pytest.raises(FlowRefused, match="waits at pause"):
        flow.subflow(waiting)
    around = Flow("around", "1.0.0")
    first = around.add(route)
    around.connect(first, around.subflow(flow))
    with pytest.raises(FlowRefused) as refused:
        flow.subflow(around)
    assert "DAG200" == refused.value.code


def test_a_flow_that_breaks_rules_makes_no_program() -> None:
    flow = Flow("scene", "1.0.0")
    flow.add(left), flow.add(route), flow.add(route, "again")
    with pytest.raises(FlowInvalid, match="DAG104"):
        flow.program()


def test_warnings_do_not_stop_a_program() -> None:
    @trigger()
    async def silent(request: Request) -> Request:
        return request

    flow = Flow("scene", "1.0.0")
    flow.connect(flow.add(silent), flow.add(left))
    found = validate(flow.ir())
    assert ["DAG350"] == [each.code for each in found]
    assert "silent" in found[0].message
    assert "scene" == flow.program().flow.name


def test_everything_that_an_author_needs_is_one_import_away() -> None:
    for name in conductor_flows.__all__:
        assert name == getattr(getattr(conductor_flows, name), "__name__", name)
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = conductor_flows.nothing_like_it


def test_importing_the_package_loads_nothing_else() -> None:
    code = "import sys, conductor_flows; print([n for n in sys.modules if 'conductor_flows.' in n])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == ran.stdout.strip()
    code = "import sys, conductor_flows as f; f.Flow; f.node; print('pydantic' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "False" == ran.stdout.strip()
