"""The pages about flows, executed: the tutorial and the how-to pages."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from conductor_flows.capabilities.bindings.providers import PROVIDERS
from conductor_flows.capabilities.bindings.spec import ALIASES
from doc_runner import Reader, blocks
from house import ROOT
from own_port import own_port
from page_program import run_page

DOCS = ROOT / "docs"
FLOWS = DOCS / "how-to/flows"


def serving(reader: Reader) -> None:
    """Follow a page that begins to serve."""
    reader.bindings["8080"] = str(own_port())


def test_the_tutorial_works_step_by_step(tmp_path: Path) -> None:
    page = DOCS / "tutorial/first-flow.md"
    with Reader(tmp_path) as reader:
        serving(reader)
        reader.read(page)

        [server] = reader.running
        assert 0 == server.end()
    assert len(reader.typed) == sum(len(block.steps) for block in blocks(page))
    assert "Traceback" not in server.printed
    assert (tmp_path / "orders/orders.svg").read_text("utf-8") == (
        DOCS / "images/first-flow.svg"
    ).read_text("utf-8"), "copy the picture to docs/images/first-flow.svg"


@pytest.mark.parametrize(("name", "told"), [
    ("flows.md", 20), ("flows/bind-capabilities.md", 2), ("flows/serve-over-http.md", 1),
    ("flows/test-a-flow.md", 8),
])  # fmt: skip
async def test_what_a_page_says_comes_out(name: str, told: int) -> None:
    assert told == await run_page(DOCS / "how-to" / name)


def test_halting_works_as_the_page_says(tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        reader.bindings["CHECKPOINT"] = lambda: waiting(reader)
        reader.bindings["TOKEN"] = lambda: json.loads((tmp_path / "halted.json").read_text())[
            "token"
        ]
        reader.read(FLOWS / "halt-and-resume.md")

    assert 9 < len(reader.typed)


def waiting(reader: Reader) -> str:
    """The id of the only checkpoint."""
    [found] = json.loads(reader.type("flows resume list --json"))["checkpoints"]
    return str(found["checkpoint_id"])


def test_binding_works_as_the_page_says(tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        reader.read(FLOWS / "bind-capabilities.md")

    assert 6 < len(reader.typed)


def test_every_provider_and_short_name_is_on_the_page() -> None:
    text = (FLOWS / "bind-capabilities.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+?) \| (`.+?) \|", text, re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    kinds = {
        f"{family}.{provider}"
        for row in rows
        for family in [re.findall(r"`(\w+)`", row[0])[0]]
        for provider in re.findall(r"`(\w+)(?::\w+)?`", row[1])
    }

    assert set(ALIASES) == names
    assert set(PROVIDERS) == kinds


def test_serving_works_as_the_page_says(tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        serving(reader)
        reader.read(FLOWS / "serve-over-http.md")

        [server] = reader.running
        assert 0 == server.end()
    assert "Traceback" not in server.printed
