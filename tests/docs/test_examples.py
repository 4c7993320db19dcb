"""The examples, each followed as its page says, in a copy of its directory."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from doc_runner import Reader
from house import ROOT
from newcomer import make_environment

EXAMPLES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/README.md"))


def test_there_are_examples_and_the_index_lists_them() -> None:
    index = (ROOT / "examples/README.md").read_text("utf-8")

    assert len(EXAMPLES) > 3
    assert [] == [name for name in EXAMPLES if f"({name}/README.md)" not in index]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_works_as_its_page_says(name: str, tmp_path: Path) -> None:
    programs = make_environment(tmp_path / "environment")
    place = tmp_path / name
    shutil.copytree(ROOT / "examples" / name, place)
    with Reader(place, programs=programs) as reader:
        reader.read(ROOT / "examples" / name / "README.md")

        assert reader.typed
        for sidecar in reader.running:
            assert sidecar.end() == 0
            assert "Traceback" not in sidecar.printed


def test_the_pack_among_the_examples_conforms(tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        shutil.copytree(ROOT / "examples/04_partition_keys_and_retries", tmp_path / "shop")
        said = reader.type("conductor pack test shop")

    assert "shop 0.1.0 conforms" in said


def test_the_examples_are_typed(tmp_path: Path) -> None:
    scripts = sorted(str(path) for path in (ROOT / "examples").glob("*/*.py"))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(tmp_path),
         *scripts],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
