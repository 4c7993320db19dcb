"""The how-to page about plans, executed."""

from __future__ import annotations

from pathlib import Path

from doc_runner import Reader
from house import ROOT


def test_plans_work_as_the_page_says(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with Reader(place) as reader:
        reader.read(ROOT / "docs/how-to/plan.md")
    assert (place / "graph.svg").read_text("utf-8").lstrip().startswith("<")
