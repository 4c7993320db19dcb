"""The catalogue of metrics against what is recorded, and against its page."""

from __future__ import annotations

import re
import runpy

import pytest

from conductor_flows.measures.names import NAMES, PREFIX, Name
from house import ROOT

PAGE = ROOT / "docs/reference/flow-metrics.md"
SOURCES = [
    file for folder in ("flows/conductor_flows", "packs/conductor_packs/flows")
    for file in sorted((ROOT / folder).rglob("*.py")) if file.name != "names.py"
]  # fmt: skip
_RECORDED = re.compile(r"\.(count|level|observe)\(\s*\"((?:executor|host|cli)\.\w+)\"")
_KINDS = {"count": "counter", "level": "gauge", "observe": "histogram"}


def recorded() -> set[tuple[str, str]]:
    return {
        (name, _KINDS[how])
        for file in SOURCES
        for how, name in _RECORDED.findall(file.read_text(encoding="utf-8"))
    }


def test_what_is_recorded_is_in_the_catalogue_and_the_other_way_round() -> None:
    assert {(name.name, name.kind) for name in NAMES} == recorded()


def test_names_and_prefix_are_the_documented_ones() -> None:
    assert "latticeflow." == PREFIX
    assert len({name.name for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.name)
def test_a_name_says_its_kind_and_unit(name: Name) -> None:
    assert name.name.endswith("_total") == (name.kind == "counter")
    assert name.unit == next((unit for unit in ("ms", "bytes") if name.name.endswith(unit)), "")
    assert set() == {"run", "run_id", "request_id", "id"} & set(name.labels)


def test_the_page_is_up_to_date() -> None:
    page: str = runpy.run_path(str(ROOT / "docs/flows.py"))["metrics_page"]()
    assert page == PAGE.read_text(encoding="utf-8"), "run: python docs/flows.py"


def test_the_page_has_a_row_for_every_name_and_for_nothing_else() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(name.name for name in NAMES) == sorted(rows)
