"""What type checkers say of flows: wrong programs are refused line by line, right ones are not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "typed_programs"
ROOT = Path(__file__).parents[3]
Places = set[tuple[str, int]]


def marked() -> Places:
    """Lines that say of themselves that they are wrong."""
    return {
        (file.name, number)
        for file in PROGRAMS.glob("*.py")
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if line.endswith("# wrong")
    }


@cache
def mypy_says() -> str:
    words = ["-m", "mypy", "--hide-error-context", "--no-error-summary", str(PROGRAMS)]
    ran = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False,
        env={"MYPYPATH": str(PROGRAMS)},
    )  # fmt: skip
    return ran.stdout


def by_mypy() -> Places:
    found = re.findall(r"^\S*?([a-z_]+\.py):(\d+): error:", mypy_says(), re.MULTILINE)
    return {(file, int(line)) for file, line in found}


def by_basedpyright() -> Places:
    tool = Path(sys.executable).parent / "basedpyright"
    settings = PROGRAMS / "pyrightconfig.json"
    ran = subprocess.run(
        [str(tool), "--outputjson", "-p", str(settings), "--pythonpath", sys.executable],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = json.loads(ran.stdout)["generalDiagnostics"]
    return {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1)
        for each in found
        if each["severity"] == "error"
    }


@pytest.mark.parametrize("checker", [by_mypy, by_basedpyright])
def test_a_type_checker_refuses_exactly_the_wrong_lines(checker: Callable[[], Places]) -> None:
    assert marked() == checker()


def test_what_mypy_says_of_a_wrong_connection_is_on_the_page() -> None:
    page = " ".join((ROOT / "docs/how-to/flows.md").read_text(encoding="utf-8").split())
    told = re.findall(r"wrong_connections\.py:17: error: (.*?)  \[", mypy_says())

    assert [True] == [f"`{each}`" in page for each in told]
