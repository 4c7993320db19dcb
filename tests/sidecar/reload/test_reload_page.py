"""docs/how-to/reload.md, executed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor_sidecar.config import describe_settings
from conductor_sidecar.reload.live import LIVE_SECTIONS, LIVE_SETTINGS
from doc_runner import Reader, blocks
from house import ROOT

PAGE = ROOT / "docs/how-to/reload.md"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    place = tmp_path / "place"
    place.mkdir()
    with Reader(place) as someone:
        yield someone


def test_settings_are_taken_over_as_the_page_says(reader: Reader) -> None:
    reader.bindings = {"PID": lambda: str(reader.running[0].pid)}
    for block in blocks(PAGE):
        reader.follow(block)
        if "kill -HUP" in block.body:  # nobody waits for it but whoever writes the file next
            reader.running[0].wait_for(r"reloaded(?:.|\n)*reloaded")

    [sidecar] = reader.running
    assert "CONFIG_INVALID" in sidecar.wait_for("CONFIG_INVALID").string
    assert 0 == sidecar.end()
    assert 1 == reader.type("conductor log tail").count("RELOADED")


def test_the_page_names_every_setting_that_is_live() -> None:
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    named = {
        name for row, how in rows if "restart" not in how for name in re.findall(r"`([\w.]+)`", row)
    }
    known = {described.name for described in describe_settings()}

    assert named >= LIVE_SECTIONS - {"pack"}
    assert {name.partition(".")[2] for name in LIVE_SETTINGS} <= {
        name.rpartition(".")[2] for name in named
    }
    assert known >= LIVE_SETTINGS
