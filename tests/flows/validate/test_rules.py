"""Every code that the validator says, with a flow that is told so and one that is not."""

from __future__ import annotations

from typing import Any

import pytest

from conductor_flows.ir.small import as_json
from conductor_flows.validate.registry import CODES
from conductor_flows.validate.run import validate
from flow_documents import (
    GONE,
    ITEM,
    LEFT,
    REPLY,
    TAKE,
    WORK,
    at,
    changed,
    codes,
    edge,
    node,
    said,
    surface,
)

OPAQUE = {"kind": "opaque"}
OTHER = {"kind": "named", "name": "Other"}
KEY = {"encoding": "cbor_canonical", "hash": "blake3", "fields": [{"path": "id"}]}
CACHE = {"key": KEY, "tier": "memory"}
HALTS = {"checkpointable": True, "replayable": True, "halts": True}
UNKEYED = {f"{REPLY}/idempotency": {}}
SURFACES = "/control_surfaces"
CONFIG = f"{SURFACES}/0/config"
ENTRY = "/metadata/entrypoints"
SECOND_ENTRY = {"trigger_alias": "take", "capture_alias": "reply", "method": "POST"}
ONCE = {"/edges/4/delivery": "exactly_once"}
DEDUPED = {f"{REPLY}/effectHints": ["resource::dedupe::store"]}
TEMPORAL = {"/profile": "temporal", f"{TAKE}/effects": "read_only"}


def strong(**node_durability: bool) -> dict[str, Any]:
    whole = {"checkpointable": True, "replayable": True, "halts": False} | node_durability
    return {"/policies/durability/mode": "strong", f"{WORK}/durability": whole}


def switch(targets: list[str] | None = None, **config: Any) -> dict[str, Any]:
    found = {"v": 1, "source": "work", "selector_pointer": "/mode", "cases": {"a": "left"},
             "default": "right"} | config  # fmt: skip
    return surface("switch", targets or ["work", "left", "right"], found)


def if_(targets: list[str] | None = None, **config: Any) -> dict[str, Any]:
    found = {"v": 1, "source": "work", "selector_pointer": "/flag", "then": "left",
             "else": "right"} | config  # fmt: skip
    return surface("if", targets or ["work", "left", "right"], found)


def rate(**config: Any) -> dict[str, Any]:
    return surface("rate_limit", ["work"], {"v": 1, "target": "work", "qps": 5, "burst": 9}
                   | config)  # fmt: skip


def for_each(**config: Any) -> dict[str, Any]:
    found = {"v": 1, "source": "work", "items_pointer": "/items", "body_entry": "left"} | config
    return surface("for_each", ["work", "left"], found)


def only(*surfaces: dict[str, Any]) -> dict[str, Any]:
    return {SURFACES: list(surfaces)}


