"""The embedded conductor in the foreground, its directory and its client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from conductor_sdk.errors import Exit
from conductor_sdk.token import parse_enrollment_token
from conductor_server.activity import Activity, EventRef
from conductor_server.dev_client import DevClient
from conductor_server.dev_directory import DevDirectory, Running
from conductor_server.dev_run import DevOptions, run_dev
from conductor_server.display import lines
from conductor_server.errors import (
    BadRequest,
    DevAnswered,
    DevBusy,
    DevNotRunning,
    FaultSyntax,
    NotLoopback,
    PortTaken,
    TokenNotFound,
)

KIND = "conductor:recovery_requested"


class Kept:
    """Histories by path, as if each were a file."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self.open: dict[Path, Any] = {}

    async def __call__(self, path: Path) -> Any:
        return self._opened(path)

    def _opened(self, path: Path) -> Any:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.touch()
            self.open[path] = self._make()
        return self.open[path]


@pytest.fixture
def kept(history: Any) -> Kept:
    return Kept(lambda: type(history)(history._records))


@pytest.fixture
def directory(tmp_path: Path) -> DevDirectory:
    return DevDirectory(tmp_path / "dev")


@asynccontextmanager
async def running(kept: Kept, directory: DevDirectory, **options: Any) -> AsyncIterator[list[str]]:
    said: list[str] = []
    listening = asyncio.Event()

    def out(line: str) -> None:
        said.append(line)
        listening.set()

    given = DevOptions(directory=directory, **options)
    task = asyncio.create_task(run_dev(given, kept, out), name="dev")
    waiting = asyncio.create_task(listening.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    waiting.cancel()
    try:
        yield said
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_run_says_where_it_listens_and_how_to_enroll(
    kept: Any, directory: Any, eventually: Any
) -> None:
    async with running(kept, directory, workspaces=("ws 1",)) as said:
        url = directory.running().url
        await eventually(lambda: len(said) > 1)

        assert said[0].startswith(f"listening on {url}  (history ")
        path = directory.token_file("ws 1")
        assert f"ws 1: conductor enroll {url} --token-file {path}" == said[1]
        assert "ws 1" == parse_enrollment_token(path.read_text()).subject
        assert 0o600 == path.stat().st_mode & 0o777
        assert 0o600 == (directory.path / "operator.token").stat().st_mode & 0o777
        assert 0o600 == (directory.path / "dev.json").stat().st_mode & 0o777
        assert 0o700 == directory.path.stat().st_mode & 0o777

    assert directory.running() is None


async def test_a_second_run_finds_the_port_the_token_and_the_enrolled_again(
    kept: Any, directory: Any, eventually: Any
) -> None:
    async with running(kept, directory, workspaces=("ws-1",)) as said:
        first, token = directory.running(), directory.token_file("ws-1").read_text()
        operator = directory.operator_token()
        await eventually(lambda: len(said) > 1)
    async with running(kept, directory, workspaces=("ws-1",)) as again:
        second = directory.running()
        assert token == directory.token_file("ws-1").read_text()
        assert operator != directory.operator_token()
        await eventually(lambda: len(again) > 1)

    assert (first.url, said[1]) == (second.url, again[1])


async def test_two_runs_on_one_directory_are_refused_naming_the_first(
    kept: Any, directory: Any
) -> None:
    async with running(kept, directory):
        with pytest.raises(DevBusy, match=directory.running().url) as refused:
            await run_dev(DevOptions(directory=directory), kept, print)

    assert Exit.BUSY == refused.value.exit_code


async def test_a_taken_port_that_was_asked_for_is_an_error_and_a_remembered_one_is_not(
    kept: Any, directory: Any, tmp_path: Any
) -> None:
    other = DevDirectory(tmp_path / "other")
    async with running(kept, directory):
        port = directory.running().port
        with pytest.raises(PortTaken):
            await run_dev(DevOptions(directory=other, port=port), kept, print)
        other.announce(Running("http://127.0.0.1:1", port, 1, ""))

        async with running(kept, other):
            assert port != other.running().port


async def test_wrong_options_are_refused_before_anything_runs(kept: Any, directory: Any) -> None:
    for options, error in (
        ({"faults": ("explode",)}, FaultSyntax),
        ({"host": "0.0.0.0"}, NotLoopback),
    ):
        with pytest.raises(error):
            await run_dev(DevOptions(directory=directory, **options), kept, print)


async def test_a_run_prints_a_line_per_event_and_shows_its_faults(
    kept: Any, directory: Any, eventually: Any
) -> None:
    async with running(kept, directory, faults=("drop=0.5",), seed=7) as said:
        client = DevClient(directory, kept)
        body = {"workspace": "ws-1", "kind": KIND, "count": 2}
        await asyncio.to_thread(client.ask, "POST", "/dev/send", body)
        await eventually(lambda: said[-1].endswith(kept.open[directory.history]._down["ws-1"]
                                                   .events[2][0].event_id))  # fmt: skip

    assert "faults: down.drop=0.5 up.drop=0.5  (seed 7)" == said[1]
    assert ["#1", "#2"] == [line.split()[3] for line in said[-2:]]


async def test_a_forgetful_restart_makes_a_new_history(kept: Any, directory: Any) -> None:
    async with running(kept, directory) as said:
        client = DevClient(directory, kept)

        answer = await asyncio.to_thread(
            client.ask, "POST", "/dev/restart", {"forget": True}, live=True
        )

    assert answer["epoch"] not in said[0]


def test_without_a_conductor_the_history_file_answers(kept: Any, directory: Any) -> None:
    client = DevClient(directory, kept)
    body = {"workspace": "ws-1", "kind": KIND, "count": 2}

    sent = client.ask("POST", "/dev/send", body)["events"]

    [view] = client.ask("GET", "/dev/workspaces")["workspaces"]
    assert ([1, 2], 2) == ([event["sequence"] for event in sent], view["last"])


def test_what_needs_a_running_conductor_says_how_to_start_one(kept: Any, directory: Any) -> None:
    with pytest.raises(DevNotRunning) as refused:
        DevClient(directory, kept).ask("GET", "/dev/faults", live=True)

    assert (Exit.UNAVAILABLE, "start it: conductor dev") == (
        refused.value.exit_code, refused.value.hint,
    )  # fmt: skip


def test_refusals_come_back_as_the_errors_that_they_were(kept: Any, directory: Any) -> None:
    client = DevClient(directory, kept)

    with pytest.raises(TokenNotFound, match="No token has this id: tok-x"):
        client.ask("POST", "/dev/tokens/revoke", {"token_id": "tok-x"})
    with pytest.raises(BadRequest, match="is not a whole number"):
        client.ask("GET", "/dev/events", query={"after": "x", "limit": None})
    with pytest.raises(DevAnswered) as refused:
        client.ask("GET", "/dev/nothing")
    assert "NOT_FOUND" == refused.value.data["code"]


def test_a_file_that_a_killed_conductor_left_misleads_nobody(kept: Any, directory: Any) -> None:
    with directory.hold():
        directory.announce(Running("http://127.0.0.1:1", 1, 1, ""))

    assert directory.running() is None
    assert 1 == directory.last_port()
    assert [] == DevClient(directory, kept).ask("GET", "/dev/tokens")["tokens"]


def test_a_damaged_file_is_as_good_as_none(directory: Any) -> None:
    directory.announce(Running("http://127.0.0.1:1", 1, 1, ""))
    (directory.path / "dev.json").write_text("{")

    assert directory.last_port() is None


def test_a_record_is_a_line_for_each_event_and_safe_to_print() -> None:
    pushed = Activity(0, "pushed", "ws-1", events=[EventRef("evt-1", KIND, note="duplicate")])
    sent = Activity(0, "sent", "ws-1", events=[EventRef("evt-2", KIND, 7)])

    assert [
        f"00:00:00.000Z  pushed        ws-1  {KIND} evt-1 (duplicate)",
        f"00:00:00.000Z  sent          ws-1  #7 {KIND} evt-2",
        "00:00:00.000Z  refused       a�[31mb",
    ] == [*lines(pushed), *lines(sent), *lines(Activity(0, "refused", detail="a\x1b[31mb"))]


def test_listed_events_are_json_objects(kept: Any, directory: Any) -> None:
    client = DevClient(directory, kept)
    client.ask("POST", "/dev/send", {"workspace": "ws-1", "kind": KIND})

    assert {"events": []} == json.loads(json.dumps(client.ask("GET", "/dev/events")))
