"""The tutorial, executed: every block of the page, in order, as a newcomer would.

The pack is installed for real, into an environment that is thrown away: the sidecar of the last
step finds it by its entry point. `doc_runner` says what the blocks' info strings mean.
"""

from __future__ import annotations

from pathlib import Path

from doc_runner import Reader, blocks
from house import ROOT
from newcomer import make_environment

PAGE = ROOT / "docs/tutorial/first-pack.md"


def test_the_tutorial_works_step_by_step(tmp_path: Path) -> None:
    programs = make_environment(tmp_path / "environment")
    place = tmp_path / "place"
    place.mkdir()
    with Reader(place, programs=programs) as reader:
        reader.read(PAGE)

        [sidecar] = reader.running
        assert sidecar.end() == 0
    assert len(reader.typed) == sum(len(block.steps) for block in blocks(PAGE))
    assert "Traceback" not in sidecar.printed


def test_the_files_of_the_tutorial_are_what_the_scaffold_makes(tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        reader.type("conductor pack new acme-jobs")
    compared: list[str] = []
    for block in blocks(PAGE):
        made = tmp_path / "acme-jobs" / block.options.get("writes", "")
        if made.suffix == ".py" and made.exists():
            assert made.read_text(encoding="utf-8") == block.body
            compared.append(made.name)
    assert compared == ["emit.py", "handlers.py", "pack.py"]
