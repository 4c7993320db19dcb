"""What the validator lets through, the executor can plan."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor_flows.execute.errors import SurfaceInvalid
from conductor_flows.execute.planning.compiling import Ends, compile_plan
from conductor_flows.ir.model import FlowIR
from conductor_flows.ir.read import from_json
from conductor_flows.validate.diagnostic import Severity
from conductor_flows.validate.run import validate
from flow_documents import edge, sound, surface

ALIASES = ("take", "work", "left", "right", "reply")
CONFIGS: dict[str, dict[str, Any]] = {
    "for_each": {"source": "work", "items_pointer": "", "body_entry": "left", "body_exit": "left",
                 "collect": "reply", "concurrency": 4},
    "loop": {"source": "work", "body_entry": "left", "body_exit": "left",
             "condition_pointer": "/more", "max_iterations": 1},
    "window": {"event_time_pointer": "/ts", "size_ms": 1, "allowed_lateness_ms": 0,
               "watermark": "m", "late": "right"},
    "partition": {"edge": {"from": "work", "to": "left"}, "key": "id"},
    "timeout": {"scope": {"nodes": ["work"]}, "duration_ms": 0.5, "behaviour": "cancel"},
    "rate_limit": {"target": "work", "qps": 0.1, "burst": 1},
    "error_handler": {"scope": {"nodes": ["work"]}, "strategy": "retry", "max_retries": 1,
                      "backoff_ms": 1},
    "merge": {"sources": ["left", "right"], "ordering": "ordered"},
    "join": {"sources": ["left", "right"], "key_pointer": "/id", "timeout_ms": 5},
    "zip": {"sources": ["left", "right"]},
    "if": {"source": "work", "selector_pointer": "/x", "then": "left", "else": "right"},
    "switch": {"source": "work", "selector_pointer": "/x", "cases": {"a": "left"},
               "default": "right"},
}  # fmt: skip
values = st.one_of(
    st.sampled_from([*ALIASES, "ghost", "", "/a", "a~", "retry", "dead_letter", "sideways"]),
    st.integers(-1, 3), st.floats(-1, 2, allow_nan=False), st.none(), st.booleans(),
    st.lists(st.sampled_from([*ALIASES, "ghost"]), max_size=3),
    st.dictionaries(st.sampled_from(["from", "to", "nodes", "a"]), st.sampled_from(ALIASES),
                    max_size=2),
)  # fmt: skip


def document(kind: str, targets: list[str], config: dict[str, Any], *, back: bool = False
             ) -> FlowIR:  # fmt: skip
    found = copy.deepcopy(sound())
    found["control_surfaces"] = [surface(kind, targets, {"v": 1} | config)]
    if back:
        found["edges"].append(edge("left", "work"))
    return from_json(found)


def planned(flow: FlowIR) -> bool:
    try:
        compile_plan(flow, Ends("take", "reply"))
    except SurfaceInvalid:
        return False
    return True


def is_valid(flow: FlowIR) -> bool:
    return all(each.severity in {Severity.WARN, Severity.INFO} for each in validate(flow))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(CONFIGS)), st.lists(st.sampled_from(ALIASES), max_size=4),
    st.data(), st.booleans(),
)  # fmt: skip
def test_a_surface_that_passes_the_validator_is_planned(
    kind: str, targets: list[str], data: st.DataObject, back: bool
) -> None:
    config = dict(CONFIGS[kind])
    for key in data.draw(st.lists(st.sampled_from(sorted(config)), max_size=2, unique=True)):
        if data.draw(st.booleans()):
            del config[key]
        else:
            config[key] = data.draw(values)
    flow = document(kind, targets, config, back=back)
    if is_valid(flow):
        assert planned(flow)


@pytest.mark.parametrize(("targets", "back", "expected"), [
    (["work", "left"], False, True),
    (["work", "left", "reply"], False, False),
    (["work", "left", "reply"], True, True),
    ([], False, True),
])  # fmt: skip
def test_the_end_of_a_loop_is_inferred_alike_or_not_at_all(
    targets: list[str], back: bool, expected: bool
) -> None:
    config = {key: value for key, value in CONFIGS["loop"].items() if key != "body_exit"}
    flow = document("loop", targets, config, back=back)
    assert (expected, expected) == (is_valid(flow), planned(flow))


def test_a_loop_whose_back_edge_is_in_the_document_has_no_second_one() -> None:
    config = {key: value for key, value in CONFIGS["loop"].items() if key != "body_exit"}
    flow = document("loop", ["work", "left"], config, back=True)
    plan = compile_plan(flow, Ends("take", "reply"))
    assert len(flow.edges) + 1 == len(plan.edges)
    loop = plan.nodes[plan.by_alias["left"]].loop
    assert loop is not None
    assert "left->work" == plan.edges[loop.back_edge].name


@pytest.mark.parametrize(("targets", "code"), [
    (["work", "left"], None), (["work"], "CTRL130"), ([], "CTRL130"),
    (["work", "reply"], "CTRL132"), (["work", "ghost"], "CTRL131"),
])  # fmt: skip
def test_the_edge_of_a_window_is_there(targets: list[str], code: str | None) -> None:
    config = {key: value for key, value in CONFIGS["window"].items() if key != "late"}
    flow = document("window", targets, config)
    assert [code] * (code is not None) == [each.code for each in validate(flow)]
    assert planned(flow) == (code is None)


def test_the_way_of_late_items_is_an_edge() -> None:
    flow = document("window", ["work", "left"], CONFIGS["window"] | {"late": "reply"})
    assert [("CTRL132", "/control_surfaces/0/config/late")] == [
        (each.code, each.location) for each in validate(flow)
    ]
