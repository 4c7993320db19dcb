"""The registry against its page, the rules and the list of documented codes."""

from __future__ import annotations

import re
import runpy
from collections import Counter

import pytest

from conductor_flows.validate import registry
from conductor_flows.validate.diagnostic import Code, Severity
from conductor_flows.validate.registry import CODES
from house import ROOT

PAGE = ROOT / "docs/reference/flow-codes.md"
RULES = sorted((ROOT / "flows/conductor_flows/validate/rules").glob("*.py"))
_DOCUMENTED = """
DAG001 DAG002 DAG003 DAG004 DAG005 DAG006 DAG101 DAG102 DAG103 DAG104 DAG200 DAG201 DAG202 DAG203
DAG204 DAG205 DAG206 DAG207 DAG300 DAG301 DAG320 DAG330 DAG331 DAG340 DAG341 DAG350 DAG-CKPT-001
DAG-CKPT-002 DAG-CKPT-003 DAG-CKPT-004 DAG-CKPT-005 DAG-CKPT-006 DAG-CKPT-007 DAG-CKPT-008
DAG-CKPT-009 EFFECT201 DET301 DET302 CTRL001 CTRL101 CTRL102 CTRL110 CTRL111 CTRL112 CTRL120
CTRL121 CTRL122 CTRL130 CTRL131 CTRL132 CTRL901 IDEM020 IDEM025 IDEM099 CACHE001 CACHE002 RETRY010
RETRY011 EXACT001 EXACT002 EXACT003 EXACT005 SPILL001 SPILL002 TIME015 RUN030 RUN040 RUN050
WFLOW010 DATA101 EGRESS101 SECR201 SAGA201 CAP101
"""
_LATER = """
SAGA205 CAPV101 COST101 SLO101 METRIC201 WEB201 EFFECT202 TRIG001 TRIG002 TRIG003 TRIG004 TYPE001
CAP110 HTTP002 HTTP003
"""
DOCUMENTED, LATER = _DOCUMENTED.split(), _LATER.split()
NOT_ERRORS = {
    "DAG350": Severity.WARN, "CTRL001": Severity.WARN, "CACHE001": Severity.WARN,
    "RUN030": Severity.WARN, "RUN040": Severity.INFO, "IDEM099": Severity.FATAL,
}  # fmt: skip
_CODE = re.compile(r"\"((?:DAG|EFFECT|DET|CTRL|IDEM|CACHE|RETRY|EXACT|SPILL|TIME|RUN|WFLOW|DATA|"
                   r"EGRESS|SECR|SAGA|CAP|CAPV|COST|SLO|METRIC|WEB|TRIG|TYPE|HTTP)"
                   r"(?:-CKPT-)?\d{3})\"")  # fmt: skip


def test_all_74_documented_codes_and_the_later_ones_are_registered() -> None:
    assert 74 == len(DOCUMENTED)
    assert sorted([*DOCUMENTED, *LATER]) == sorted(CODES)


def test_no_code_is_registered_twice() -> None:
    counts = Counter(code.code for table in registry._TABLES for code in table)

    assert [] == [code for code, count in counts.items() if count > 1]


def test_documented_codes_have_the_documented_severity() -> None:
    expected = dict.fromkeys(DOCUMENTED, Severity.ERROR) | NOT_ERRORS

    assert expected == {code: CODES[code].severity for code in DOCUMENTED}


def test_the_rules_say_what_the_registry_says_they_say() -> None:
    said = {code for file in RULES for code in _CODE.findall(file.read_text(encoding="utf-8"))}

    assert {code for code, entry in CODES.items() if entry.status == "validator"} == said


def test_what_a_run_is_said_to_say_is_said_somewhere() -> None:
    files = sorted((ROOT / "flows/conductor_flows").rglob("*.py"))
    said = {
        code
        for file in files
        if "validate" not in file.parts
        for code in _CODE.findall(file.read_text(encoding="utf-8"))
    }

    assert [] == [
        code for code, entry in CODES.items() if entry.status == "runtime" and code not in said
    ]
    reserved = {code for code, entry in CODES.items() if entry.status == "reserved"}
    assert set() == reserved & said


@pytest.mark.parametrize("entry", CODES.values(), ids=list(CODES))
def test_an_entry_is_a_line_each_and_says_what_to_do(entry: Code) -> None:
    assert [] == [text for text in (entry.summary, entry.hint) if "\n" in text or len(text) > 90]
    assert not entry.summary.endswith(".")
    assert entry.when.endswith(".")
    assert entry.example


def test_the_page_is_up_to_date() -> None:
    page: str = runpy.run_path(str(ROOT / "docs/flows.py"))["page"]()

    assert page == PAGE.read_text(encoding="utf-8"), "run: python docs/flows.py"


def test_the_page_has_a_section_for_every_code_and_for_nothing_else() -> None:
    headings = re.findall(r"^### (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(CODES) == sorted(headings)


def test_a_section_says_when_with_what_and_what_then() -> None:
    sections = re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    parts = ("**When.**", "**Example.**", "**Fix.**")

    assert [] == [text.split("\n")[0] for text in sections
                  if not all(part in text for part in parts)]  # fmt: skip
