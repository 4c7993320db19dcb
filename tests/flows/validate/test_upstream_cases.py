"""The cases of the source project's validator, under their names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor_flows.ir.terms import Determinism, Effects
from conductor_flows.validate.diagnostic import Severity
from conductor_flows.validate.hints import HINTS, fallback, implied_by
from conductor_flows.validate.run import fails, validate
from flow_documents import (
    GONE,
    ITEM,
    LEFT,
    REPLY,
    TAKE,
    WORK,
    changed,
    codes,
    edge,
    node,
    said,
    surface,
)

SURFACES = "/control_surfaces"
OTHER = {"kind": "named", "name": "Other"}
HALTS = {"checkpointable": True, "replayable": True, "halts": True}
ONCE = {"/edges/4/delivery": "exactly_once"}
DEDUPED = {f"{REPLY}/effectHints": ["resource::dedupe::store"]}
SPILLING = {"/edges/0/buffer/spill_tier": "disk"}
BLOB = {f"{REPLY}/effectHints": ["resource::blob::write"]}


def only(kind: str, targets: list[str], **config: Any) -> dict[str, Any]:
    return {SURFACES: [surface(kind, targets, {"v": 1} | config)]}


def switch(targets: list[str] | None = None, **config: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "source": "work", "selector_pointer": "/mode", "cases": {"a": "left"}, "default": "right"
    }  # fmt: skip
    return only("switch", targets or ["work", "left", "right"], **found | config)


def if_(targets: list[str] | None = None, **config: Any) -> dict[str, Any]:
    found = {"source": "work", "selector_pointer": "/flag", "then": "left", "else": "right"}
    return only("if", targets or ["work", "left", "right"], **found | config)


def for_each(**config: Any) -> dict[str, Any]:
    found = {"source": "work", "items_pointer": "/items", "body_entry": "left"}
    return only("for_each", ["work", "left"], **found | config)


def window(**config: Any) -> dict[str, Any]:
    found = {"event_time_pointer": "/ts", "size_ms": 1000, "allowed_lateness_ms": 0,
             "watermark": "max(ts)"}  # fmt: skip
    return only("window", ["work", "left"], **found | config)


def twice(found: dict[str, Any]) -> dict[str, Any]:
    return {SURFACES: found[SURFACES] * 2}


def test_detect_cycles() -> None:
    assert [("DAG200", "/edges/5")] == said({"/edges/-": edge("left", "work")})


def test_detect_cycles_once_for_a_flow() -> None:
    changes = {
        "/edges": [
            edge("take", "work"),
            edge("work", "take"),
            edge("left", "reply"),
            edge("reply", "left"),
            edge("right", "right"),
            edge("work", "reply"),
        ]
    }
    assert 1 == codes(changes).count("DAG200")


def test_detect_type_mismatch() -> None:
    assert [("DAG201", "/edges/1")] == said({f"{LEFT}/in_schema": OTHER})


def test_planner_accepts_into_transform_with_incompatible_schemas() -> None:
    into = {"/edges/1/transform": {"kind": "into"}}
    assert [] == said({f"{LEFT}/in_schema": OTHER} | into)


@pytest.mark.parametrize("end", ["from", "to"])
def test_detect_unknown_aliases(end: str) -> None:
    assert ("DAG202", f"/edges/4/{end}") in said({f"/edges/4/{end}": "ghost"})


def test_multiple_triggers_rejected() -> None:
    changes = {"/nodes/-": node("again", "trigger"), "/edges/-": edge("again", "work")}
    assert [("DAG104", "/nodes/5/kind")] == said(changes)


def test_multiple_triggers_allowed_with_policy() -> None:
    changes = {"/nodes/-": node("again", "trigger"), "/edges/-": edge("again", "work"),
               "/policies/lint": {"allow_multiple_triggers": True}}  # fmt: skip
    assert [] == said(changes)


def test_idempotency_declaration_requires_key() -> None:
    for declared in ({"scope": "node"}, {"ttlMs": 1}, {"key": ""}):
        assert ["DAG004"] == codes({f"{WORK}/idempotency": declared})


def test_effectful_nodes_may_be_non_idempotent_by_default() -> None:
    assert [] == said({f"{REPLY}/idempotency": {}})


def test_detect_effect_conflicts() -> None:
    assert ["EFFECT201"] == codes({f"{WORK}/effectHints": ["resource::db::write"]})


def test_validator_flags_effect_conflict_from_registry_hint() -> None:
    hints = HINTS.with_effect("resource::mail::send", Effects.EFFECTFUL)
    flow = changed({f"{WORK}/effectHints": ["resource::mail::send"]})

    assert ["EFFECT201"] == [each.code for each in validate(flow, hints=hints)]
    assert ["EFFECT202"] == [each.code for each in validate(flow)]


def test_fallback_hints_still_trigger_conflicts() -> None:
    assert ["EFFECT201"] == codes({f"{WORK}/effectHints": [fallback("http", writes=True)]})
    assert ["EFFECT202"] == codes({f"{WORK}/effectHints": [fallback("custom", writes=False)]})


def test_detect_determinism_conflicts() -> None:
    assert ["DET302"] == codes({f"{WORK}/determinismHints": ["resource::clock"]})


def test_detect_determinism_conflicts_from_registry_hint() -> None:
    for hint in implied_by("kv_get", "WorkersKv").determinism:
        assert ["DET302"] == codes({f"{WORK}/determinismHints": [hint]})


def test_respect_registered_custom_conflicts() -> None:
    hints = HINTS.with_determinism("resource::dice", Determinism.NONDETERMINISTIC)
    for level, expected in (("best_effort", ["DET302"]), ("nondeterministic", [])):
        flow = changed({f"{REPLY}/determinism": level,
                        f"{REPLY}/determinismHints": ["resource::dice::throw"]})  # fmt: skip
        assert expected == [each.code for each in validate(flow, hints=hints)]


def test_nodes_without_resources_remain_hint_free() -> None:
    implied = implied_by("custom", "CustomCapability")
    assert ((), ()) == (implied.effects, implied.determinism)
    assert [] == said({f"{WORK}/effectHints": [], f"{WORK}/determinismHints": []})


def test_validator_accepts_effectful_node_with_registry_hint() -> None:
    assert [] == said({f"{REPLY}/effectHints": ["resource::http::write"]})


EFFECT_HINTS = sorted(HINTS.effects)
DETERMINISM_HINTS = sorted(HINTS.determinism)


@settings(max_examples=64, deadline=None, derandomize=True)
@given(
    effects=st.lists(st.sampled_from(EFFECT_HINTS), max_size=3),
    determinism=st.lists(st.sampled_from(DETERMINISM_HINTS), max_size=3),
    declared=st.sampled_from(list(Effects)),
    level=st.sampled_from(list(Determinism)),
    below=st.booleans(),
)
def test_fuzz_registry_hint_enforcement(
    effects: list[str], determinism: list[str], declared: Effects, level: Determinism, below: bool
) -> None:
    needed = max((HINTS.effects[hint].rank for hint in effects), default=0)
    free = max((HINTS.determinism[hint].rank for hint in determinism), default=0)
    if below:  # what is declared is brought right under what is needed
        declared = list(Effects)[max(0, needed - 1)]
        level = list(Determinism)[max(0, free - 1)]
    found = codes(
        {
            f"{WORK}/effects": declared,
            f"{WORK}/determinism": level,
            f"{WORK}/effectHints": effects,
            f"{WORK}/determinismHints": determinism,
        }
    )
    assert (declared.rank < needed) == ("EFFECT201" in found)
    assert (level.rank < free) == ("DET302" in found)


def test_lint_warns_when_node_metadata_missing() -> None:
    (found,) = validate(changed({f"{WORK}/summary": GONE}))

    assert ("DAG350", Severity.WARN) == (found.code, found.severity)
    assert (False, True) == (fails([found]), fails([found], strict=True))


def test_exactly_once_requires_dedupe_binding() -> None:
    assert ["EXACT001"] == codes(ONCE)


def test_exactly_once_requires_idempotency_key() -> None:
    assert ["EXACT002"] == codes(
        ONCE | DEDUPED | {f"{REPLY}/idempotency/key": GONE, f"{REPLY}/idempotency/scope": GONE}
    )[1:]


def test_exactly_once_requires_ttl() -> None:
    assert ["EXACT003"] == codes(ONCE | DEDUPED | {f"{REPLY}/idempotency/ttlMs": GONE})


def test_exactly_once_requires_minimum_ttl() -> None:
    assert ["EXACT003"] == codes(ONCE | DEDUPED | {f"{REPLY}/idempotency/ttlMs": 299_999})


def test_exactly_once_succeeds() -> None:
    assert [] == said(ONCE | DEDUPED)


def test_exactly_once_without_anything_says_all_three() -> None:
    bare = {f"{REPLY}/idempotency": {}}
    assert ["EXACT001", "EXACT002", "EXACT003"] == codes(ONCE | bare)


def test_exactly_once_on_a_non_effectful_target() -> None:
    pure = {f"{REPLY}/effects": "pure"}
    assert ["EFFECT201"] == codes(ONCE | DEDUPED | pure)
    assert ["EXACT001"] == codes(ONCE | pure | {f"{REPLY}/effectHints": []})


def test_edge_timeout_must_be_positive() -> None:
    assert ["CTRL101"] == codes({"/edges/0/timeout_ms": 0})
    assert [] == said({"/edges/0/timeout_ms": 250})


def test_edge_buffer_must_be_positive() -> None:
    assert ["CTRL102"] == codes({"/edges/0/buffer/max_items": 0})
    assert [] == said({"/edges/0/buffer/max_items": 1})


def test_spill_requires_max_items_bound() -> None:
    assert ["SPILL001"] == codes(SPILLING | BLOB | {"/edges/0/buffer/max_items": GONE})


def test_spill_requires_blob_hint() -> None:
    more = {"/edges/1/buffer/spill_tier": "disk"}
    assert [("SPILL002", "/edges/0/buffer/spill_tier")] == said(SPILLING | more)


def test_spill_passes_when_blob_hint_declared() -> None:
    assert [] == said(SPILLING | BLOB)


def test_strong_durability_rejects_incompatible_nodes() -> None:
    changes = {"/policies/durability/mode": "strong", f"{WORK}/durability":
               {"checkpointable": False, "replayable": True, "halts": False}}  # fmt: skip
    assert [("DAG-CKPT-001", f"{WORK}/durability")] == said(changes)


def test_halt_nodes_require_durability_enabled() -> None:
    halting = {f"{WORK}/durability": HALTS}
    assert ["DAG-CKPT-002"] == codes(halting | {"/policies/durability/mode": "off"})
    assert [] == said(halting)


def test_partial_durability_requires_idempotency_on_resume_path() -> None:
    bare = {f"{REPLY}/idempotency": {}}
    assert [] == said(bare)
    assert [("DAG-CKPT-004", REPLY)] == said(bare | {f"{WORK}/durability": HALTS})
    before = bare | {
        f"{REPLY}/durability": HALTS,
        f"{WORK}/effects": "effectful",
        f"{WORK}/determinism": "best_effort",
    }
    assert [("DAG-CKPT-004", REPLY)] == said(before)


def test_strong_durability_requires_idempotency_on_effectful_nodes() -> None:
    changes = {f"{REPLY}/idempotency": {}, "/policies/durability/mode": "strong"}
    assert [("DAG-CKPT-004", REPLY)] == said(changes)


@pytest.mark.parametrize(
    "changes",
    [
        {SURFACES: [surface("switch", ["work"], [1])]},
        switch(v=2),
        switch(cases=["left"]),
        switch(cases={"a": 1}),
        switch(["work", "left"]),
    ],
    ids=["config_object", "v1", "cases_object", "string_targets", "targets_include_all"],
)
def test_switch_configuration(changes: dict[str, Any]) -> None:
    assert ["CTRL110"] == codes(changes)


def test_switch_requires_edges() -> None:
    assert ["CTRL111"] == codes(switch(["work", "reply", "right"], cases={"a": "reply"}))
    assert ["CTRL111"] == codes(switch(["work", "left", "reply"], default="reply"))


def test_switch_rejects_duplicate_source() -> None:
    assert ["CTRL112"] == codes(twice(switch()))
    assert [] == said(switch())


@pytest.mark.parametrize("changes", [{SURFACES: [surface("if", ["work"], "x")]}, if_(v=True)],
                         ids=["config_object", "v1"])  # fmt: skip
def test_if_configuration(changes: dict[str, Any]) -> None:
    assert ["CTRL120"] == codes(changes)


def test_if_requires_edges() -> None:
    assert ["CTRL121"] == codes(if_(["work", "reply", "right"], then="reply"))


def test_if_rejects_duplicate_source() -> None:
    assert ["CTRL122"] == codes(twice(if_()))
    assert [] == said(if_())


def test_if_and_switch_on_one_source() -> None:
    both = {SURFACES: [*if_()[SURFACES], *switch()[SURFACES]]}
    assert [("DAG207", f"{SURFACES}/1")] == said(both)


def test_for_each_requires_edge() -> None:
    assert ["CTRL132"] == codes(for_each(body_entry="reply"))
    assert [] == said(for_each())


def test_for_each_rejects_bad_pointer() -> None:
    assert ["CTRL130"] == codes(for_each(items_pointer="items"))


def test_partition_requires_edge() -> None:
    ends = {"from": "work", "to": "reply"}
    assert ["CTRL132"] == codes(only("partition", ["work"], edge=ends, key="id"))
    ends = {"from": "work", "to": "left"}
    assert [] == said(only("partition", ["work", "left"], edge=ends, key="id"))


def test_rate_limit_rejects_zero() -> None:
    assert ["CTRL130"] == codes(only("rate_limit", ["work"], target="work", qps=0, burst=1))


def test_rate_limit_rejects_unknown_alias() -> None:
    assert ["CTRL131"] == codes(only("rate_limit", ["ghost"], target="ghost", qps=1, burst=1))


def test_error_handler_rejects_unknown_strategy() -> None:
    scope = {"nodes": ["work"]}
    assert ["CTRL130"] == codes(only("error_handler", ["work"], scope=scope, strategy="hope"))
    assert [] == said(only("error_handler", ["work"], scope=scope, strategy="continue"))


def test_error_handler_rejects_bad_scope() -> None:
    assert ["CTRL130"] == codes(only("error_handler", [], scope={"nodes": []}, strategy="fail"))


def test_window_rejects_zero_size() -> None:
    assert ["CTRL130"] == codes(window(size_ms=0))
    assert [] == said(window())


def test_loop_and_timeout_surfaces() -> None:
    loop: dict[str, Any] = {"source": "work", "body_entry": "left", "condition_pointer": "/more",
                            "max_iterations": 3}  # fmt: skip
    assert [] == said(only("loop", ["work", "left"], **loop))
    assert ["CTRL130"] == codes(only("loop", ["work", "left"], **loop | {"max_iterations": 0}))
    timeout: dict[str, Any] = {"scope": {"nodes": ["work"]}, "duration_ms": 5,
                               "behaviour": "retry"}  # fmt: skip
    assert [] == said(only("timeout", ["work"], **timeout))
    assert ["CTRL130"] == codes(only("timeout", ["work"], **timeout | {"behaviour": "pray"}))


def test_dag103_route_clash() -> None:
    again = {"trigger_alias": "take", "capture_alias": "reply", "route_path": "/run"}
    assert ["DAG103"] == codes({"/metadata/entrypoints/-": again})


def test_a_trigger_reads_and_is_strict_without_a_cache() -> None:
    assert [] == said({f"{TAKE}/effects": "read_only", f"{TAKE}/in_schema": ITEM})
