from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conductor_flows.cli.picture import ASCII, LANES_MAX, UNICODE, picture
from conductor_flows.ir.small import emit
from conductor_flows.validate.registry import CODES
from flow_pieces import edge_ir as edge
from flow_pieces import flow_ir as flow
from flow_pieces import node_ir as node
from house import ROOT

Flows = Callable[..., Any]

BROKEN = """
from conductor_flows import Flow, node, trigger


@trigger(summary="Take")
async def take(x: int) -> int:
    return x


@node(effects="effectful", summary="Write")
async def write(x: int) -> int:
    return x


@node()
async def silent(x: int) -> int:
    return x


flow = Flow("broken_flow", "1.0.0", profile="web")
a, b, c = flow.add(take), flow.add(write), flow.add(silent)
flow.connect(a, b)
flow.delivery(a, b, "exactly_once")
flow.connect(b, c)

warned = Flow("warned_flow", "1.0.0")
warned.connect(warned.add(take), warned.add(silent))
"""


def test_a_sound_flow_passes(flows: Flows, folder: Path) -> None:
    ran = flows("graph", "check", "echo.py")

    assert (0, "✓ echo_flow 1.0.0: 2 nodes, 1 edge\n") == (ran.code, ran.out)


def test_a_broken_flow_is_told_with_every_diagnostic(flows: Flows, folder: Path) -> None:
    (folder / "broken.py").write_text(BROKEN)

    ran = flows("graph", "check", "broken.py:flow")

    assert 1 == ran.code
    for code in ("EXACT001", "EXACT002", "EXACT003"):
        assert f"{code} error (validation)" in ran.out
    assert "  at /edges/0/delivery\n  next: " in ran.out
    assert all(len(line) <= 80 for line in ran.out.splitlines())


def test_json_has_the_documented_keys(flows: Flows, folder: Path) -> None:
    (folder / "broken.py").write_text(BROKEN)

    ran = flows("graph", "check", "broken.py:flow", "--json")

    told = ran.json
    assert ("error", 3, 2) == (told["status"], told["node_count"], told["edge_count"])
    first = told["diagnostics"][0]
    assert {"code", "severity", "subsystem", "summary", "message", "location", "hint"} == set(first)


def test_warnings_fail_only_strictly(flows: Flows, folder: Path) -> None:
    (folder / "broken.py").write_text(BROKEN)

    loose = flows("graph", "check", "broken.py:warned")
    strict = flows("graph", "check", "broken.py:warned", "--strict")

    assert (0, 1) == (loose.code, strict.code)
    assert "1 warning" in loose.out
    assert "1 error" in strict.out


def test_a_flow_that_cannot_be_built_is_a_diagnostic_with_its_line(
    flows: Flows, folder: Path
) -> None:
    (folder / "refused.py").write_text(BROKEN + "\nflow.add(take)\n")

    ran = flows("graph", "check", "refused.py:flow", "--json")

    found = ran.json["diagnostics"][0]
    assert (1, "DAG205") == (ran.code, found["code"])
    assert "refused.py:" in found["message"]


def test_a_document_is_read_from_standard_input_or_a_file(flows: Flows, folder: Path) -> None:
    document = flows("graph", "show", "echo.py", "--format", "json").out.encode()
    (folder / "flow.json").write_bytes(document)

    piped = flows("graph", "check", "--input", "-", stdin=document)
    bare = flows("graph", "check", stdin=document)
    named = flows("graph", "check", "flow.json")
    given = flows("graph", "check", "--input", "flow.json")

    assert {"✓ echo_flow 1.0.0: 2 nodes, 1 edge\n"} == {
        ran.out for ran in (piped, bare, named, given)
    }


def test_what_is_no_document_is_refused(flows: Flows, folder: Path) -> None:
    for stdin in (b"", b"x", b"[]", b'{"id": 1}', b"\xff\xfe"):
        ran = flows("graph", "check", "--json", stdin=stdin)
        assert (2, "FLOW_DOCUMENT_INVALID") == (ran.code, json.loads(ran.err)["error"]["code"])


def test_json_excludes_pictures(flows: Flows, folder: Path) -> None:
    for option in (("--dot", "x.dot"), ("--emit-dot",), ("--pretty-json",)):
        assert 2 == flows("graph", "check", "echo.py", "--json", *option).code
    assert 2 == flows("graph", "check", "echo.py", "--emit-dot", "--pretty-json").code


def test_pictures_beside_the_check_have_standard_output(flows: Flows, folder: Path) -> None:
    drawn = flows("graph", "check", "echo.py", "--dot", "echo.dot", "--emit-dot")
    document = flows("graph", "check", "echo.py", "--pretty-json")

    assert (folder / "echo.dot").read_text() == drawn.out
    assert drawn.out.startswith('digraph "echo_flow" {')
    assert "✓" in drawn.err
    assert "echo_flow" == document.json["name"]


def test_show_writes_every_format(flows: Flows, folder: Path) -> None:
    begins = {"svg": "<svg", "dot": "digraph", "mermaid": "flowchart", "json": "{"}
    for form, begin in begins.items():
        assert flows("graph", "show", "echo.py", "--format", form).out.startswith(begin)