CASES: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("DAG004", {f"{WORK}/idempotency": {"scope": "node"}}, f"{WORK}/idempotency",
     {f"{WORK}/idempotency": {"scope": "node", "key": "id"}}),
    ("DAG005", {f"{WORK}/schedule": {"concurrency": 257}}, f"{WORK}/schedule/concurrency",
     {f"{WORK}/schedule": {"concurrency": 256}}),
    ("DAG006", {f"{WORK}/schedule": {"batch": {"mode": "fixed"}}}, f"{WORK}/schedule/batch",
     {f"{WORK}/schedule": {"batch": {"mode": "fixed", "size": 10}}}),
    ("DAG101", {"/edges/0/from": "left"}, TAKE, {}),
    ("DAG102", {"/profile": "queue", f"{ENTRY}/0/respond": "stream"}, f"{ENTRY}/0/respond",
     {f"{ENTRY}/0/respond": "stream"}),
    ("DAG103", {f"{ENTRY}/-": SECOND_ENTRY | {"route_path": "/run"}}, f"{ENTRY}/1/route_path",
     {f"{ENTRY}/-": SECOND_ENTRY | {"route_path": "/other"}}),
    ("DAG104", {"/nodes/-": node("again", "trigger"), "/edges/-": edge("again", "work")},
     "/nodes/5/kind",
     {"/nodes/-": node("again", "trigger"), "/edges/-": edge("again", "work"),
      "/policies/lint": {"require_control_hints": False, "allow_multiple_triggers": True}}),
    ("DAG200", {"/edges/-": edge("left", "work")}, "/edges/5",
     {"/edges/-": edge("left", "work", condition={"type": "loop"})}),
    ("DAG201", {f"{LEFT}/in_schema": OTHER}, "/edges/1",
     {f"{LEFT}/in_schema": OTHER, "/edges/1/transform": {"kind": "into"}}),
    ("DAG202", {"/edges/4/from": "ghost"}, "/edges/4/from", {}),
    ("DAG203", {f"{WORK}/capabilities": [{"name": "mail", "scopes": ["send"]}]},
     f"{WORK}/capabilities/0/scopes",
     {f"{WORK}/capabilities": [{"name": "mail", "scopes": ["send"]}],
      "/metadata/secrets": ["mail"]}),
    ("DAG204", {f"{ENTRY}/0/capture_alias": "alone", "/nodes/-": node("alone")},
     f"{ENTRY}/0/capture_alias", {f"{ENTRY}/0/capture_alias": "left"}),
    ("DAG205", {"/nodes/-": node("left")}, "/nodes/5/alias", {"/nodes/-": node("new")}),
    ("DAG207", only(if_(), switch()), f"{SURFACES}/1", only(if_())),
    ("DAG300", {"/checkpoints": [{"id": "c", "kind": "hitl", "node": "take"}]},
     "/checkpoints/0/node", {"/checkpoints": [{"id": "c", "kind": "hitl", "node": "work"}]}),
    ("DAG301", {"/checkpoints": [{"id": "c", "view": {"component": "Card"}}]},
     "/checkpoints/0/view",
     {"/checkpoints": [{"id": "c", "view": {"component": "Card"}, "payload": ITEM}]}),
    ("DAG320", {"/policies/rate_limit": {"qps": 0, "burst": 5}}, "/policies/rate_limit/qps",
     {"/policies/rate_limit": {"qps": 1, "burst": 5}}),
    ("DAG331", {"/policies/capability_guards": [], f"{WORK}/capabilities": [{"name": "mail"}]},
     f"{WORK}/capabilities/0/name",
     {"/policies/capability_guards": ["mail"], f"{WORK}/capabilities": [{"name": "mail"}]}),
    ("DAG350", {f"{WORK}/summary": " "}, WORK, {f"{WORK}/summary": "Works"}),
    ("TRIG001", {f"{ENTRY}/0/trigger_alias": "work"}, f"{ENTRY}/0/trigger_alias", {}),
    ("TYPE001", {f"{LEFT}/in_schema": OPAQUE, f"{LEFT}/out_schema": OPAQUE}, LEFT,
     {f"{LEFT}/in_schema": OPAQUE, f"{LEFT}/out_schema": OPAQUE,
      f"{LEFT}/effectHints": ["policy::json_boundary"]}),
    ("DAG-CKPT-001", strong(checkpointable=False), f"{WORK}/durability", strong()),
    ("DAG-CKPT-002", {"/policies/durability/mode": "off", f"{WORK}/durability": HALTS},
     f"{WORK}/durability", {f"{WORK}/durability": HALTS}),
    ("DAG-CKPT-004", {f"{WORK}/durability": HALTS} | UNKEYED, REPLY, UNKEYED),
    ("DAG-CKPT-005", strong(replayable=False), f"{WORK}/durability", strong()),
    ("EFFECT201", {f"{WORK}/effectHints": ["resource::http::write"]}, f"{WORK}/effectHints/0",
     {f"{WORK}/effectHints": ["resource::http::write"], f"{WORK}/effects": "effectful"}),
    ("EFFECT202", {f"{WORK}/effectHints": ["resource::kvx::read"]}, f"{WORK}/effectHints/0",
     {f"{WORK}/effectHints": ["policy::anything"]}),
    ("DET301", {f"{WORK}/capabilities": [{"name": "SystemClock"}]}, f"{WORK}/capabilities/0",
     {f"{WORK}/capabilities": [{"name": "SystemClock", "modes": ["pinned"]}]}),
    ("DET302", {f"{WORK}/determinismHints": ["resource::clock"]}, f"{WORK}/determinismHints/0",
     {f"{WORK}/determinismHints": ["resource::clockwork"]}),
    ("CTRL001", {"/policies/lint/require_control_hints": True}, WORK,
     {"/policies/lint/require_control_hints": True} | only(if_())),
    ("CTRL101", {"/edges/0/timeout_ms": 0}, "/edges/0/timeout_ms", {"/edges/0/timeout_ms": 1}),
    ("CTRL102", {"/edges/0/buffer/max_items": 0}, "/edges/0/buffer/max_items", {}),
    ("CTRL110", only(switch(cases={})), f"{CONFIG}/cases", only(switch())),
    ("CTRL111", only(switch(["work", "reply", "right"], cases={"a/b": "reply"})),
     f"{CONFIG}/cases/a~1b", only(switch(cases={"a/b": "left"}))),
    ("CTRL112", only(switch(), switch()), f"{SURFACES}/1/config/source", only(switch())),
    ("CTRL120", only(if_(selector_pointer="flag")), f"{CONFIG}/selector_pointer",
     only(if_(selector_pointer=""))),
    ("CTRL121", only(if_(["work", "reply", "right"], then="reply")), f"{CONFIG}/then",
     only(if_())),
    ("CTRL122", only(if_(), if_()), f"{SURFACES}/1/config/source", only(if_())),
    ("CTRL130", only(rate(qps=0)), f"{CONFIG}/qps", only(rate(qps=0.5))),
    ("CTRL131", only(rate(target="ghost")), f"{CONFIG}/target", only(rate())),
    ("CTRL132", only(for_each(body_entry="reply")), f"{CONFIG}/body_entry", only(for_each())),
    ("IDEM020", {"/profile": "queue"} | UNKEYED, REPLY,
     {"/profile": "queue", "/edges/3/partition_key": "id", "/edges/4/partition_key": "id"}
     | UNKEYED),
    ("IDEM025", {"/edges/0/partition": {"expression": "now", "determinism": "nondeterministic"}},
     "/edges/0/partition/determinism",
     {"/edges/0/partition": {"expression": "id", "determinism": "stable"}}),
    ("CACHE001", {f"{WORK}/kind": "activity"}, WORK,
     {f"{WORK}/kind": "activity", f"{WORK}/cache": CACHE}),
    ("CACHE002", {f"{WORK}/effects": "read_only", f"{WORK}/determinism": "stable"},
     f"{WORK}/determinism",
     {f"{WORK}/effects": "read_only", f"{WORK}/determinism": "stable",
      f"{WORK}/capabilities": [{"name": "blobs", "modes": ["by_hash"]}]}),
    ("RETRY010", {f"{WORK}/retry_owner": "connector",
                  f"{WORK}/schedule": {"retry_backoff": {"strategy": "fixed"}}},
     f"{WORK}/schedule/retry_backoff",
     {f"{WORK}/retry_owner": "connector",
      f"{WORK}/schedule": {"retry_backoff": {"strategy": "none"}}}),
    ("RETRY011", {f"{REPLY}/retry_owner": "orchestrator"}, f"{REPLY}/retry_owner",
     {f"{REPLY}/retry_owner": "orchestrator", f"{REPLY}/labels": ["waiver::retry_owner"]}),
    ("EXACT001", ONCE, "/edges/4/delivery", ONCE | DEDUPED),
    ("EXACT002", ONCE | UNKEYED, "/edges/4/delivery", ONCE),
    ("EXACT003", ONCE | {f"{REPLY}/idempotency/ttlMs": 299_999}, "/edges/4/delivery", ONCE),
    ("SPILL001", {"/edges/0/buffer": {"spill_tier": "disk"}}, "/edges/0/buffer/spill_tier",
     {"/edges/0/buffer": {"spill_tier": "disk", "max_items": 8}}),
    ("SPILL002", {"/edges/0/buffer/spill_tier": "disk"}, "/edges/0/buffer/spill_tier",
     {"/edges/0/buffer/spill_tier": "disk", f"{REPLY}/effectHints": ["resource::blob::write"]}),
    ("WFLOW010", TEMPORAL | {f"{WORK}/determinism": "stable"}, f"{WORK}/kind", TEMPORAL),
    ("DATA101", {"/metadata/tags": ["regulated"]}, f"{TAKE}/in_schema",
     {f"{REPLY}/in_data_classes": {"/email": "pii.email"}}),
    ("EGRESS101", {"/policies/egress": [], f"{REPLY}/determinismHints": ["resource::http"]}, REPLY,
     {"/policies/egress": ["acme.test"], f"{REPLY}/determinismHints": ["resource::http"]}),
    ("SECR201", {"/metadata/capabilities": [{"name": "mail", "scopes": ["admin"]}]},
     "/metadata/capabilities/0/scopes/0",
     {"/metadata/capabilities": [{"name": "mail", "scopes": ["admin"]}],
      f"{WORK}/capabilities": [{"name": "mail", "scopes": ["admin"]}]}),
    ("SAGA201", {f"{REPLY}/compensate": {"target": "undo"},
                 "/nodes/-": node("undo", in_schema=OTHER)}, f"{REPLY}/compensate/target",
     {f"{REPLY}/compensate": {"target": "undo"}, "/nodes/-": node("undo")}),
    ("SAGA205", {f"{REPLY}/compensate": {"target": "undo"}, "/nodes/-": node("undo")}, "/nodes/5",
     {f"{REPLY}/compensate": {"target": "undo"},
      "/nodes/-": node("undo", idempotency={"key": "id"})}),
    ("CAPV101", {"/metadata/capabilities": [{"name": "kv", "version": "2.0.0"}],
                 f"{WORK}/capabilities": [{"name": "kv", "max_version": "1.9.0"}]},
     f"{WORK}/capabilities/0",
     {"/metadata/capabilities": [{"name": "kv", "version": "1.10.0"}],
      f"{WORK}/capabilities": [{"name": "kv", "version": "1.9.0", "max_version": "2.0.0"}]}),
]  # fmt: skip
NAMES = [case[0] for case in CASES]


