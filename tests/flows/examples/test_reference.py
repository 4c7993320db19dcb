"""The page about documents: as generated, with every key, and none that is gone."""

from __future__ import annotations

import runpy
import tomllib
from typing import Any

import msgspec
import pytest

from conductor_flows import Flow
from conductor_flows.ir import model, rich
from conductor_flows.ir.terms import SurfaceKind
from house import ROOT

REFERENCE = ROOT / "docs/reference"
GENERATED: dict[str, str] = runpy.run_path(str(ROOT / "docs/flows.py"))["pages"]()
WORDS: dict[str, Any] = tomllib.loads((ROOT / "docs/flow_ir.toml").read_text(encoding="utf-8"))
PAGE = GENERATED["flow-ir.md"]
RECORDS = {
    each.__name__: each
    for module in (model, rich)
    for each in vars(module).values()
    if isinstance(each, type) and issubclass(each, msgspec.Struct) and each is not msgspec.Struct
}


@pytest.mark.parametrize("name", sorted(GENERATED))
def test_a_page_is_up_to_date(name: str) -> None:
    assert GENERATED[name] == (REFERENCE / name).read_text("utf-8"), "run: python docs/flows.py"


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_a_record_has_a_row_for_each_key(name: str) -> None:
    section = PAGE.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
    rows = [row.split("`")[1] for row in section.splitlines() if row.startswith("| `")]

    assert [field.encode_name for field in msgspec.structs.fields(RECORDS[name])] == rows


def test_there_are_no_words_for_keys_that_are_gone() -> None:
    told = {
        (record, key)
        for part in (WORDS, WORDS["rich"])
        for record, keys in part.items()
        if record not in {"rich", "surfaces"}
        for key in keys
    }
    there = {
        (name, field.name)
        for name, kind in RECORDS.items()
        for field in msgspec.structs.fields(kind)
    }

    assert set() == told - there


def test_every_surface_is_told_with_the_method_that_makes_it() -> None:
    surfaces = WORDS["surfaces"]

    assert {str(kind) for kind in SurfaceKind} == set(surfaces)
    assert [] == [kind for kind, told in surfaces.items() if not hasattr(Flow, told["method"])]
    for kind in surfaces:
        assert f"\n### {kind}\n" in PAGE
