"""What a newcomer types wrong is met with what was meant."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conductor_flows.durable.services import in_folder

Flows = Callable[..., Any]
BEGUN = """
from conductor_flows import Flow, node, trigger


@trigger(summary="Take")
async def take(x: int) -> int:
    return x


@node(summary="Give it on")
async def give(x: int) -> int:
    return x


flow = Flow("begun", "1.0.0")
"""
MADE = 'flow = Flow("my_flow", "1.0.0")'
UNBOUND = """
from conductor_flows import Flow, NodeContext, node, trigger


@trigger(summary="Take")
async def take(x: str) -> str:
    return x


@node(uses=["resource::kv::read", "resource::http::read"], summary="Ask")
async def ask(x: str, context: NodeContext) -> str:
    from conductor_flows.capabilities.ports import Request

    return (await context.use("resource::http::read").send(Request("GET", x))).body.decode()


flow = Flow("unbound", "1.0.0")
flow.connect(flow.add(take), flow.add(ask))
"""


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        ("eco.py", "did you mean echo.py?"),
        ("ekho", "did you mean echo.py?"),
        ("ecko:flow", "did you mean echo.py:flow?"),
        ("./echo", "name the file: ./echo.py"),
        ("echo.py:flw", "name one: echo.py:flow"),
        (
            "empty.py",
            f"put one there, as: {MADE}; or name a function that returns one: empty.py:build",
        ),
        (
            "empty.py:flow",
            f"put one there, as: {MADE}; or name a function that returns one: empty.py:build",
        ),
        ("./folder", "name a file in it, as folder/inside.py"),
        ("notes.txt", "a flow is in a file of Python (.py), a document in one of JSON (.json)"),
        ("nothing_like_it", "name it like this: module:flow, or path/to/file.py:flow"),
    ],
)
def test_a_flow_that_is_not_there(flows: Flows, folder: Path, spec: str, meant: str) -> None:
    (folder / "empty.py").touch()
    (folder / "notes.txt").touch()
    (folder / "folder").mkdir()
    (folder / "folder" / "inside.py").write_text("")

    ran = flows("run", "local", spec, "--payload", "1")

    assert (3, f"  next: {meant}\n") == (ran.code, ran.err[ran.err.index("  next: ") :])


def test_a_file_of_a_package_is_named_as_a_module(flows: Flows, folder: Path) -> None:
    (folder / "kit").mkdir()
    (folder / "kit" / "parts.py").touch()
    (folder / "kit" / "made.py").write_text("from .parts import x\n")

    ran = flows("run", "local", "kit/made.py:flow", "--payload", "1")

    assert (1, True) == (ran.code, "next: name the module, not its file: kit.made:flow" in ran.err)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("run", "echo.py", "--payload", "1 2"), "flows run local echo.py --payload '1 2'"),
        (("graph", "echo:flow"), "flows graph check echo:flow"),
        (("entrypoints", "flow.json"), "flows entrypoints check flow.json"),
        (("echo.py",), "flows run local echo.py"),
    ],
)
def test_a_command_that_was_left_out_is_told(flows: Flows, words: Any, line: str) -> None:
    ran = flows(*words)

    assert (2, True) == (ran.code, f"Error: the command is missing: {line}\n" in ran.err)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("run", "locl"), "No such command 'locl'. Did you mean 'local'?"),
        (("rum", "local"), "No such command 'rum'. Did you mean 'run' or 'resume'?"),
        (("serve", "echo.py"), "No such command 'serve'. Did you mean 'run serve'?"),
        (("check",), "No such command 'check'. Did you mean 'graph check' or 'entrypoints check'?"),
        (("run", "nothing"), "No such command 'nothing'."),
    ],
)
def test_a_command_of_another_name_is_offered(flows: Flows, words: Any, told: str) -> None:
    ran = flows(*words)

    assert (2, True) == (ran.code, f"Error: {told}\n" in ran.err)


@pytest.mark.parametrize(
    ("payload", "meant"),
    [
        ("hello", "a text is JSON in double quotes: --payload '\"hello\"'"),
        ("{'value': 1}", "JSON has its names and texts in double quotes: "),
        ("@echo.py", "give the file by its name: --payload-file echo.py"),
        ("echo.py", "give the file by its name: --payload-file echo.py"),
        ("{", "give JSON, for example: "),
        ("{" * 5000, "give JSON, for example: "),
    ],
)
def test_a_payload_that_is_no_json(flows: Flows, folder: Path, payload: str, meant: str) -> None:
    ran = flows("run", "local", "echo.py", "--payload", payload)

    assert (2, True) == (ran.code, f"  next: {meant}" in ran.err)


@pytest.mark.parametrize(
    ("rest", "meant"),
    [
        ("flow.connect(take, give)", "take is not in the flow yet; give what flow.add(take)"),
        ("@trigger\nasync def t(x: int) -> int: ...", '@trigger(summary="…")'),
        ("@node\nasync def t(x: int) -> int: ...", '@node(summary="…")'),
        ("Flow('No Snake', '1.0.0')", "next: look at the line that it names"),
        ("@node(effect='pure')\nasync def t(x: int) -> int: ...", "did you mean 'effects'?"),
        ("@node(effects='puer')\nasync def t(x: int) -> int: ...", "did you mean 'pure'?"),
        ("@node(effects='moon')\nasync def t(x: int) -> int: ...", "words that the message lists"),
        ("@node()\ndef later(x: int) -> int: ...", "write: async def later(…)"),
    ],
)
@pytest.mark.parametrize("command", [("graph", "check"), ("run", "local")])
def test_a_line_that_builds_no_flow(
    flows: Flows, folder: Path, rest: str, meant: str, command: tuple[str, ...]
) -> None:
    (folder / "begun.py").write_text(BEGUN + rest + "\n")

    ran = flows(*command, "begun.py:flow")
    told = " ".join((ran.out + ran.err).split())

    assert (True, True) == ("begun.py:" in told, meant in told)


@pytest.mark.parametrize("command", [("run", "local"), ("entrypoints", "check")])
def test_a_flow_that_nothing_goes_into(
    flows: Flows, folder: Path, command: tuple[str, ...]
) -> None:
    (folder / "begun.py").write_text(BEGUN + "flow.connect(flow.add(give), flow.add(give, 'b'))\n")

    assert "next: begin it with a trigger: " in flows(*command, "begun.py").err


def test_a_command_that_adds_bindings_can_be_typed(flows: Flows, folder: Path) -> None:
    (folder / "unbound.py").write_text(UNBOUND.replace("http::read", "kv::write"))

    ran = flows("run", "local", "unbound.py", "--payload", '"x"')

    assert ran.err.endswith("  next: add --bind kv=memory\n")


def test_a_provider_that_fails_is_told_with_the_line_that_called_it(
    flows: Flows, folder: Path
) -> None:
    (folder / "unbound.py").write_text(UNBOUND)
    bound = ("--bind", "kv=memory", "--bind", "http=httpx2")

    ran = flows("run", "local", "unbound.py", "--payload", '"http://127.0.0.1:1"', *bound)

    assert (1, True) == (ran.code, "(unbound.py:14) [FLOW_NODE_FAILED]" in ran.err)


def test_a_picture_of_an_unknown_kind_needs_its_format(flows: Flows, folder: Path) -> None:
    refused = flows("graph", "show", "echo.py", "--out", "flow.pdf")
    named = flows("graph", "show", "echo.py", "--out", "flow.pdf", "--format", "svg")
    plain = flows("graph", "show", "echo.py", "--out", "flow")

    assert (2, 0, 0) == (refused.code, named.code, plain.code)
    assert "say --format too" in refused.err.replace("\n", " ")
    assert (folder / "flow.pdf").read_text().startswith("<svg")


def test_an_answer_that_comes_twice_is_told_so(flows: Flows, folder: Path) -> None:
    (folder / "twice.py").write_text(TWICE)
    halted = flows("run", "local", "twice.py", "--payload", "1").json["checkpoint_id"]
    assert 1 == flows("resume", "run", halted, "twice.py", "--approve").code

    again = flows("resume", "run", halted, "twice.py", "--approve")
    shown = flows("resume", "show", halted)

    assert 2 == again.code
    assert "was answered before: leave --approve and --deny out" in again.err.replace("\n", " ")
    assert "waits:      ask (approval), answered\n" in shown.out


TWICE = """
from conductor_flows import Decision, Flow, approval, node, trigger


