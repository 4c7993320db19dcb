"""The how-to page on adapters, executed as a newcomer would: files, suites, entry point."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-an-adapter.md"


def blocks(language: str) -> list[str]:
    parts = PAGE.read_text(encoding="utf-8").split(f"```{language}\n")[1:]
    return [part.split("\n```")[0] + "\n" for part in parts]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    adapter, suite = blocks("python")
    (tmp_path / "acme_unix.py").write_text(adapter, encoding="utf-8")
    (tmp_path / "test_acme_unix.py").write_text(suite, encoding="utf-8")
    return tmp_path


def test_the_adapter_of_the_page_passes_the_contract_suites(project: Path) -> None:
    (command,) = blocks("console")
    program, *arguments = command.removeprefix("$ ").split()
    assert program == "pytest"
    finished = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-W",
            "error::ResourceWarning",
            "-p",
            "no:cacheprovider",
            *arguments,
        ],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "21 passed" in finished.stdout


def test_the_entry_point_of_the_page_gives_the_adapter(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (toml,) = blocks("toml")
    ((group, entries),) = tomllib.loads(toml)["project"]["entry-points"].items()
    info = project / "acme_unix-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-unix\nVersion: 1.0\n")
    lines = [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(project)
    importlib.invalidate_caches()
    (distribution,) = distributions(path=[str(project)])
    (entry,) = distribution.entry_points
    assert entry.group == "conductor.adapters"
    assert entry.load().schemes == ("unix",)


def test_the_built_in_adapters_are_registered_the_same_way() -> None:
    text = (PAGE.parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    entries = tomllib.loads(text)["project"]["entry-points"]["conductor.adapters"]
    found = {}
    for name, value in entries.items():
        module, _, attribute = value.partition(":")
        found[name] = getattr(importlib.import_module(module), attribute)
    assert {name: each.name for name, each in found.items()} == {name: name for name in entries}
    assert found["websocket"].schemes == ("ws", "wss")
    assert found["memory"].schemes == ("memory",)
