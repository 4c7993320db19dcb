"""The reference pages that people write, held against the code and executed where they run."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from conductor_protocol.messages import Limits
from conductor_sdk.client import ask
from conductor_sdk.workspace import resolve_workspace
from doc_runner import Reader, blocks
from house import ROOT

REFERENCE = ROOT / "docs/reference"
CONTROL_PLANE = ROOT / "conductor/conductor_server/control_plane.py"
SURFACE = ROOT / "sidecar/conductor_sidecar/http/surface.py"


@pytest.fixture
def alone(reader: Reader) -> Reader:
    """A sidecar on the loopback, with something in its journal."""
    reader.start("conductor sidecar --adapter memory")
    reader.type("conductor inbox --send conductor:recovery_requested --payload '{}'")
    reader.type("conductor log tail", "...DEAD_LETTERED...", patient=True)
    return reader


def test_the_journal_answers_as_its_page_says(alone: Reader) -> None:
    def anchor() -> str:
        said = json.loads(alone.type("conductor log verify --json"))
        return f"{said['size']}:{said['head']}"

    alone.bindings["SIZE:HASH"] = anchor
    alone.read(REFERENCE / "journal.md")

    sidecar, follower = alone.running
    assert "DEAD_LETTERED" in follower.wait_for("DEAD_LETTERED").string
    assert [0, 0] == [follower.end(), sidecar.end()]


def test_the_journal_names_the_entries_that_the_code_writes() -> None:
    listed = set(re.findall(r"`([A-Z]+_?[A-Z_]+)`", (REFERENCE / "journal.md").read_text("utf-8")))
    code = "\n".join(
        path.read_text("utf-8")
        for layer in ("sidecar", "state", "sdk", "handlers", "packs")
        for path in (ROOT / layer).rglob("*.py")
    )

    assert set() == {name for name in listed if f'"{name}"' not in code}


def test_the_control_socket_answers_as_its_page_says(alone: Reader) -> None:
    [block] = blocks(REFERENCE / "control-socket.md")
    [(command, _)] = block.steps
    path = re.findall(r"http://localhost(\S+)", command)[0]
    # The page's own command where curl is installed; the same request by hand anywhere.
    if shutil.which("curl"):
        assert json.loads(alone.type(command))["running"] is True
    workspace = resolve_workspace(alone.directory)
    assert json.loads(ask(workspace, "GET", path, timeout_s=10))["running"] is True


def test_the_control_socket_page_lists_every_request() -> None:
    page = (REFERENCE / "control-socket.md").read_text("utf-8")
    listed = re.findall(r"^\| `(?:GET|POST) (/v1/[\w/-]+)", page, re.MULTILINE)
    sources = (SURFACE, *sorted(SURFACE.parents[1].rglob("*routes.py")))
    served = [
        path
        for source in sources
        for path in re.findall(r'Route\(\s*"(/v1/[^"]+)"', source.read_text("utf-8"))
    ]
    plain = {re.sub(r"\{(\w+)[^}]*\}", lambda found: found[1].upper(), path) for path in served}

    assert plain == set(listed)


def test_the_control_plane_page_lists_every_call() -> None:
    page = (REFERENCE / "control-plane.md").read_text("utf-8")
    listed: set[str] = set()
    for cell in re.findall(r"^\| (`(?:GET|POST)[^|]*) \|", page, re.MULTILINE):
        first, *others = re.findall(r"([/…][\w/]+)`", cell)
        listed |= {first, *(first.rpartition("/")[0] + other.strip("…") for other in others)}
    source = CONTROL_PLANE.read_text("utf-8")
    served = set(re.findall(r'Route\("(/api/v1/[^"]+)"', source))
    served |= {
        f"/api/v1/{name}" for name in re.findall(r'^ +"([\w/]+)": self\._', source, re.MULTILINE)
    }

    assert served == listed


def test_the_limits_of_an_event_are_those_of_the_code() -> None:
    page = (REFERENCE / "events.md").read_text("utf-8")
    limits = Limits()

    said = (
        f"One event has at most {limits.max_event_bytes:,} bytes, {limits.max_depth} levels and "
        f"{limits.max_keys:,} keys"
    )
    assert said in page


def test_every_reason_for_a_drop_is_one_that_the_code_gives() -> None:
    table = (REFERENCE / "events.md").read_text("utf-8").partition("| Reason |")[2]
    reasons = re.findall(r"`(\w+)`", "".join(re.findall(r"^\|([^|]+)\|", table, re.MULTILINE)))
    code = "\n".join(path.read_text("utf-8") for path in sources_of_drops())

    assert len(reasons) > 8
    assert [] == [reason for reason in reasons if f'"{reason}"' not in code.lower()]


def sources_of_drops() -> list[Path]:
    layers = ("sdk", "protocol", "state", "handlers", "sidecar")
    return [path for layer in layers for path in (ROOT / layer).rglob("*.py")]
