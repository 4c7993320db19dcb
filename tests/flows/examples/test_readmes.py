"""The pages of the example flows, each followed as it says, in a copy of its folder."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from doc_runner import Reader
from flow_examples import FOLDER, NAMES, folder


@pytest.mark.parametrize("name", NAMES)
def test_an_example_works_as_its_page_says(name: str, tmp_path: Path) -> None:
    place = tmp_path / name
    shutil.copytree(folder(name), place)
    with Reader(place) as reader:
        reader.read(folder(name) / "README.md")

    assert reader.typed


def test_the_page_of_all_of_them_works_and_lists_them(tmp_path: Path) -> None:
    place = tmp_path / "flows"
    shutil.copytree(FOLDER, place)
    with Reader(place) as reader:
        reader.read(FOLDER / "README.md")

    listed = re.findall(r"\((\w+)/README\.md\)", (FOLDER / "README.md").read_text("utf-8"))
    assert NAMES == sorted(listed)


def test_the_page_of_the_etl_counts_right() -> None:
    text = (folder("etl") / "README.md").read_text("utf-8")
    log = [path.read_text("utf-8").splitlines() for path in (folder("etl") / "log").iterdir()]
    lines = [line for each in log for line in each]

    assert f"{len(lines):,} lines in seven files" in text
    assert 7 == len(log)
    assert f"{len(lines) - len(set(lines))} came twice" in text