@pytest.mark.parametrize(("code", "broken", "location", "fine"), CASES, ids=NAMES)
def test_a_rule_speaks_where_it_is_broken_and_only_there(
    code: str, broken: dict[str, Any], location: str, fine: dict[str, Any]
) -> None:
    assert (code, location) in said(broken)
    assert code not in codes(fine)


def test_every_code_of_the_validator_has_a_case() -> None:
    expected = {code for code, entry in CODES.items() if entry.status == "validator"}

    assert expected == set(NAMES)


@pytest.mark.parametrize(("code", "broken"), [(case[0], case[1]) for case in CASES], ids=NAMES)
def test_a_diagnostic_points_at_something_in_the_document(
    code: str, broken: dict[str, Any]
) -> None:
    flow = changed(broken)
    found = next(each for each in validate(flow) if each.code == code)

    at(found.location, as_json(flow))
    assert (CODES[code].summary, CODES[code].hint) == (found.summary, found.hint)
    assert found.message


def test_nothing_is_said_about_a_sound_flow() -> None:
    assert [] == said({})


# More of what single rules say.


@pytest.mark.parametrize(("code", "changes"), [
    ("DAG005", {f"{WORK}/schedule": {"concurrency": 0}}),
    ("DAG006", {f"{WORK}/schedule": {"batch": {"mode": "none", "size": 2}}}),
    ("DAG006", {f"{REPLY}/schedule": {"batch": {"mode": "adaptive"}},
                f"{ENTRY}/0/respond": "stream"}),
    ("DAG102", {f"{ENTRY}/0/respond": "whenever"}),
    ("DAG102", {"/profile": "temporal", f"{ENTRY}/0/respond": "stream"}),
    ("DAG103", {f"{ENTRY}/0/route_path": "/a/{id}",
                f"{ENTRY}/-": SECOND_ENTRY | {"route_aliases": ["/a/{name}"], "method": "post"}}),
    ("DAG202", {"/edges/4/to": "ghost"}),
    ("DAG202", {f"{REPLY}/compensate": {"target": "ghost"}}),
    ("DAG202", {"/checkpoints": [{"id": "c", "kind": "timer", "node": "ghost"}]}),
    ("DAG300", {"/checkpoints": [{"id": "c", "kind": "hitl", "node": "ghost"}]}),
    ("DAG300", {"/checkpoints": [{"id": "c", "kind": "hitl"}]}),
    ("DAG320", {"/policies/rate_limit": {"burst": 0}}),
    ("IDEM025", {f"{REPLY}/idempotency/key_spec":
                 KEY | {"fields": [{"path": "now", "determinism": "best_effort"}]}}),
    ("RETRY010", {f"{WORK}/retry_owner": "connector"} | only(surface("error_handler", ["work"], {
        "v": 1, "scope": {"nodes": ["work"]}, "strategy": "retry"}))),
    ("TRIG001", {f"{ENTRY}/0/capture_alias": "ghost"}),
    ("CAPV101", {"/metadata/capabilities": [{"name": "kv", "version": "newest"}],
                 f"{WORK}/capabilities": [{"name": "kv"}]}),
    ("CAPV101", {"/metadata/capabilities": [{"name": "kv", "version": "1.0.0-rc1"}],
                 f"{WORK}/capabilities": [{"name": "kv", "version": "1.0.0"}]}),
    ("DAG-CKPT-004", {"/policies/durability/mode": "strong"} | UNKEYED),
])  # fmt: skip
def test_other_ways_to_break_a_rule(code: str, changes: dict[str, Any]) -> None:
    assert code in codes(changes)


