"""The how-to page about flows in the sidecar, executed, and its table of settings."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec

from conductor_packs.flows.settings import Settings
from doc_runner import Reader
from house import ROOT

PAGE = ROOT / "docs/how-to/flows-in-the-sidecar.md"


def test_flows_run_in_the_sidecar_as_the_page_says(tmp_path: Path) -> None:
    def port() -> str:
        return reader.running[0].wait_for(r"listening on http://127\.0\.0\.1:(\d+)")[1]

    def token() -> str:
        reader.type("conductor dev events", "1  flows:run_halted  evt-...", patient=True)
        told = reader.type("conductor dev events --json")
        return str(json.loads(told.splitlines()[0])["event"]["payload"]["waits"][0]["token"])

    place = tmp_path / "place"
    place.mkdir()
    with Reader(place) as reader:
        reader.bindings = {"PORT": port, "TOKEN": token}
        reader.read(PAGE)
        conductor, sidecar = reader.running
        assert [0, 0] == [sidecar.end(), conductor.end()]
        assert "Traceback" not in sidecar.printed + conductor.printed


def test_every_setting_is_in_the_table_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE.read_text("utf-8"), re.MULTILINE))
    given = msgspec.to_builtins(Settings())
    told = {
        name: f"{value:g}" if isinstance(value, int | float) else "none"
        for name, value in given.items()
    }
    assert {**told, "checkpoints": "the state folder"} == rows
