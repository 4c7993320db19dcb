"""The command line's acceptance cases, under their names, on the examples."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from house import ROOT

Flows = Callable[..., Any]

EXAMPLES = ROOT / "examples/flows"
ECHO = EXAMPLES / "s1_echo/flow.py:flow"
SITE = EXAMPLES / "s2_site/flow.py:flow"
BRANCHING = EXAMPLES / "s3_branching/flow.py:flow"
PREFLIGHT = EXAMPLES / "s4_preflight/flow.py:flow"
LOCK = EXAMPLES / "s4_preflight/bindings.lock.json"
UNSUPPORTED = EXAMPLES / "s5_unsupported_surface/flow.py:flow"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_run_local_echoes_normalised_payload(flows: Flows) -> None:
    ran = flows("run", "local", ECHO, "--payload", '{"value": " HeLLo "}')

    assert (0, {"value": "hello"}) == (ran.code, ran.json)


@settings(
    max_examples=16, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(max_size=12))
def test_run_local_handles_property_inputs(flows: Flows, text: str) -> None:
    ran = flows("run", "local", ECHO, "--payload", json.dumps({"value": text}))

    assert (0, {"value": text.strip().lower()}) == (ran.code, ran.json)


def test_run_local_preflight_fails_without_kv_binding(flows: Flows) -> None:
    ran = flows("run", "local", PREFLIGHT, "--payload", '{"key": "a"}')

    lines = [line for line in ran.err.splitlines() if line.startswith("[CAP101]")]
    assert (1, "") == (ran.code, ran.out)
    assert ["[CAP101] not bound: resource::kv::read"] == lines
    assert "next: add --bind kv=memory" in ran.err


def test_run_local_preflight_succeeds_with_kv_binding(flows: Flows) -> None:
    payload = ("--payload", '{"key": "a"}')

    for bind in ("resource::kv=memory", "kv=memory", "resource::kv::read=memory"):
        ran = flows("run", "local", PREFLIGHT, *payload, "--bind", bind)
        assert (0, {"key": "a", "value": None}) == (ran.code, ran.json)


def test_run_local_branching_routes_then_branch(flows: Flows) -> None:
    ran = flows("run", "local", BRANCHING, "--payload", '{"flag": true, "mode": "a"}')

    assert ("then", "a") == (ran.json["branch"], ran.json["mode_selected"])


def test_run_local_unsupported_surface_runs_on_a_host_that_serves_it(flows: Flows) -> None:
    payload = EXAMPLES / "s5_unsupported_surface/payload.json"

    ran = flows("run", "local", UNSUPPORTED, "--payload-file", payload)

    assert 0 == ran.code


def test_run_local_streams_events(flows: Flows) -> None:
    ran = flows("run", "local", SITE, "--stream", "--payload", '{"site": "a"}')

    events = [json.loads(line)["event"] for line in ran.out.splitlines()]
    assert (0, "snapshot", "update_0") == (ran.code, events[0], events[1])


def test_run_local_stream_without_stream_is_refused(flows: Flows) -> None:
    ran = flows("run", "local", SITE, "--payload", '{"site": "a"}')

    assert (2, "") == (ran.code, ran.out)
    assert "next: add --stream" in ran.err


def test_run_local_json_stream_events(flows: Flows) -> None:
    ran = flows("run", "local", SITE, "--stream", "--json", "--payload", '{"site": "a"}')

    assert {"example", "flow", "result", "stream_events", "summary"} == set(ran.json)
    assert len(ran.json["stream_events"]) == ran.json["summary"]["stream_events"] >= 2
    assert ran.json["result"] is None


def test_run_local_json_summary(flows: Flows) -> None:
    ran = flows("run", "local", ECHO, "--json", "--payload", '{"value": "A"}')

    summary = ran.json["summary"]
    assert {"example", "flow", "result", "summary"} == set(ran.json)
    assert str(ECHO) == ran.json["example"]
    assert {"duration_ms", "nodes", "errors"} == set(summary)
    assert ["trigger", "normalize", "responder"] == [each["alias"] for each in summary["nodes"]]
    assert {"alias", "invocations", "avg_ms"} == set(summary["nodes"][0])
    assert [1, 1, 1] == [each["invocations"] for each in summary["nodes"]]
    assert "" == ran.err


def test_run_local_bindings_lock_succeeds(flows: Flows) -> None:
    ran = flows(
        "run", "local", PREFLIGHT, "--payload", '{"key": "a"}', "--bindings-lock", LOCK
    )  # fmt: skip

    assert 0 == ran.code


def test_run_local_bindings_lock_with_bind_is_refused(flows: Flows) -> None:
    ran = flows("run", "local", PREFLIGHT, "--bindings-lock", LOCK, "--bind", "kv=memory")

    assert 2 == ran.code
    assert "--bind and --bindings-lock exclude each other" in ran.err


def test_run_local_bindings_lock_hash_mismatch(flows: Flows, tmp_path: Path) -> None:
    changed = json.loads(LOCK.read_text())
    changed["generated_at"] = "2026-01-01T00:00:00Z"
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(changed))

    ran = flows("run", "local", PREFLIGHT, "--bindings-lock", file)

    assert 4 == ran.code
    assert "hash mismatch" in ran.err
    assert "flows bindings lock generate" in ran.err


def test_run_local_bindings_lock_flow_id_missing(flows: Flows) -> None:
    ran = flows("run", "local", ECHO, "--bindings-lock", LOCK)

    assert 4 == ran.code
    assert "flow id missing" in ran.err