@pytest.mark.parametrize(("code", "changes"), [
    ("DAG101", {f"{ENTRY}/-": {"trigger_alias": "lone", "capture_alias": "lone"},
                "/nodes/-": node("lone", "trigger")}),
    ("DAG101", {"/nodes": [node("take", "trigger")], "/edges": [], ENTRY: []}),
    ("DAG103", {f"{ENTRY}/-": SECOND_ENTRY | {"route_path": "/run", "method": "GET"}}),
    ("DAG103", {f"{ENTRY}/0/route_aliases": ["/run", "/run"]}),
    ("DAG204", {"/profile": "queue", f"{ENTRY}/0/capture_alias": "alone",
                "/nodes/-": node("alone")}),
    ("DAG201", {f"{LEFT}/in_schema": OPAQUE}),
    ("IDEM020", UNKEYED),
    ("CACHE001", {f"{TAKE}/determinism": "strict"}),
    ("RETRY011", {f"{REPLY}/retry_owner": "none"}),
    ("EGRESS101", {f"{REPLY}/determinismHints": ["resource::http"]}),
    ("DAG-CKPT-004", {"/policies/durability/mode": "off"} | UNKEYED),
    ("DAG200", {"/edges/-": edge("left", "left")} | only(surface("loop", ["work", "left"], {
        "v": 1, "source": "work", "body_entry": "left", "body_exit": "left",
        "condition_pointer": "/more", "max_iterations": 3}))),
])  # fmt: skip
def test_what_only_looks_like_a_breach(code: str, changes: dict[str, Any]) -> None:
    assert code not in codes(changes)


def test_only_what_a_halt_leads_to_needs_a_key() -> None:
    at_left = {f"{LEFT}/durability": HALTS, "/nodes/3/effects": "effectful",
               "/nodes/3/determinism": "best_effort"}  # fmt: skip

    assert [] == said(at_left)
    assert [("DAG-CKPT-004", REPLY)] == said(at_left | UNKEYED)


def test_an_edge_without_two_ends_is_no_way_to_anywhere() -> None:
    assert [("DAG101", TAKE), ("DAG204", f"{ENTRY}/0/capture_alias"),
            ("DAG202", "/edges/0/to")] == said({"/edges/0/to": "ghost"})  # fmt: skip


def test_a_key_may_be_given_in_full() -> None:
    assert [] == said({f"{REPLY}/idempotency": {"key_spec": KEY, "ttlMs": 1}})


def test_a_missing_part_of_the_document_is_shown_by_what_is_there() -> None:
    flow = changed({f"{WORK}/summary": GONE} | only(surface("loop", ["work"], None)))

    assert [WORK, f"{SURFACES}/0"] == [each.location for each in validate(flow)]
