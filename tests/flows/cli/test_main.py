from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pytest

from conductor_flows.cli.main import COMMANDS, VERSION
from conductor_flows.cli.main import flows as group

Flows = Callable[..., Any]
HEAVY = ("pydantic", "msgspec", "asyncio", "starlette", "uvicorn", "conductor_flows.dsl",
         "conductor_flows.execute", "conductor_flows.host", "conductor_flows.ir")  # fmt: skip


def commands(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, (*words, name))


@pytest.mark.parametrize("words", [*commands(group)])
def test_every_command_has_help_within_80_columns(flows: Flows, words: tuple[str, ...]) -> None:
    ran = flows(*words, "--help")

    assert 0 == ran.code
    assert ran.out.startswith(f"Usage: {' '.join(('flows', *words))} ")
    assert [] == [line for line in ran.out.splitlines() if len(line) > 80]


def test_examples_of_the_help_are_commands_that_exist(flows: Flows) -> None:
    known = set(commands(group))
    for words in known:
        for line in flows(*words, "--help").out.splitlines():
            example = line.strip().split("|")[-1].split()
            if line.startswith("    flows ") and example[:1] == ["flows"]:
                assert any(tuple(example[1 : len(each) + 1]) == each for each in known - {()}), line


def test_help_loads_no_command() -> None:
    program = (
        "import sys\nfrom conductor_flows.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print(sorted(set(sys.modules) & set({HEAVY})), file=sys.stderr)"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )  # fmt: skip

    assert "[]\n" == ran.stderr
    assert all(name in ran.stdout for name in COMMANDS)


def test_a_run_loads_neither_the_web_nor_prometheus(folder: Path) -> None:
    program = (
        "import sys\nfrom conductor_flows.cli.main import main\n"
        "try:\n    main(['run', 'local', 'echo.py', '--payload', '{\"value\": \"x\"}'])\n"
        "except SystemExit:\n    pass\n"
        "print(sorted({'starlette', 'uvicorn', 'prometheus_client', 'httpx2', 'sqlite3'}"
        " & set(sys.modules)))"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )  # fmt: skip

    assert "[]" == ran.stdout.splitlines()[-1]


def test_the_version_is_the_distributions(flows: Flows) -> None:
    assert version("conductor-sidecar") == VERSION
    assert f"flows, version {VERSION}\n" == flows("--version").out


def test_the_same_commands_hang_under_conductor(folder: Path) -> None:
    def conductor(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "conductor_sidecar.cli.main", *words], capture_output=True,
            text=True, check=False, timeout=60,
        )  # fmt: skip

    checked = conductor("flows", "graph", "check", "echo.py")
    refused = conductor("flows", "graph", "check", "nope.py")

    assert (0, "✓ echo_flow 1.0.0: 2 nodes, 1 edge\n") == (checked.returncode, checked.stdout)
    assert 3 == refused.returncode
    assert "conductor: There is no such flow" in refused.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_for_this_program(flows: Flows, shell: str) -> None:
    ran = flows("completion", shell)

    assert 0 == ran.code
    assert "_FLOWS_COMPLETE" in ran.out


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("flows gr", "plain,graph"),
        ("flows codes CAP1", "plain,CAP101"),
        ("flows run local e", "file,e"),
    ],
)
def test_completion_knows_commands_codes_and_files(words: str, found: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "from conductor_flows.cli.main import main; main()"],
        capture_output=True, text=True, check=True, timeout=60,
        env=os.environ | {
            "_FLOWS_COMPLETE": "bash_complete", "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        },
    )  # fmt: skip

    assert found in ran.stdout.splitlines()


def test_no_colour_in_a_pipe_or_where_it_is_unwanted(flows: Flows, folder: Path) -> None:
    assert "\x1b" not in flows("graph", "check", "echo.py").out
    assert "\x1b" not in flows("codes").out


def test_output_that_is_not_unicode_is_plain(folder: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "conductor_flows.cli.main", "graph", "show", "echo.py"],
        capture_output=True, check=True, timeout=60, env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip

    assert b"*  take" in ran.stdout


def test_an_answer_that_the_terminal_has_no_letters_for_is_still_json(folder: Path) -> None:
    (folder / "far.py").write_text(FAR)
    command = [sys.executable, "-m", "conductor_flows.cli.main", "run", "local", "far.py"]

    ran = subprocess.run(
        command, capture_output=True, check=True, timeout=60,
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
    )  # fmt: skip

    assert "dé → 😀" == json.loads(ran.stdout)
    assert ran.stdout.isascii()


FAR = """
from conductor_flows import Flow, node, trigger


@trigger(summary="Take anything")
async def take(x: None) -> str:
    return "d\u00e9 \u2192 \U0001f600"


@node(summary="Give it on")
async def give(x: str) -> str:
    return x


flow = Flow("far", "1.0.0")
flow.connect(flow.add(take), flow.add(give))
"""


def test_control_characters_of_a_flow_do_not_reach_the_terminal(flows: Flows, folder: Path) -> None:
    document = flows("graph", "show", "echo.py", "--format", "json").json
    document["summary"] = "a\x1b[2Jb"
    document["nodes"][0]["alias"] = "\x1b]0;x\x07"
    (folder / "evil.json").write_text(json.dumps(document))

    for words in (("show", "evil.json"), ("check", "evil.json"), ("check", "evil.json", "--json")):
        ran = flows("graph", *words)
        assert "\x1b" not in ran.out + ran.err
        assert "\x07" not in ran.out + ran.err


def test_a_wrong_command_is_usage(flows: Flows) -> None:
    assert (2, 2, 2) == (flows("nope").code, flows().code, flows("graph").code)
    assert 2 == flows("graph", "check", "\udcff").code


def test_a_new_flow_is_valid_runs_and_passes_its_test(flows: Flows, folder: Path) -> None:
    made = flows("new", "hello_world")

    checked = flows("graph", "check", "hello_world/hello_world.py", "--strict")
    payload = ("--payload", '{"name": "Ada"}')
    ran = flows("run", "local", "hello_world/hello_world.py", *payload)
    tested = subprocess.run(
        [sys.executable, "-c", "import test_hello_world as t; t.test_whoever_asks_is_greeted()"],
        capture_output=True, text=True, check=False, timeout=60, cwd="hello_world",
    )  # fmt: skip

    assert "next: flows run local hello_world/hello_world.py" in made.out
    assert (0, 0, {"text": "Hello, Ada!"}) == (checked.code, ran.code, ran.json)
    assert (0, "") == (tested.returncode, tested.stderr)


def test_a_new_flow_overwrites_nothing_and_needs_a_name(flows: Flows, folder: Path) -> None:
    (folder / "taken").mkdir()
    (folder / "taken/file").write_text("mine")

    assert 1 == flows("new", "taken").code
    assert 1 == flows("new", "echo", "--directory", "echo.py/below").code
    for name in ("json", "class", "Upper", "a-b", "1a", "x" * 61, "../up"):
        assert 2 == flows("new", name).code
    assert ["file"] == [each.name for each in (folder / "taken").iterdir()]
