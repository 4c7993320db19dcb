"""Every error has one status and one envelope."""

from __future__ import annotations

import json

import pytest

from conductor_flows.dsl.errors import FlowInvalid
from conductor_flows.durable import errors as durable
from conductor_flows.execute import errors as execute
from conductor_flows.host.errors import Draining, HttpRefusal, Overloaded, WaitOver
from conductor_flows.host.failures import failure_of
from conductor_flows.validate.run import validate
from flow_pieces import flow_ir, node_ir


@pytest.mark.parametrize(("error", "status", "code"), [
    (execute.UnknownAlias("x"), 500, "FLOW_UNKNOWN_ALIAS"),
    (execute.MissingOutput("x"), 500, "FLOW_MISSING_OUTPUT"),
    (execute.NodeFailed("a", "x"), 500, "FLOW_NODE_FAILED"),
    (execute.TimeBudget("a", "x"), 504, "TIME015"),
    (execute.UnregisteredNode("x"), 500, "FLOW_UNREGISTERED_NODE"),
    (execute.Cancelled("external"), 503, "FLOW_CANCELLED"),
    (execute.DeadlineExceeded("x"), 504, "FLOW_DEADLINE_EXCEEDED"),
    (execute.CapabilitiesMissing("x"), 500, "CAP101"),
    (execute.DurabilityMissing("x"), 500, "DAG-CKPT-003"),
    (execute.SurfaceUnsupported("x"), 500, "CTRL901"),
    (execute.IfInvalid("x"), 500, "CTRL120"), (execute.SurfaceInvalid("x"), 500, "CTRL110"),
    (execute.SpillUnsupported("x"), 400, "FLOW_SPILL_UNSUPPORTED"),
    (execute.PortRefused("x", pointer="/a"), 400, "FLOW_PORT_REFUSED"),
    (durable.CheckpointNotFound("x"), 404, "DAG-CKPT-006"),
    (durable.LeaseConflict("x"), 409, "DAG-CKPT-007"),
    (durable.LeaseLost("x"), 409, "DAG-CKPT-007"),
    (durable.StateCorrupted("x"), 500, "DAG-CKPT-008"),
    (durable.VersionIncompatible("x"), 500, "DAG-CKPT-009"),
    (durable.TokenUnknown(), 404, "FLOW_TOKEN_UNKNOWN"),
    (durable.TokenUsed(), 410, "FLOW_TOKEN_USED"),
    (durable.StillWaiting("x"), 409, "FLOW_STILL_WAITING"),
    (durable.ResumeExhausted("x"), 409, "FLOW_RESUME_EXHAUSTED"),
    (Draining(), 503, "FLOW_HOST_DRAINING"), (Overloaded(3), 503, "FLOW_ROUTE_OVERLOADED"),
    (WaitOver(), 410, "FLOW_WAIT_OVER"), (HttpRefusal(418, "x"), 418, "FLOW_REQUEST_REFUSED"),
])  # fmt: skip
def test_an_error_has_its_status_and_its_code(error: Exception, status: int, code: str) -> None:
    failed = failure_of(error)
    assert (status, code) == (failed.status, json.loads(failed.body)["code"])


def test_facts_for_programs_are_details() -> None:
    failed = failure_of(execute.PortRefused("no number", pointer="/a/0"))
    assert {"pointer": "/a/0"} == json.loads(failed.body)["details"]
    assert "details" not in json.loads(failure_of(execute.MissingOutput()).body)


def test_diagnostics_stand_beside_details() -> None:
    flow = flow_ir([node_ir("a")], [])
    body = json.loads(failure_of(FlowInvalid("f", validate(flow))).body)
    assert {"error", "code", "diagnostics"} == body.keys()
    assert {"code", "severity", "message", "location", "hint"} == body["diagnostics"][0].keys()


def test_an_unexpected_error_is_told_without_its_text() -> None:
    assert b'{"error":"An unexpected error"}' == failure_of(RuntimeError("s3cret")).body
