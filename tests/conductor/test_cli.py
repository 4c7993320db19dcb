"""`conductor dev` and `conductor inbox`, as they are typed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from conductor_sdk.clock import SystemClock
from conductor_sdk.token import parse_enrollment_token
from conductor_server.signals import SIGNALS, SignalFile
from conductor_sidecar.cli.main import cli

KIND = "conductor:recovery_requested"
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(cli, words)

    return invoke


@pytest.fixture
def conductor_dev(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A running `conductor dev --workspace ws-1` in `tmp_path`; its output is a pipe."""
    words = [sys.executable, "-m", "conductor_sidecar", "dev", "--workspace", "ws-1"]
    with subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def heard(process: subprocess.Popen[str], text: str) -> str:
    """Read lines until one has the text; the test's own time limit bounds it."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"{text!r} was never printed")


def test_a_token_goes_into_a_private_file_and_is_listed_and_revoked(
    run: Any, tmp_path: Any
) -> None:
    issued = run("dev", "token", "issue", "ws-1")
    token_id, path = issued.output.split()
    assert "ws-1" == parse_enrollment_token((tmp_path / path).read_text()).subject
    assert 0o600 == (tmp_path / path).stat().st_mode & 0o777

    assert f"{token_id}  revoked\n" == run("dev", "token", "revoke", token_id).output

    [line] = json.loads(run("dev", "token", "list", "--json").output)["tokens"]
    assert (token_id, "revoked") == (line["token_id"], line["state"])
    assert "ws-1" in run("dev", "token", "list").output


def test_a_token_is_printed_only_when_asked_for(run: Any) -> None:
    issued = run("dev", "token", "issue", "ws-1", "--output", "-")

    assert "ws-1" == parse_enrollment_token(issued.output).subject


def test_events_are_sent_into_the_history_without_a_conductor(run: Any) -> None:
    sent = run("dev", "send", KIND, "--to", "ws-1", "--key", "k", "--count", "2", "--json")
    again = run("dev", "send", KIND, "--to", "ws-1", "--key", "k-1")
    resent = run("dev", "send", KIND, "--to", "ws-1", "--key", "k-1", "--again")

    first, second = map(json.loads, sent.output.splitlines())
    [view] = json.loads(run("dev", "workspaces", "--json").output)["workspaces"]
    assert [1, 2, 3] == [first["sequence"], second["sequence"], view["last"]]
    assert f"1  {first['event_id']}\n" == again.output
    assert f"3  {first['event_id']}\n" == resent.output
    assert "ws-1" in run("dev", "workspaces").output
    assert "" == run("dev", "events").output


def test_wrong_words_are_usage_errors(run: Any) -> None:
    results = [
        run("dev", "send", KIND, "--to", "ws-1", "--payload", "[1]"),
        run("dev", "send", KIND),
        run("inbox", "--since", "tomorrow"),
        run("inbox", "--count", "--watch"),
        run("inbox", "--send", KIND, "--payload", "nonsense"),
    ]

    assert [2, 2, 2, 2, 2] == [result.exit_code for result in results]


@pytest.mark.parametrize(
    "words",
    [
        ("fault", "show"),
        ("fault", "set", "drop=1"),
        ("fault", "clear"),
        ("restart",),
        ("events", "--follow"),
    ],
)
def test_what_needs_a_running_conductor_says_so(run: Any, words: Any) -> None:
    result = run("dev", *words)

    assert "DEV_NOT_RUNNING" == getattr(result.exception, "code", None)


def test_a_running_conductor_answers_the_commands_and_prints_a_line_each(
    run: Any, conductor_dev: Any, tmp_path: Any
) -> None:
    heard(conductor_dev, "listening on http://127.0.0.1:")
    heard(conductor_dev, "ws-1: conductor enroll http")

    sent = run("dev", "send", KIND, "--to", "ws-1", "--payload", '{"wu_id":"acme-job-1"}')
    faults = [
        run("dev", "fault", "set", "drop=0.5").output,
        run("dev", "fault", "show").output,
        json.loads(run("dev", "fault", "show", "--json").output)["faults"],
        run("dev", "fault", "clear").output,
    ]
    refused = run("dev", "fault", "set", "explode")
    restarted = run("dev", "restart", "--forget")

    _, event_id = sent.output.split()
    assert event_id in heard(conductor_dev, "sent")
    assert "restarted with history" in restarted.output
    assert "epoch" in heard(conductor_dev, "restarted")
    on = "down.drop=0.5 up.drop=0.5\nseed 0\n"
    assert [on, on, on.split()[:2], "no faults\nseed 0\n"] == faults
    assert "FAULT_SYNTAX" == getattr(refused.exception, "code", None)
    conductor_dev.send_signal(signal.SIGTERM)
    assert "stopped\n" == heard(conductor_dev, "stopped")
    assert 0 == conductor_dev.wait(10)


def test_the_inbox_shows_unread_signals_once(run: Any, tmp_path: Any, made: Any) -> None:
    SignalFile(tmp_path, SystemClock()).append([made(key="1", wu_id="WU-1"), made(key="2")])

    shown = [
        run("inbox", "--count").output,
        run("inbox", "--no-mark", "-q").output.count("\n"),
        run("inbox", "--wu", "WU-1", "--since", "1h").output,
        json.loads(run("inbox", "--count", "--json").output),
        json.loads(run("inbox", "--json").output)["remote_id"],
        run("inbox").output,
        run("inbox", "-q").output,
    ]

    assert "2 unread signal(s)\n" == shown[0]
    assert 2 == shown[1]
    assert "[WU-1]\n  sig-" in shown[2]
    assert "acme-demo:job_completed: wu_id=WU-1" in shown[2]
    assert [{"unread": 1}, made(key="2").event_id, "No signals found\n", ""] == shown[3:]


def test_data_cannot_drive_the_terminal(run: Any, tmp_path: Any) -> None:
    line = {
        "id": "sig-1", "message": "\x1b[31mred", "created_at": "now\x07", "read": False,
        "wu_id": "WU-1\x1b",
    }  # fmt: skip
    (tmp_path / SIGNALS).parent.mkdir(parents=True)
    (tmp_path / SIGNALS).write_bytes(msgspec.json.encode(line) + b"\n")

    assert "\x1b" not in run("inbox").output
    assert "\x07" not in run("inbox", "--no-mark").output


def test_sending_through_the_loopback_needs_a_running_sidecar(run: Any) -> None:
    result = run("inbox", "--send", KIND)

    assert "SIDECAR_UNREACHABLE" == getattr(result.exception, "code", None)


def test_the_kernels_spelling_of_the_inbox_works(run: Any) -> None:
    assert "0 unread signal(s)\n" == run("mem:inbox", "--count").output
