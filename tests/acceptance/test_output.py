"""How commands print: pipes, 80 columns, colour, JSON, exit codes, Ctrl-C, hostile data."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Iterator

import pytest

from real_world import CONDUCTOR, QUEUED, RECOVERY, Conductor, Sidecar, World

EVIL = "\x1b[31m \x9b31m \x07 \x7f \u202e \u2028 \n \r end"
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Scene:
    """A conductor and a busy sidecar, with something to show everywhere."""

    def __init__(self, world: World) -> None:
        world.with_packs({"rough": "rough_pack:pack"})
        self.world = world
        self.conductor: Conductor = world.conductor()
        self.sidecar: Sidecar = world.loopback("one", "--set", "dispatch.max_attempts=1")
        self.name = str(self.sidecar.workspace)
        self.empty = world.directory / "empty"
        self.empty.mkdir()
        self.letter = self.sidecar.send("rough:act", {"do": "raise", "lane": "a", "evil": EVIL})
        self.sidecar.send("rough:typed", {"do": 7})
        self.sidecar.send(RECOVERY, {"wu_id": "acme-job-1"})
        receipts = self.sidecar.push(
            {"kind": QUEUED, "payload": {"evil": EVIL}},
            {"kind": QUEUED, "payload": {}, "event_id": "evil \u202e\u2028 id"},
        )
        self.pushed = str(receipts[0]["event_id"])
        self.sidecar.until(QUEUED, "outbound", delivered=2)
        self.sidecar.until("rough:act", dead_lettered=1)
        self.sidecar.until("rough:typed", dead_lettered=1)

    def words(self, line: str) -> list[str]:
        """A command line with its names filled in."""
        names = {"WS": self.name, "LETTER": self.letter, "PUSHED": self.pushed,
                 "DEV": str(self.conductor.home), "EMPTY": str(self.empty)}  # fmt: skip
        return [names.get(word, word) for word in line.split()]


@pytest.fixture(scope="module")
def scene(shared: World) -> Iterator[Scene]:
    scene = Scene(shared)
    yield scene
    assert "\x1b" not in scene.sidecar.running.printed
    assert "\u202e" not in scene.sidecar.running.printed


SHOWING = [
    "status -w WS", "explain LETTER -w WS", "explain PUSHED -w WS",
    "dead-letters list -w WS", "dead-letters redrive --all --dry-run -w WS",
    "packs -w WS", "tools list -w WS", "doctor -w WS", "log verify -w WS",
    "dev --directory DEV workspaces", "dev --directory DEV token list",
]  # fmt: skip
WIDE = ["config show -w WS", "config show --defaults", "log tail -w WS",
        "dead-letters show LETTER -w WS", "inbox -w WS --no-mark"]  # fmt: skip
"""These show values of any length."""
JSON = [
    "status -w WS", "explain LETTER -w WS", "dead-letters list -w WS",
    "dead-letters show LETTER -w WS", "dead-letters redrive --all --dry-run -w WS", "packs -w WS",
    "tools list -w WS", "doctor -w WS", "config show -w WS", "log verify -w WS",
    "pack validate acme-demo", "pack test acme-demo", "dev --directory DEV workspaces",
    "dev --directory DEV token list", "dev --directory DEV fault show", "inbox -w WS --count",
]  # fmt: skip


@pytest.mark.parametrize("line", SHOWING)
def test_in_a_pipe_everything_fits_80_columns_without_colour(scene: Scene, line: str) -> None:
    done = scene.world.command(*scene.words(line))

    assert (done.code, done.err) == (0, "")
    assert done.out
    assert [] == UNSAFE.findall(done.out)
    long = [row for row in done.out.splitlines() if len(row) > 80 and str(scene.name) not in row]
    assert [] == long


@pytest.mark.parametrize("line", WIDE)
def test_long_values_are_shown_without_control_characters(scene: Scene, line: str) -> None:
    done = scene.world.command(*scene.words(line))

    assert (done.code, done.err) == (0, "")
    assert [] == UNSAFE.findall(done.out)


@pytest.mark.parametrize("line", JSON)
def test_json_can_be_parsed_and_is_safe_on_a_terminal(scene: Scene, line: str) -> None:
    done = scene.world.command(*scene.words(line), "--json")

    assert (done.code, done.err) == (0, "")
    assert isinstance(done.json, dict)
    assert [] == UNSAFE.findall(done.out)


def test_data_survives_the_escaping(scene: Scene) -> None:
    words = scene.words("dead-letters show LETTER -w WS --json")
    letter = scene.world.command(*words).json

    assert letter["event"]["payload"]["evil"] == EVIL


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("nonsense", 2), ("status --nonsense", 2), ("push -w WS", 2),
        ("push acme-demo:job_queued --payload [] -w WS", 2), ("push acme-demo:nope -w WS", 2),
        ("dead-letters list --limit 99999999999999999999 -w WS", 2),
        ("dead-letters list --limit -1 -w WS", 2), ("dead-letters redrive -w WS", 2),
        ("status -w /nonexistent", 3), ("status -w EMPTY", 3), ("explain nope -w WS", 3),
        ("dead-letters show nope -w WS", 3), ("dead-letters drop nope -w WS", 3),
        ("pack validate nope", 3), ("sidecar --adapter memory -w WS", 6),
        ("enroll http://127.0.0.1:9 --token-file nope -w WS", 77),
        ("sidecar --set nonsense=1 -w WS", 78), ("config show --config /nonexistent", 78),
        ("inbox --send nonsense:kind -w EMPTY", 69), ("events -w EMPTY", 69),
    ],
)  # fmt: skip
def test_exit_codes_are_the_documented_ones_and_errors_are_one_answer(
    scene: Scene, line: str, code: int
) -> None:
    words = scene.words(line)
    plain = scene.world.command(*words)

    assert plain.code == code, plain.err
    assert plain.out == ""
    assert "Traceback" not in plain.err
    if words[0] != "sidecar":
        as_json = scene.world.command(*words, "--json")
        assert as_json.code == code
        assert as_json.error["code"].isupper()
        assert as_json.error["message"]


@pytest.mark.parametrize(
    "line", ["config show --defaults", "status -w WS", "packs", "log tail -w WS --json",
             "dead-letters show LETTER -w WS", "config show --json"],
)  # fmt: skip
def test_a_reader_that_goes_away_is_not_an_error(scene: Scene, line: str) -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [CONDUCTOR, *scene.words(line)], stdout=writing, stderr=subprocess.PIPE,
        env=scene.world.env, cwd=scene.world.directory,
    )  # fmt: skip
    os.close(writing)
    os.close(reading)  # as `| head` does, only sooner
    _, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (0, b"")


@pytest.mark.parametrize(
    ("line", "begun"),
    [
        ("status --watch -w WS", "accepted = "), ("events -w WS", ""), ("log tail -f -w WS", ""),
        ("inbox --watch -w WS --no-mark", ""), ("dev --directory DEV events --follow", ""),
    ],
)  # fmt: skip
def test_ctrl_c_ends_a_watching_command_quietly(scene: Scene, line: str, begun: str) -> None:
    running = scene.world.start(*scene.words(line))
    if begun:
        running.wait_for(begun)
    code = running.end(signal.SIGINT)

    assert code in {0, 130, -signal.SIGINT}  # the last: before it had begun
    if begun:
        assert code == 0
    assert "Traceback" not in running.printed or code == -signal.SIGINT


def on_terminal(world: World, *words: str, **env: str) -> str:
    """Type a command on a terminal of its own; returns what it shows."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [CONDUCTOR, *words], stdout=slave, stderr=slave, stdin=slave, cwd=world.directory,
        env={**world.env, "TERM": "xterm", **env},
    )  # fmt: skip
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 65536):
            shown += chunk
    except OSError:  # the terminal closes with its last process
        process.wait(30)
    finally:
        os.close(master)
    return shown.decode()


