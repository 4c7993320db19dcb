"""The map of the code, held against the code: files, names and tasks that it speaks of exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from house import ROOT

PAGE = ROOT / "ARCHITECTURE.md"
TEXT = PAGE.read_text("utf-8")
PATH = re.compile(r"`((?:[\w-]+/)+(?:…/)?[\w./*-]*\.(?:py|sql|md|yaml|toml))`")
SYMBOL = re.compile(r"`([A-Z]\w+)\.(\w+)`")
TASK_FILES = [
    *(ROOT / "sidecar/conductor_sidecar").glob("*.py"),
    *(ROOT / "sidecar/conductor_sidecar/delivery").glob("*.py"),
    *(ROOT / "sidecar/conductor_sidecar/health").glob("*.py"),
    *(ROOT / "sidecar/conductor_sidecar/http").glob("*.py"),
    *(ROOT / "sidecar/conductor_sidecar/mcp").glob("*.py"),
    *(ROOT / "sidecar/conductor_sidecar/systemd").glob("*.py"),
    *(ROOT / "handlers/conductor_handlers").glob("*.py"),
    *(ROOT / "handlers/conductor_handlers/toolhost").glob("*.py"),
]
LAYERS = ("sdk", "protocol", "state", "adapters", "handlers", "conductor", "sidecar")
CLASSES = [
    (path, node)
    for layer in LAYERS
    for path in (ROOT / layer).rglob("*.py")
    for node in ast.parse(path.read_text("utf-8")).body
    if isinstance(node, ast.ClassDef)
]


def files(name: str) -> list[Path]:
    """The files that a name with `…` in it stands for."""
    return list(ROOT.glob(name.replace("…", "**")))


def methods(owner: str, name: str) -> list[tuple[Path, ast.AST]]:
    """Every method of that name in a class, or a port, of that name."""
    return [
        (path, each)
        for path, node in CLASSES
        if node.name == owner
        for each in node.body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name == name
    ]


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_every_file_that_is_named_exists(page: str) -> None:
    names = PATH.findall((ROOT / page).read_text("utf-8"))

    assert names
    assert [] == [name for name in names if not files(name)]


def test_every_method_that_is_named_exists() -> None:
    named = SYMBOL.findall(TEXT)

    assert len(named) > 5
    assert [] == [f"{owner}.{name}" for owner, name in named if not methods(owner, name)]


def test_the_acknowledging_line_is_where_the_page_says() -> None:
    [(path, deliver)] = methods("Downlink", "_deliver")
    calls = [
        ast.unparse(node.value.func)
        for node in ast.walk(deliver)
        if isinstance(node, ast.Await) and isinstance(node.value, ast.Call)
    ]

    assert f"`{path.relative_to(ROOT)}`, `Downlink._deliver`: the `link.stored(…)`" in TEXT
    assert ["self._log.receive", "link.stored"] == calls[:2]
    everywhere = "".join(each.read_text("utf-8") for each in TASK_FILES)
    assert 1 == everywhere.count("await link.stored("), "only one line acknowledges"


def test_every_room_is_on_the_map() -> None:
    daemon, _, tests = TEXT.partition("## The rooms of the tests")
    own = {path.parent.name for path in (ROOT / "sidecar/conductor_sidecar").glob("*/__init__.py")}
    rooms = {path.name for path in (ROOT / "tests").iterdir() if any(path.glob("**/*.*"))}
    cells = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", daemon, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}

    assert set() == own - named
    assert set() == rooms - set(re.findall(r"`(\w+)`", tests)) - {"conftest.py", "__pycache__"}


def test_the_task_map_names_every_task_and_no_other() -> None:
    table = TEXT.partition("| Task |")[2].partition("\n\n")[0]
    first_cells = "\n".join(re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE))
    listed = {re.sub(r"N$|<\w+>$", "", name) for name in re.findall(r"`([^`]+)`", first_cells)}
    started: set[str] = set()
    for path in TASK_FILES:
        text = path.read_text("utf-8")
        started |= set(re.findall(r'name=f?"([a-z_.-]+)', text)) if "create_task" in text else set()
        started |= set(re.findall(r'name = f"([a-z_.-]+)', text))
        started |= set(re.findall(r'_supervised\([\w.]+, "([a-z]+)"', text))
    demo = {name for name in started if name.startswith("demo.")}

    assert listed == started - demo
