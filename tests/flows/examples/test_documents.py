"""The documents of the example flows: what they hold, and that the files beside them are theirs."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from typing import Any

import jsonschema
import pytest

from conductor_flows.capabilities.bindings.lock import content_hash, read
from conductor_flows.capabilities.bindings.spec import Binding
from conductor_flows.ir.identity import flow_id
from conductor_flows.ir.model import FlowIR, Named
from conductor_flows.ir.read import read_flow
from conductor_flows.ir.schema import json_schema
from conductor_flows.ir.terms import IdempotencyScope, NodeKind, Profile
from conductor_flows.validate.run import validate
from flow_examples import FOLDER, NAMES, folder, program
from house import ROOT

SNAPSHOTS = runpy.run_path(str(FOLDER / "snapshots.py"))
SMALL = json.loads((ROOT / "tests/data/flows/flow_ir.schema.json").read_text(encoding="utf-8"))


def document(name: str) -> FlowIR:
    return program(name).flow


def test_every_folder_is_a_snapshot() -> None:
    assert sorted(SNAPSHOTS["EXAMPLES"]) == NAMES


@pytest.mark.parametrize(("name", "nodes", "edges", "surfaces"), [
    ("s1_echo", 3, 2, 0), ("s2_site", 3, 2, 0), ("s3_branching", 9, 11, 2),
    ("s4_preflight", 3, 2, 0), ("s5_unsupported_surface", 3, 2, 1), ("s6_spill", 5, 4, 0),
    ("etl", 7, 6, 5),
])  # fmt: skip
def test_a_flow_has_so_many_parts(name: str, nodes: int, edges: int, surfaces: int) -> None:
    flow = document(name)

    assert (nodes, edges, surfaces) == (
        len(flow.nodes), len(flow.edges), len(flow.control_surfaces)
    )  # fmt: skip


@pytest.mark.parametrize(("name", "capture", "path", "deadline_ms"), [
    ("s1_echo", "responder", "/echo", 250), ("s2_site", "stream", "/site/stream", 5000),
    ("s3_branching", "responder", "/branch", 250),
    ("s4_preflight", "responder", "/preflight", 250),
    ("s5_unsupported_surface", "responder", "/unsupported", 2000),
    ("s6_spill", "responder", "/spill", 2000),
])  # fmt: skip
def test_a_flow_has_one_way_in(name: str, capture: str, path: str, deadline_ms: int) -> None:
    flow = document(name)
    [entry] = flow.metadata.entrypoints

    assert Profile.WEB == flow.profile
    assert ("trigger", capture, path, "POST", deadline_ms) == (
        entry.trigger_alias, entry.capture_alias, entry.route_path, entry.method, entry.deadline_ms
    )  # fmt: skip


@pytest.mark.parametrize(("name", "flow", "vector"), [
    ("s1_echo", "s1_echo_flow", "d8e3f885-5aa5-50eb-8190-8a36f30ad70e"),
    ("s2_site", "s2_site_flow", "25c7b343-7bb9-5822-b686-4b13d3e3b396"),
    ("etl", "etl_logs", "90d302b1-51c5-50eb-b65e-bd5396a31f97"),
    ("s3_branching", "s3_branching_flow", None), ("s4_preflight", "s4_preflight_flow", None),
    ("s5_unsupported_surface", "s5_unsupported_surface_flow", None),
    ("s6_spill", "s6_spill_flow", None),
])  # fmt: skip
def test_ids_follow_from_name_and_version(name: str, flow: str, vector: str | None) -> None:
    found = document(name)

    assert (flow, "1.0.0") == (found.name, found.version)
    assert (vector or flow_id(flow, "1.0.0")) == found.id
    assert {f"{found.id}::{node.alias}" for node in found.nodes} == {n.id for n in found.nodes}


@pytest.mark.parametrize("name", NAMES)
def test_a_flow_breaks_no_rule_not_even_a_warning(name: str) -> None:
    assert [] == validate(document(name), strict=True)


@pytest.mark.parametrize(
    "path", sorted(SNAPSHOTS["files"]()), ids=lambda found: str(found[0])[-40:]
)
def test_a_file_is_what_the_flow_makes_now(path: Any) -> None:
    file, data = path

    assert data == file.read_bytes(), "run: python examples/flows/snapshots.py"


@pytest.mark.parametrize("name", NAMES)
def test_a_snapshot_fits_our_schema_and_the_small_one_and_is_read_back(name: str) -> None:
    data = (folder(name) / "flow_ir.json").read_bytes()

    jsonschema.Draft202012Validator(json_schema()).validate(json.loads(data))
    jsonschema.Draft202012Validator(SMALL).validate(json.loads(data))
    assert document(name) == read_flow(data)


def test_s3_has_an_if_and_a_switch() -> None:
    one, two = document("s3_branching").control_surfaces

    assert "if:route:0" == one.id
    assert {"v": 1, "source": "route", "selector_pointer": "/flag", "then": "then_branch",
            "else": "else_branch"} == one.config  # fmt: skip
    assert "switch:mode:0" == two.id
    assert {
        "v": 1,
        "source": "mode",
        "selector_pointer": "/mode",
        "cases": {"a": "mode_a", "b": "mode_b"},
        "default": "mode_default",
    } == two.config


def test_s4_needs_to_read_a_key_value_store() -> None:
    hints = [hint for node in document("s4_preflight").nodes for hint in node.effect_hints]

    assert ["resource::kv::read"] == hints


def test_s5_has_a_rate_limit() -> None:
    [surface] = document("s5_unsupported_surface").control_surfaces

    assert "rate_limit:work:0" == surface.id
    assert {"v": 1, "target": "work", "qps": 10, "burst": 5} == surface.config


def test_s6_spills_one_edge_and_keys_its_store() -> None:
    flow = document("s6_spill")
    [edge] = [edge for edge in flow.edges if edge.buffer.spill_tier]
    [store] = [node for node in flow.nodes if node.alias == "store"]

    assert ("prepare", "store") == (edge.source, edge.to)
    assert (1, "local", 512) == (
        edge.buffer.max_items, edge.buffer.spill_tier, edge.buffer.spill_threshold_bytes
    )  # fmt: skip
    assert ("batch_id", IdempotencyScope.NODE, 300_000) == (
        store.idempotency.key, store.idempotency.scope, store.idempotency.ttl_ms
    )  # fmt: skip


def test_the_etl_upserts_exactly_once_by_customer() -> None:
    flow = document("etl")
    [edge] = [edge for edge in flow.edges if edge.delivery == "exactly_once"]
    [window] = [each for each in flow.control_surfaces if each.kind == "window"]
    nodes = {node.alias: node for node in flow.nodes}

    assert Profile.QUEUE == flow.profile
    assert ("aggregate", "upsert", "customer_id") == (edge.source, edge.to, edge.partition_key)
    assert ("strict", "pure") == (nodes["parse"].determinism, nodes["parse"].effects)
    assert (300_000, 120_000, "late_events") == (
        window.config["size_ms"], window.config["allowed_lateness_ms"], window.config["late"]
    )  # fmt: skip
    assert (NodeKind.ACTIVITY, IdempotencyScope.PARTITION, 86_400_000) == (
        nodes["upsert"].kind, nodes["upsert"].idempotency.scope, nodes["upsert"].idempotency.ttl_ms
    )  # fmt: skip


@pytest.mark.parametrize(("name", "binding"), [
    ("s4_preflight", Binding("resource::kv", "kv.memory", instance="kv_memory")),
    ("s6_spill", Binding("resource::blob", "blob.memory", instance="blob_memory")),
])  # fmt: skip
def test_a_lock_has_its_hash_and_binds_the_flow(name: str, binding: Binding) -> None:
    data = (folder(name) / "bindings.lock.json").read_bytes()
    lock = json.loads(data)

    assert lock["content_hash"] == content_hash(lock)
    assert (binding,) == read(data, document(name).id)


def test_types_are_told_where_there_are_types() -> None:
    opaque = [
        f"{name}/{node.alias}" for name in NAMES for node in document(name).nodes
        if not isinstance(node.in_schema, Named)
    ]  # fmt: skip

    assert [] == opaque


ALONE = [name for name in NAMES if len(list(folder(name).glob("*.py"))) == 1]


@pytest.fixture(scope="module")
def types_cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a type checker knows of the libraries, found out once."""
    return str(tmp_path_factory.mktemp("mypy"))


@pytest.mark.parametrize("names", [ALONE, ["etl"], ["s5_unsupported_surface"]])
def test_the_examples_are_typed(names: list[str], types_cache: str) -> None:
    place = FOLDER if len(names) > 1 else folder(names[0])
    files = [str(path) for name in names for path in sorted(folder(name).glob("*.py"))]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--explicit-package-bases",
         "--cache-dir", types_cache, *files],
        cwd=place, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