def test_show_takes_the_format_from_the_ending(flows: Flows, folder: Path) -> None:
    ran = flows("graph", "show", "echo.py", "--out", "echo.svg")

    assert (0, "") == (ran.code, ran.out)
    assert (folder / "echo.svg").read_text().startswith("<svg")


def test_the_picture_of_a_flow_with_branches(flows: Flows) -> None:
    spec = ROOT / "examples/flows/s3_branching/flow.py"

    drawn = flows("graph", "show", spec).out

    expected = """
▶  trigger  trigger, read_only, strict
│
●  route  inline, pure, strict
├─┐  → then_branch (then), else_branch (else)
● │  then_branch  inline, pure, strict
│ ●  else_branch  inline, pure, strict
├─┘
●  mode  inline, pure, strict
├─┬─┐  → mode_a (a), mode_b (b), mode_default (default)
● │ │  mode_a  inline, pure, strict
│ ● │  mode_b  inline, pure, strict
│ │ ●  mode_default  inline, pure, strict
├─┴─┘
●  responder  inline, pure, strict
"""
    assert expected in drawn


def test_ascii_pictures_have_no_other_characters(flows: Flows) -> None:
    spec = ROOT / "examples/flows/s3_branching/flow.py"

    drawn = flows("graph", "show", spec, "--ascii").out

    assert drawn.isascii()
    assert "+-+-+  -> mode_a (a)" in drawn


def test_a_lane_that_is_crossed_is_seen() -> None:
    drawn = list(
        picture(
            flow(
                [node("a"), node("b"), node("c"), node("d")],
                [edge("a", "b"), edge("a", "c"), edge("a", "d"), edge("b", "d"), edge("c", "d")],
            )
        )
    )

    assert all(len(line) <= 80 for line in drawn)
    assert 4 == sum("●" in line or "▶" in line for line in drawn)


def test_a_way_back_is_told_in_words() -> None:
    looped = flow([node("a"), node("b")], [edge("a", "b"), edge("b", "a")])

    assert any("↺ a" in line for line in picture(looped, UNICODE))
    assert any("back to a" in line for line in picture(looped, ASCII))


def test_a_wide_flow_is_told_as_a_list() -> None:
    names = [f"n{number}" for number in range(LANES_MAX + 4)]
    wide = flow([node("a"), *map(node, names)], [edge("a", name) for name in names])

    drawn = "\n".join(picture(wide)).splitlines()

    assert all(len(line) <= 80 for line in drawn)
    assert any(line.startswith("  → n0, n1") for line in drawn)


def test_every_example_is_drawn_within_80_columns(flows: Flows) -> None:
    for spec in sorted((ROOT / "examples/flows").glob("*/flow.py")):
        ran = flows("graph", "show", spec)
        assert [] == [line for line in ran.out.splitlines() if len(line) > 80]


def test_a_long_chain_is_read_checked_and_drawn(flows: Flows, folder: Path) -> None:
    names = [f"n{number}" for number in range(300)]
    long = flow([node(name) for name in names], list(map(edge, names, names[1:])))
    (folder / "long.json").write_bytes(emit(long))

    assert "300 nodes, 299 edges" in flows("graph", "check", "long.json").out
    assert "300 nodes, 299 edges" in flows("graph", "show", "long.json").out


def test_every_code_can_be_explained(flows: Flows) -> None:
    for code in CODES:
        ran = flows("codes", code.lower())
        assert (0, code) == (ran.code, ran.out.split(" ", 1)[0])
        assert all(len(line) <= 80 or line.startswith("  ") for line in ran.out.splitlines())


def test_codes_are_listed(flows: Flows) -> None:
    assert list(CODES) == [each["code"] for each in flows("codes", "--json").json["codes"]]
    assert len(CODES) <= len(flows("codes").out.splitlines())


def test_an_unknown_code_is_met_with_near_ones(flows: Flows) -> None:
    ran = flows("codes", "CAP10")

    assert 3 == ran.code
    assert "did you mean: CAP1" in ran.err


def test_entrypoints_are_checked(flows: Flows, folder: Path) -> None:
    assert "OK  take -> lower\n" == flows("entrypoints", "check", "echo.py").out
    told = flows("entrypoints", "check", "echo.py", "--json").json["entrypoints"][0]
    assert ("take", "lower") == (told["trigger"], told["capture"])
    assert ["value"] == told["takes"]["required"]


def test_entrypoints_of_an_example_have_their_route(flows: Flows) -> None:
    spec = ROOT / "examples/flows/s1_echo/flow_ir.json"

    ran = flows("entrypoints", "check", spec)

    assert "OK  trigger -> responder  POST /echo  within 250 ms\n" == ran.out


def test_a_wrong_entrypoint_is_refused(flows: Flows, folder: Path) -> None:
    (folder / "broken.py").write_text(BROKEN)
    told = {
        ("--trigger", "nope", "--capture", "lower"): "'nope'",
        ("--trigger", "lower", "--capture", "lower"): "is no trigger",
        ("--trigger", "take"): "come together",
    }
    for options, said in told.items():
        ran = flows("entrypoints", "check", "echo.py", *options)
        assert 2 == ran.code
        assert said in ran.err
    invalid = flows("entrypoints", "check", "broken.py:flow")
    assert 2 == invalid.code
    assert "flows graph check broken.py:flow" in invalid.err
