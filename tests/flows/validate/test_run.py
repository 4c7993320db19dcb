"""The whole of a validation: order, strictness, subflows, growth and what it needs to be loaded."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from types import FrameType
from typing import Any

import msgspec
import pytest

from conductor_flows.ir.model import FlowIR
from conductor_flows.ir.read import from_json
from conductor_flows.ir.small import as_json
from conductor_flows.validate.diagnostic import Diagnostic, Severity
from conductor_flows.validate.rules.reach import AT_ONCE
from conductor_flows.validate.run import RULES, fails, validate
from flow_documents import LEFT, WORK, at, changed, edge, node, sound, surface


def test_the_same_flow_gets_the_same_diagnostics() -> None:
    broken = {"/edges/0/timeout_ms": 0, f"{WORK}/summary": "", "/edges/4/to": "ghost"}

    assert validate(changed(broken)) == validate(changed(broken))


def test_everything_is_said_in_the_order_of_the_rules() -> None:
    broken: dict[str, Any] = {
        "/control_surfaces": [surface("rate_limit", ["work"], None),
                              surface("if", ["work"], None)],
        "/edges/0/timeout_ms": 0, "/edges/1/buffer/max_items": 0, f"{WORK}/summary": "",
        f"{LEFT}/idempotency": {"ttlMs": 1}, "/edges/4/to": "ghost", "/nodes/-": node("left"),
    }  # fmt: skip

    assert ["DAG205", "DAG202", "DAG004", "DAG350", "CTRL101", "CTRL102", "CTRL120", "CTRL130"
            ] == [each.code for each in validate(changed(broken))]  # fmt: skip


def test_warnings_fail_a_flow_only_strictly() -> None:
    flow = changed({f"{WORK}/summary": ""})

    assert [Severity.WARN] == [each.severity for each in validate(flow)]
    assert [Severity.ERROR] == [each.severity for each in validate(flow, strict=True)]
    assert not fails(validate(flow))
    assert fails(validate(flow), strict=True)
    assert fails(validate(flow, strict=True))


def test_errors_fail_a_flow_and_information_does_not() -> None:
    (error,) = validate(changed({"/edges/0/timeout_ms": 0}))
    fatal = msgspec.structs.replace(error, severity=Severity.FATAL)
    info = msgspec.structs.replace(error, severity=Severity.INFO)

    assert (True, True) == (fails([error]), fails([fatal]))
    assert (False, False) == (fails([info], strict=True), fails([], strict=True))


def test_subflows_are_judged_and_pointed_into() -> None:
    inner = sound() | {"id": "g", "name": "inner"}
    inner["edges"][0]["timeout_ms"] = 0
    outer = sound() | {"nodes": [*sound()["nodes"]]}
    inner["nodes"][2] |= {"kind": "subflow", "subflow_ir": sound() | {"edges": []}}
    outer["nodes"][1] |= {"kind": "subflow", "subflow_ir": inner}
    flow = from_json(outer)

    found = validate(flow)
    assert ["CACHE001", "CACHE001", "CTRL101", "DAG101", "DAG204"] == [each.code for each in found]
    assert ["/nodes/1", "/nodes/1/subflow_ir/nodes/2", "/nodes/1/subflow_ir/edges/0/timeout_ms",
            "/nodes/1/subflow_ir/nodes/2/subflow_ir/nodes/0",
            "/nodes/1/subflow_ir/nodes/2/subflow_ir/metadata/entrypoints/0/capture_alias",
            ] == [each.location for each in found]  # fmt: skip
    for each in found:
        at(each.location, as_json(flow))


def test_a_flow_without_anything_is_judged() -> None:
    assert [] == validate(from_json({"id": "", "name": "", "version": "", "profile": "dev"}))


def test_a_chain_longer_than_the_stack_is_judged() -> None:
    aliases = [f"n{number}" for number in range(3 * sys.getrecursionlimit())]
    document = sound() | {
        "nodes": [node(aliases[0], "trigger"), *(node(alias) for alias in aliases[1:])],
        "edges": [edge(first, second) for first, second in pairwise(aliases)],
        "metadata": {"entrypoints": [{"trigger_alias": "n0", "capture_alias": aliases[-1]}]},
    }  # fmt: skip
    assert [] == validate(from_json(document))

    document["edges"].append(edge(aliases[-1], "n0"))
    (found,) = validate(from_json(document))
    assert ("DAG200", True) == (found.code, len(found.message) < 200)


def chain(size: int) -> dict[str, Any]:
    names = [f"n{number}" for number in range(size)]
    return sound() | {
        "nodes": [node(names[0], "trigger"), *(node(name, summary="") for name in names[1:])],
        "edges": [edge(one, two) for one, two in pairwise(names)],
        "metadata": {"entrypoints": [{"trigger_alias": names[0], "capture_alias": names[-1]}]},
    }  # fmt: skip


def star(size: int) -> dict[str, Any]:
    cases = {f"c{number}": f"n{number}" for number in range(1, size)}
    config = {"v": 1, "source": "n0", "selector_pointer": "", "cases": cases}
    return chain(size) | {
        "edges": [edge("n0", name, timeout_ms=0) for name in cases.values()],
        "control_surfaces": [surface("switch", ["n0", *cases.values()], config)],
        "policies": {"lint": {"require_control_hints": True}},
    }


def doors(size: int) -> dict[str, Any]:
    """As many flows in one, each with a trigger of its own."""
    names = range(size // 2)
    return sound() | {
        "nodes": [each for number in names
                  for each in (node(f"t{number}", "trigger"), node(f"n{number}"))],
        "edges": [edge(f"t{number}", f"n{number}") for number in names],
        "metadata": {"entrypoints": [
            {"trigger_alias": f"t{number}", "capture_alias": f"n{number}", "route_path": "/one"}
            for number in names]},
    }  # fmt: skip


def ladder(size: int) -> dict[str, Any]:
    """A chain that can be entered at every node, and left only at its end."""
    steps = range(size // 2)
    doors = [{"trigger_alias": f"t{step}", "capture_alias": f"n{size // 2 - 1}"} for step in steps]
    whole = chain(size // 2)
    return whole | {
        "nodes": [*whole["nodes"], *(node(f"t{step}", "trigger") for step in steps)],
        "edges": [*whole["edges"], *(edge(f"t{step}", f"n{step}") for step in steps)],
        "metadata": {"entrypoints": doors},
    }


def broken(size: int) -> dict[str, Any]:
    """Every node twice, every edge to nowhere and back, every node the source of surfaces."""
    whole = chain(size)
    config = {"v": 1, "source": "n0", "body_entry": "n1", "condition_pointer": "",
              "max_iterations": 1}  # fmt: skip
    return whole | {
        "nodes": whole["nodes"] * 2,
        "edges": [*whole["edges"], *(edge(f"n{n}", "ghost") for n in range(size)),
                  *(edge(f"n{n + 1}", f"n{n}", delivery="exactly_once") for n in range(size - 1))],
        "control_surfaces": [surface(kind, [f"n{n}", f"ghost{n}"], config)
                             for n in range(size) for kind in ("loop", "if", "switch", "zip")],
    }  # fmt: skip


def nested(size: int) -> dict[str, Any]:
    part = size // 10
    inner = [node(f"s{number}", "subflow", subflow_ir=chain(10)) for number in range(part)]
    whole = chain(part)
    return whole | {"nodes": [*whole["nodes"], *inner]}


def test_more_triggers_than_are_followed_at_once_reach_what_they_reach() -> None:
    document = ladder(2 * AT_ONCE + 100)
    document["metadata"]["entrypoints"][-1]["capture_alias"] = "n0"
    document["edges"].append(edge(f"n{AT_ONCE + 40}", f"n{AT_ONCE}", condition={"type": "loop"}))

    assert [f"/metadata/entrypoints/{AT_ONCE + 49}/capture_alias"] == [
        each.location for each in validate(from_json(document)) if each.code == "DAG204"
    ]


@pytest.mark.parametrize("shape", [chain, star, doors, ladder, broken, nested])
def test_work_grows_with_the_size_and_no_faster(shape: Callable[[int], dict[str, Any]]) -> None:
    small, large = (_lines(from_json(shape(size))) for size in (100, 1000))

    assert 9 <= large / small <= 10.5


def _lines(flow: FlowIR) -> int:
    """Count the lines of the validator that are run."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace if "conductor_flows" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        found: list[Diagnostic] = validate(flow)
    finally:
        sys.settrace(before)
    assert len(found) <= 40 * (len(flow.nodes) + len(flow.edges) + len(flow.control_surfaces))
    return count


def test_rules_are_applied_once_each() -> None:
    assert len(RULES) == len(set(RULES))


def test_judging_loads_nothing_that_does_input_or_output() -> None:
    program = (
        "import sys, msgspec, dataclasses, enum, re, itertools, types, collections.abc, typing;"
        "before = set(sys.modules);"
        "import conductor_flows.validate.run;"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                         check=True, timeout=30)  # fmt: skip
    forbidden = {"asyncio", "socket", "ssl", "sqlite3", "threading", "logging", "random", "time"}

    assert set() == forbidden & set(ran.stdout.split())
