"""The reference pages of the pack are what the code gives, and every case has its test."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from conductor_packs.sidekick import codes, reference
from conductor_packs.sidekick.descriptors import DESCRIPTORS

ROOT = Path(__file__).resolve().parents[4]
CASES = ROOT / "docs" / "reference" / "sidekick-cases.md"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sidekick_docs", ROOT / "docs" / "sidekick.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def carried(script: ModuleType) -> Any:
    return script.tests_by_id()


def test_the_reference_page_is_what_the_table_gives() -> None:
    written = (ROOT / "docs" / "reference" / "sidekick.md").read_text(encoding="utf-8")
    assert reference.page() == written, "run: python docs/sidekick.py"


def test_every_tool_field_and_code_is_on_the_page() -> None:
    text = reference.page()
    for tool in DESCRIPTORS:
        section = text.partition(f"### {tool.name}\n")[2].partition("\n### ")[0]
        assert all(f"| `{name}`" in section for name in tool.inputs.model_fields), tool.name
    assert all(f"| `{code}` |" in text for code in codes.CODES)


def test_every_code_that_a_tool_uses_is_explained() -> None:
    named = {value for name, value in vars(codes).items() if name.isupper() and name != "CODES"}
    assert named == set(codes.CODES)


def test_every_case_is_listed_exactly_once(script: ModuleType) -> None:
    listed = Counter(
        re.findall(r"^\| ([A-Z]\d+) \|", CASES.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert Counter(script.ids()) == listed
    assert 135 + 15 + 16 + 24 == len(script.ids())


def test_every_case_has_a_test_or_a_reason_and_stands_where_the_page_says(
    script: ModuleType, carried: Any
) -> None:
    rows = re.findall(r"^\| ([A-Z]\d+) \|.*\| (.*?) ?\|$", CASES.read_text("utf-8"), re.MULTILINE)
    for case, where in rows:
        if case in script.NOT_APPLICABLE:
            continue
        files = set(re.findall(r"`([^`]+)`", where))
        assert files, f"{case} has no test"
        assert files <= {file for file, _ in carried.get(case, [])}, (
            f"run: python docs/sidekick.py ({case})"
        )


def test_the_cases_of_the_tools_are_all_here(script: ModuleType, carried: Any) -> None:
    here = Path(__file__).parent.relative_to(ROOT).as_posix()
    for case in script.ids():
        if case[0] in "MTECRYU":
            assert any(file.startswith(here) for file, _ in carried[case]), case