@trigger(summary="Take")
async def take(x: int) -> int:
    return x


@node(summary="Fail")
async def fail(decision: Decision) -> int:
    raise ValueError("broken")


flow = Flow("twice", "1.0.0", durability="strong")
asked = flow.add(approval("ask", int))
flow.connect(flow.add(take), asked)
flow.connect(asked, flow.add(fail))
"""


def test_the_id_and_the_flow_in_the_wrong_order(flows: Flows, folder: Path) -> None:
    assert (folder / "waits.py").is_file()
    flows("run", "local", "waits.py:asks", "--payload", '{"amount": 1}')

    ran = flows("resume", "run", "waits.py:asks", "cp-1", "--approve")

    assert (3, True) == (ran.code, "flows resume run ID SPEC" in ran.err)


def test_a_run_that_is_held_says_for_how_long(flows: Flows, folder: Path) -> None:
    halted = flows("run", "local", "waits.py:asks", "--payload", '{"amount": 1}').json
    asyncio.run(_hold(folder / ".flow" / "checkpoints", halted["checkpoint_id"]))

    ran = flows("resume", "run", halted["checkpoint_id"], "waits.py:asks", "--approve")

    assert 6 == ran.code
    assert re.search(r"in that case try again in \d\d s\n", ran.err)


async def _hold(place: Path, checkpoint_id: str) -> None:
    durability = in_folder(place)
    assert durability.store is not None
    await durability.store.lease(checkpoint_id, 60.0)
    await durability.close()


def test_a_name_for_a_new_flow_is_offered(flows: Flows) -> None:
    assert "for example: hello_world\n" in flows("new", "Hello-World").err
    assert "for example: nightly_report\n" in flows("new", "9").err
