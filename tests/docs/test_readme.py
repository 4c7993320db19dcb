"""The first page, executed: its commands, its table, its handler, its picture."""

from __future__ import annotations

import json
import re
from types import ModuleType

import pytest

from conductor_sdk import Pack, PackManifest
from conductor_sdk.testing import PackHarness
from doc_runner import Reader, blocks, python_blocks
from house import ROOT
from practice import Practice

PAGE = ROOT / "README.md"
RECOVERY = "conductor:recovery_requested"


def commands_of_the_table() -> list[str]:
    return re.findall(r"^\| [^|]+\| `(conductor [^`]+)` \|$", PAGE.read_text("utf-8"), re.MULTILINE)


def test_the_first_page_works_as_it_says(reader: Reader, practice: Practice) -> None:
    (reader.directory / "token").write_text(practice.token, encoding="utf-8")
    (reader.directory / "token").chmod(0o600)
    event_id = practice.send(RECOVERY, "{}")  # the demo pack rejects it: no wu_id
    reader.bindings = {
        "https://conductor.example": practice.url,
        "KIND": "acme-demo:job_queued",
        "JSON": """'{"job_id": "1"}'""",
        "EVENT_ID": event_id,
    }
    reader.read(PAGE)
    reader.type("conductor dead-letters list", f"...{event_id}...", patient=True)
    for command in commands_of_the_table():
        reader.type(command)

    sidecar, events = reader.running
    assert [0, 0] == [events.end(), sidecar.end()]
    assert "Traceback" not in sidecar.printed + events.printed


def test_the_table_lists_commands() -> None:
    assert len(commands_of_the_table()) > 5


async def test_the_handler_of_the_first_page_runs_once() -> None:
    [block] = [each for each in python_blocks(PAGE) if "writes" not in each.options]
    module = ModuleType("first_page")
    exec(compile(block.body, block.place, "exec"), vars(module))
    pack = Pack(
        PackManifest(
            id="acme-jobs", version="0.1.0", subscribed_event_kinds=[RECOVERY],
            emitted_event_kinds=["acme-jobs:job_recovered"],
            backpressure_policy={"acme-jobs:job_recovered": "queue"},
        ),
        {RECOVERY: module.on_recovery_requested},
    )  # fmt: skip

    async with PackHarness(pack) as harness:
        event = {"kind": RECOVERY, "payload": {"wu_id": "acme-job-1"}}
        first = await harness.deliver(event)
        again = await harness.deliver_again()
        other = await harness.deliver({"kind": RECOVERY, "payload": {"wu_id": "other-1"}})

    assert ["handled", "replayed", "ignored"] == [each.status for each in (first, again, other)]
    assert ["acme-jobs:job_recovered"] == [event.kind for event in harness.pushed]


def test_the_picture_shows_the_tour_of_today(reader: Reader) -> None:
    toured = json.loads(reader.type("conductor demo --json"))
    picture = (ROOT / "docs/images/demo.svg").read_text("utf-8").replace("&#160;", " ")

    for number, step in enumerate(toured["steps"], 1):
        assert f"{number:>2}  {step['step']}" in picture
    assert 9 == len(toured["steps"])
    assert "url(http" not in picture


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_that_is_named_exists(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"[`$] ?make ([a-z]+)", text))

    assert named
    assert set() == named - targets


def test_the_blocks_of_the_first_page_are_executed() -> None:
    assert {"console", "python"} == {block.language for block in blocks(PAGE)}
