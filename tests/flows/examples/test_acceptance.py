"""Acceptance cases about documents and the register of flows, under their names.

A module is the register: what stands at its top level is listed by the loader, which every host and
command goes through.
"""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import msgspec
import pytest

from conductor_flows import Flow
from conductor_flows.execute.services import Services
from conductor_flows.host.errors import FlowAmbiguous, FlowNotFound
from conductor_flows.host.hosting import Host
from conductor_flows.host.loading import load
from conductor_flows.host.web.route import RouteRefused, routes_of
from conductor_flows.ir.identity import flow_id
from conductor_flows.ir.model import FlowIR, Metadata
from conductor_flows.ir.read import read_flow
from conductor_flows.ir.schema import json_schema
from conductor_flows.ir.small import emit
from conductor_flows.validate.registry import CODES
from conductor_flows.validate.run import validate
from flow_examples import FOLDER, NAMES, program
from flow_orders import left, route
from house import ROOT

SCHEMA = ROOT / "docs/reference/flow_ir.schema.json"
DATA = ROOT / "tests/data/flows"
REGISTER = """\
from flow_orders import left, route
from conductor_flows import Flow

def flow(name: str, method: str) -> Flow:
    made = Flow(name, "1.0.0", profile="web", summary="One of two")
    start, end = made.add(route), made.add(left)
    made.connect(start, end)
    made.entrypoint(start, end, path="/" + name, method=method)
    return made

one, two = flow("one", "GET"), flow("two", "PUT")
"""


@pytest.fixture
def register(tmp_path: Path) -> Path:
    (tmp_path / "register.py").write_text(REGISTER, encoding="utf-8")
    return tmp_path


def built() -> Flow:
    flow = Flow("acceptance", "1.2.3", profile="web", summary="Two nodes")
    start, end = flow.add(route), flow.add(left)
    flow.connect(start, end)
    flow.entrypoint(start, end, path="/acceptance", method="PUT")
    return flow


def test_flow_builder_constructs_serializable_ir() -> None:
    flow = built().ir()

    assert flow == read_flow(emit(flow))
    assert flow_id("acceptance", "1.2.3") == flow.id


def test_schema_examples_deserialize_to_flow_ir() -> None:
    documents = [*FOLDER.glob("*/flow_ir.json"), DATA / "etl_logs.rich.json"]
    names = {read_flow(path.read_bytes()).name for path in documents}

    assert len(NAMES) == len(documents) - 1
    assert {program(name).flow.name for name in NAMES} == names


def test_schemas_match_rust_emission() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    pages: dict[str, str] = runpy.run_path(str(ROOT / "docs/flows.py"))["pages"]()

    assert json_schema() == schema, "run: python docs/flows.py"
    assert pages[SCHEMA.name] == SCHEMA.read_text(encoding="utf-8")
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(emit(built().ir())))


def test_diagnostics_registry_matches_doc() -> None:
    page = (ROOT / "docs/reference/flow-codes.md").read_text(encoding="utf-8")

    assert sorted(CODES) == sorted(re.findall(r"^### (.+)$", page, re.MULTILINE))


def test_registry_iterates_submitted_flows(register: Path) -> None:
    with pytest.raises(FlowAmbiguous, match="one, two"):
        load("register.py", folder=register)
    with pytest.raises(FlowNotFound, match="one, two"):
        load("register.py:three", folder=register)

    assert ["one", "two"] == [
        load(f"register.py:{name}", folder=register).flow.name for name in ("one", "two")
    ]


def test_registry_entrypoint_carries_method(register: Path) -> None:
    found = [load(f"register.py:{name}", folder=register) for name in ("one", "two")]
    routes = [each for one in found for each in routes_of(Host(one, Services()))]

    assert [("GET", "/one"), ("PUT", "/two")] == [(each.method, each.path) for each in routes]


def drifted(flow: FlowIR, **changes: str) -> FlowIR:
    entry = msgspec.structs.replace(flow.metadata.entrypoints[0], **changes)
    return msgspec.structs.replace(flow, metadata=Metadata(entrypoints=[entry]))


@pytest.mark.parametrize("changes", [{"trigger_alias": "left"}, {"capture_alias": "gone"}])
def test_registry_validation_rejects_metadata_drift(changes: dict[str, str]) -> None:
    made = built().program()
    flow = drifted(made.flow, **changes)
    away = msgspec.structs.replace(made.flow, metadata=flow.metadata)
    host = Host(type(made)(away, made.handlers), Services())

    assert ["TRIG001"] == [each.code for each in validate(flow)]
    with pytest.raises(RouteRefused):
        routes_of(host)


def test_a_document_that_is_no_longer_that_of_its_flow_is_found_out(tmp_path: Path) -> None:
    place = tmp_path / "flows"
    shutil.copytree(FOLDER, place)
    source = place / "s1_echo/flow.py"
    source.write_text(source.read_text("utf-8").replace('"1.0.0"', '"1.0.1"'), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(place / "snapshots.py"), "--check"], cwd=place, timeout=60,
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (1, ["s1_echo/flow_ir.json", "s1_echo/flow.svg"]) == (
        done.returncode, done.stdout.split()
    )  # fmt: skip


def test_a_flow_without_entrypoints_has_one_all_the_same() -> None:
    flow = Flow("plain", "1.0.0", summary="No way in is told")
    flow.connect(flow.add(route), flow.add(left))
    [found] = routes_of(Host(flow.program(), Services()))

    assert ("POST", "/plain", "route", "left") == (
        found.method, found.path, found.trigger, found.capture
    )  # fmt: skip
    assert [] == flow.ir().metadata.entrypoints
