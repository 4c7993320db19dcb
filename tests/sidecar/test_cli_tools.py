"""`conductor tools` and `conductor approvals`, with a daemon and without one, and pack commands."""

from __future__ import annotations

import io
import shlex
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import tool_pack
from conductor_sdk.errors import Exit
from conductor_sidecar.cli import found_commands, tool_calls
from installed import install
from running import Running, environment
from typed import Ran, shown

SUPPORT = str(Path(tool_pack.__file__).parent)
CONFIG = """
[link]
adapter = "memory"
[packs]
disabled = ["acme-demo", "sidekick", "plan"]
[tools]
policies = [{tool = "bench:missing", decision = "allow", reason = "tests"}]
"""


@pytest.fixture
def conductor(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    return partial(shown, capsys)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A workspace, the current directory, beside the pack of tools and its commands."""
    installed = install(
        tmp_path / "installed", packs={"tool_pack": "tool_pack:pack"},
        commands={"bench": "tool_command:command", "odd": "tool_command:broken",
                  "gone": "no_such_module:command", "tools": "tool_command:command"},
    )  # fmt: skip
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.setattr(tool_pack, "bench", tool_pack.Bench())
    work = tmp_path / "work"
    work.mkdir()
    (work / "conductor.toml").write_text(CONFIG)
    monkeypatch.chdir(work)
    found_commands.find_commands.cache_clear()
    yield work
    found_commands.find_commands.cache_clear()


@pytest.fixture(params=["without a daemon", "with a daemon"])
def either(request: pytest.FixtureRequest, place: Path) -> Iterator[str]:
    """Run a test both ways; a daemon is a process of its own."""
    if request.param == "without a daemon":
        yield request.param
        return
    env = environment() | {"PYTHONPATH": f"{place.parent / 'installed'}:{SUPPORT}"}
    command = f"exec {shlex.quote(sys.executable)} -m conductor_sidecar sidecar"
    with Running(command, place, env) as daemon:
        daemon.wait_for('"ready"')
        yield request.param


# --- tools -------------------------------------------------------------------------------------


def test_list_shows_what_can_be_called_in_80_columns(conductor: Any) -> None:
    ran = conductor("tools", "list")
    words = [line.split() for line in ran.out.splitlines()]
    assert ["tool", "permission", "pack"] == words[0][:3]
    assert ["bench:echo", "bench:leave", "bench:missing", "bench:note", "bench:wait"] == [
        line[0] for line in words[1:] if line[0].startswith("bench:")
    ]
    assert "Says it again." in ran.out
    assert "needs approval" in ran.out
    names = [tool["name"] for tool in conductor("tools", "list", "--json").json["tools"]]
    assert "bench:inside" not in names


def test_describe_shows_what_a_tool_takes_and_needs(conductor: Any) -> None:
    ran = conductor("tools", "describe", "bench:note")
    for words in ("tool-pack 1.0.0", "read .bench/**", "none needed", "tool_pack_bench_note",
                  "text   string  yes       What to write."):  # fmt: skip
        assert words in ran.out
    found = conductor("tools", "describe", "bench:leave", "--json").json
    assert ["tool-pack:leave"] == found["required_approvals"]
    missing = conductor("tools", "describe", "bench:none")
    assert (Exit.NOT_FOUND, True) == (missing.code, "next: conductor tools list" in missing.err)


def test_a_call_prints_its_data_or_with_json_the_whole_answer(conductor: Any, either: str) -> None:
    plain = conductor("tools", "call", "bench:echo", "--input", '{"n": 1}')
    whole = conductor("tools", "call", "bench:echo", "--input", '{"n": 1}', "--json")
    assert (Exit.OK, {"n": 1}) == (plain.code, plain.json["given"])
    assert (True, 2) == (whole.json["success"], whole.json["data"]["calls"])
    assert whole.json["metadata"]["call_id"].startswith("call-")


def test_a_key_gives_the_first_answer_again(conductor: Any, either: str) -> None:
    words = ("tools", "call", "bench:echo", "--key", "k", "--json", "--input")
    first, again = conductor(*words, '{"n": 1}'), conductor(*words, '{"n": 1}')
    assert ({"given": {"n": 1}, "calls": 1}, True) == (
        again.json["data"], again.json["metadata"]["replayed"],
    )  # fmt: skip
    assert first.json["data"] == again.json["data"]
    other = conductor(*words, '{"n": 2}')
    assert (Exit.FAILURE, "IDEMPOTENCY_CONFLICT") == (other.code, other.json["error"]["code"])


@pytest.mark.parametrize(
    ("name", "given", "code", "words"),
    [
        ("bench:none", "{}", Exit.NOT_FOUND, "TOOL_NOT_FOUND"),
        ("bench:inside", "{}", Exit.NOT_FOUND, "TOOL_NOT_FOUND"),
        ("bench:missing", "{}", Exit.NOT_FOUND, "no such thing [NOT_FOUND]"),
        ("bench:echo", '{"n": "x"}', Exit.USAGE, "/n: "),
        ("bench:leave", "{}", Exit.FAILURE, "next: conductor approvals grant apr-"),
    ],
)
def test_a_failed_call_says_why_and_exits_with_its_code(
    conductor: Any, name: str, given: str, code: Exit, words: str
) -> None:
    ran = conductor("tools", "call", name, "--input", given)
    assert (code, "") == (ran.code, ran.out)
    assert words in ran.err


@pytest.mark.parametrize("given", ["[1]", "{", "1", '{"a": NaN}', "@nowhere.json"])
def test_an_input_that_is_no_object_is_refused_before_the_call(
    conductor: Any, place: Path, given: str
) -> None:
    ran = conductor("tools", "call", "bench:echo", "--input", given)
    assert ran.code in {Exit.USAGE, Exit.FAILURE}
    assert not (place / ".lumenflow").exists()


def test_an_input_is_read_from_a_file_or_standard_input(
    conductor: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "input.json").write_text('{"n": 7}')
    file = conductor("tools", "call", "bench:echo", "--input", "@input.json")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"n": 8}')))
    piped = conductor("tools", "call", "bench:echo", "--input", "-")
    assert ({"n": 7}, {"n": 8}) == (file.json["given"], piped.json["given"])


def test_a_dry_run_is_asked_of_the_tool_or_refused(conductor: Any, either: str) -> None:
    ran = conductor("tools", "call", "bench:echo", "--dry-run", "--input", '{"n": 1}')
    assert {"n": 1, "dry_run": True} == ran.json["given"]
    refused = conductor("tools", "call", "bench:note", "--dry-run", "--input", '{"text": "x"}')
    assert (Exit.USAGE, True) == (refused.code, "has no preview" in refused.err)
    assert "NOTED" not in conductor("log", "tail").out


def test_a_call_whose_daemon_goes_away_is_reported_and_not_repeated(
    conductor: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lost:
        def __init__(self, *_: object) -> None: ...

        def call_blocking(self, *_: object, **__: object) -> None:
            from conductor_sdk.errors import SidecarUnreachable

            raise SidecarUnreachable("it hung up")

    class Open:
        def close(self) -> None: ...

    monkeypatch.setattr(tool_calls, "RemoteTools", Lost)
    monkeypatch.setattr(tool_calls, "connect_control_socket", lambda _: Open())
    ran = conductor("tools", "call", "bench:echo")
    assert (Exit.FAILURE, True) == (ran.code, "CALL_LOST" in ran.err)
    assert not (place / ".lumenflow").exists()


# --- approvals ---------------------------------------------------------------------------------


def test_leave_is_asked_for_given_and_used_once(conductor: Any, either: str) -> None:
    words = ("tools", "call", "bench:leave", "--input", "{}", "--json")
    asked = conductor(*words)
    request_id = asked.json["error"]["details"]["request_id"]
    assert request_id in conductor("approvals", "list").out
    assert "1 wait for a decision" in conductor("status").out
    preview = conductor("approvals", "grant", request_id, "--dry-run")
    assert preview.out.startswith("would be granted")
    given = conductor("approvals", "grant", request_id, "--reason", "fine", "--json").json
    assert ("granted", "fine", False) == (given["state"], given["reason"], given["dry_run"])
    assert Exit.OK == conductor(*words).code
    assert "APPROVAL_REQUIRED" == conductor(*words).json["error"]["code"]
    assert "used" in conductor("approvals", "show", request_id).out
    assert [request_id] == [
        one["request_id"]
        for one in conductor("approvals", "list", "--state", "used", "--json").json["approvals"]
    ]


def test_a_denial_is_told_to_whoever_asks_again(conductor: Any, either: str) -> None:
    words = ("tools", "call", "bench:leave", "--json")
    request_id = conductor(*words).json["error"]["details"]["request_id"]
    assert conductor("approvals", "deny", request_id, "--reason", "no").out.startswith("denied")
    again = conductor(*words).json["error"]
    assert ("APPROVAL_DENIED", True) == (again["code"], again["message"].endswith("no"))
    twice = conductor("approvals", "grant", request_id)
    assert (Exit.FAILURE, True) == (twice.code, "[APPROVAL_DECIDED]" in twice.err)


def test_an_unknown_request_is_not_found(conductor: Any, either: str) -> None:
    conductor("tools", "call", "bench:echo")
    for verb in ("show", "grant", "deny"):
        ran = conductor("approvals", verb, "apr-none")
        assert (Exit.NOT_FOUND, True) == (ran.code, "[APPROVAL_NOT_FOUND]" in ran.err)
    assert "No approvals are pending." in conductor("approvals", "list").out
    assert "No approvals." in conductor("approvals", "list", "--all").out


def test_approvals_of_a_workspace_without_any_run_are_not_made_up(
    conductor: Any, place: Path
) -> None:
    assert Exit.NOT_FOUND == conductor("approvals", "list").code
    assert not (place / ".lumenflow").exists()


def test_a_provider_that_is_missing_keeps_the_pack_out(conductor: Any, place: Path) -> None:
    (place / "conductor.toml").write_text("[approvals]\nproviders = ['other:*']\n")
    refused = {
        each["name"]: each["problems"] for each in conductor("packs", "--json").json["refused"]
    }
    assert "APPROVAL_PROVIDER_MISSING" == refused["tool_pack"][0]["code"]


# --- commands of packs -------------------------------------------------------------------------


def test_help_shows_the_commands_of_packs_in_their_own_section(conductor: Any) -> None:
    ran = conductor("--help")
    section = ran.out.split("Commands of packs:")[1]
    lines = {line.split()[0]: line for line in section.splitlines() if line.startswith("  ")}
    assert "Do one word" in lines["bench"]
    assert "Cannot be loaded: ModuleNotFoundError." in lines["gone"]
    assert "tools" not in lines


def test_a_packs_command_gets_workspace_configuration_journal_and_tools(
    conductor: Any, place: Path
) -> None:
    with (place / "conductor.toml").open("a") as file:
        file.write("[pack.tool-pack]\ncolour = 'red'\n")
    ran = conductor("bench", "hello")
    assert (Exit.OK, "{'colour': 'red'} (1, True)\n") == (ran.code, ran.out)
    tail = conductor("log", "tail", "--json").out
    assert '"ann"' in tail
    assert '"pack:tool-pack"' not in tail


def test_a_packs_command_may_name_another_journal_inside_only(conductor: Any, place: Path) -> None:
    assert Exit.OK == conductor("bench", "hello", "--db", "mine.db").code
    assert (place / "mine.db").exists()
    (place / "out").symlink_to(place.parent)
    for db in ("../x.db", "/tmp/x.db", "out/x.db", ".lumenflow/state/conductor/sidecar.db",
               ".lumenflow/x.db", "."):  # fmt: skip
        ran = conductor("bench", "hello", "--db", db)
        assert (Exit.BAD_CONFIG, True) == (ran.code, "WORKSPACE_UNSAFE" in ran.err), db
    assert Exit.OK == conductor("bench", "x", "--db", ".lumenflow/state/conductor/journal.db").code


def test_a_broken_command_is_an_error_of_its_own(conductor: Any) -> None:
    for name in ("odd", "gone"):
        ran = conductor(name)
        assert (Exit.FAILURE, True) == (ran.code, "PACK_COMMAND_BROKEN" in ran.err)
