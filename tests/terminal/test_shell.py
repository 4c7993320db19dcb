"""How a program of commands begins, fails and ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import click
import pytest

from conductor_sdk.errors import ConductorError, Exit
from conductor_terminal.shell import Found, LazyGroup, completion_script, run


class Broken(ConductorError):
    """It is broken."""

    code = "BROKEN"
    default_hint = "run: tool mend"
    exit_code = Exit.INTEGRITY


def doing(act: Callable[[], Any]) -> click.Command:
    @click.command()
    @click.option("--json", "as_json", is_flag=True)
    def command(as_json: bool) -> Any:
        del as_json
        return act()

    return command


def ended(act: Callable[[], Any], *words: str) -> int:
    group = LazyGroup("tool")
    group.add_command(doing(act), "act")
    group.table = {"act": Found("unused", "unused", "Act.")}
    group.get_command = lambda ctx, name: group.commands.get(name)  # type: ignore[method-assign]  # no module behind it
    with pytest.raises(SystemExit) as ending:
        run("tool", group, ["act", *words])
    return int(ending.value.code or 0)


def fails(error: BaseException) -> Callable[[], Any]:
    def act() -> Any:
        raise error

    return act


def test_a_failure_says_what_happened_and_what_to_type_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert Exit.INTEGRITY == ended(fails(Broken("the \x1bpart")))
    assert "tool: It is broken: the �part [BROKEN]\n  next: tool mend\n" == capsys.readouterr().err


def test_a_program_reads_the_failure_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.INTEGRITY == ended(fails(Broken("x")), "--json")
    captured = capsys.readouterr()
    assert ("", "BROKEN") == (captured.out, json.loads(captured.err)["error"]["code"])


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(28, "No space left on device"), 1, "SYSTEM_REFUSED"),
        (ZeroDivisionError("x" * 9000), 1, "UNEXPECTED"),
        (click.UsageError("no such thing"), 2, "no such thing"),
    ],
)
def test_what_is_not_ours_is_explained_and_cut(
    error: Exception, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code == ended(fails(error))
    err = capsys.readouterr().err
    assert said in err
    assert len(err) < 800


def test_a_wrong_command_line_is_json_where_json_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert 2 == ended(lambda: None, "--json", "--nope")
    error = json.loads(capsys.readouterr().err)["error"]
    assert ("USAGE", "run: tool --help") == (error["code"], error["hint"])


def test_the_traceback_is_there_for_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDUCTOR_TRACEBACK", "1")
    group = LazyGroup("tool", commands={"act": doing(fails(ZeroDivisionError()))})
    monkeypatch.setattr(group, "get_command", lambda _, name: group.commands.get(name))
    with pytest.raises(ZeroDivisionError):
        run("tool", group, ["act"])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.exceptions.Abort()])
def test_an_interruption_has_its_own_code(error: BaseException) -> None:
    assert 130 == ended(fails(error))


def test_a_reader_that_goes_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conductor_terminal.printing.hush", lambda: None)
    assert 0 == ended(fails(BrokenPipeError()))


def test_what_a_command_returns_is_the_exit_code() -> None:
    assert 5 == ended(lambda: 5)
    assert 0 == ended(lambda: None)


def test_bytes_that_are_no_text_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == ended(lambda: None, "\udcff")
    assert "argument 2 is not UTF-8" in capsys.readouterr().err


def test_help_and_completion_import_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    group = LazyGroup("tool", table={"late": Found("no_such_module", "late", "Come late.")})
    with pytest.raises(SystemExit):
        run("tool", group, ["--help"])
    assert "late  Come late." in capsys.readouterr().out
    assert "no_such_module" not in sys.modules
    assert "_TOOL_COMPLETE" in completion_script("tool", group, "bash")
    with pytest.raises(click.BadParameter):
        completion_script("tool", group, "tcsh")


def test_a_command_is_imported_when_it_is_used() -> None:
    found = Found("conductor_sidecar.cli.completion", "completion", "Print it.")
    assert "completion" == found.load().name


def test_a_misspelt_command_names_what_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    inner = LazyGroup("deep", commands={"check": doing(lambda: 0)})
    inner.table = {}
    group = LazyGroup(
        "tool", table={"status": Found("a", "a", "A."), "deep": Found("b", "b", "B.")}
    )
    group.get_command = lambda ctx, name: inner if name == "deep" else None  # type: ignore[method-assign]  # no module behind it
    for word, said in (("satus", "Did you mean 'status'?"), ("check", "Did you mean 'deep check'?"),
                       ("zzz", "No such command 'zzz'.")):  # fmt: skip
        with pytest.raises(SystemExit):
            run("tool", group, [word])
        assert said in capsys.readouterr().err
