"""The page about a pack's commands, executed in an environment of its own."""

from __future__ import annotations

from pathlib import Path

from doc_runner import Reader, blocks
from house import ROOT
from newcomer import make_environment

PAGE = ROOT / "docs/how-to/pack-commands.md"


def test_a_pack_gets_commands_as_the_page_says(tmp_path: Path) -> None:
    programs = make_environment(tmp_path / "environment")
    place = tmp_path / "place"
    place.mkdir()
    with Reader(place, programs=programs) as reader:
        reader.read(PAGE)
        assert len(reader.typed) == sum(len(block.steps) for block in blocks(PAGE))

        [shown] = [block.body for block in blocks(PAGE) if not block.language]
        reader.type("cd ../elsewhere")
        reader.type("conductor acme-jobs notes 2>&1 || true", shown)