def test_a_terminal_gets_colour_unless_it_asks_for_none(scene: Scene) -> None:
    words = scene.words("dead-letters list -w WS")

    assert "\x1b[1m" in on_terminal(scene.world, *words)
    assert "\x1b" not in on_terminal(scene.world, *words, NO_COLOR="1")


def test_the_live_tail_is_safe_on_a_terminal(scene: Scene) -> None:
    tail = scene.world.start("events", "--count", "2", "-w", scene.name)
    over = threading.Event()

    def push() -> None:
        while not over.wait(0.05):
            scene.sidecar.push({"kind": QUEUED, "payload": {}, "event_id": "tail \u202e id"})

    pushing = threading.Thread(target=push)
    pushing.start()
    try:
        assert tail.wait() == 0
    finally:
        over.set()
        pushing.join()
    assert [] == UNSAFE.findall(tail.printed)


def test_bytes_that_are_no_text_are_a_usage_error(scene: Scene) -> None:
    bad = os.fsdecode(b"\xff\xfe")
    for words in (("explain", bad), ("push", QUEUED, "--key", bad), ("dead-letters", "show", bad)):
        done = scene.world.command(*words, "-w", scene.name)

        assert done.code == 2
        assert "not UTF-8" in done.err


def test_an_unexpected_failure_is_one_line_and_its_place_can_be_had(world: World) -> None:
    state = world.directory / ".lumenflow/state/conductor"
    state.mkdir(parents=True, mode=0o700)
    (state / "journal.db").mkdir()
    done = world.command("log", "tail")

    assert done.code != 0
    assert "Traceback" not in done.err
    assert len(done.err.splitlines()) == 2
