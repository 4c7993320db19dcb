"""docs/reference/tools-http.md: what it shows is typed, what it lists is what the code has."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from conductor_sidecar.http.answers import STATUS
from doc_runner import Reader, blocks
from house import ROOT
from own_port import own_port

PAGE = ROOT / "docs/reference/tools-http.md"
CODE = ROOT / "sidecar/conductor_sidecar/http"
PORT = "7433"


def test_the_page_answers_as_it_says(reader: Reader) -> None:
    reader.bindings[PORT] = str(own_port())
    for block in blocks(PAGE):
        # Without curl only the sidecar is started; other tests make the same requests by hand.
        if "curl " not in block.body or shutil.which("curl"):
            reader.follow(block)


def codes_of_the_page() -> dict[str, set[str]]:
    """Codes by status, from the table of answers."""
    rows = re.findall(r"^\| (\d{3}) \| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return {status: set(re.findall(r"`([A-Z]+_?[A-Z_]*)`", text)) for status, text in rows}


def test_the_page_has_every_code_of_the_tool_host_at_its_status() -> None:
    page = codes_of_the_page()

    assert {} == {code: status for code, status in STATUS.items() if code not in page[str(status)]}


def test_the_page_has_every_refusal_of_the_surface_at_its_status() -> None:
    source = "\n".join(path.read_text("utf-8") for path in sorted(Path(CODE).glob("*.py")))
    found = re.findall(r'(?:Refusal|_refuse)\(\s*(\d{3}), "([A-Z_]+)"', source)
    page = codes_of_the_page()

    assert len(found) > 12
    assert [] == [(status, code) for status, code in found if code not in page[status]]


def test_every_code_of_the_page_is_one_of_the_code() -> None:
    source = "\n".join(path.read_text("utf-8") for path in sorted(Path(CODE).glob("*.py")))
    listed = set().union(*codes_of_the_page().values())

    assert set() == {code for code in listed if f'"{code}"' not in source}


def test_every_block_of_the_page_is_one_that_is_run() -> None:
    assert {"toml", "console", ""} == {block.language for block in blocks(PAGE)}
