"""The map of the code, held against the code: files, names and tasks that it speaks of exist."""

from __future__ import annotations

import ast
import re
import tomllib
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
    *(ROOT / "flows/conductor_flows").rglob("*.py"),
    *(ROOT / "packs/conductor_packs").rglob("*.py"),
]
STARTS = {"create_task", "start_soon", "_supervised"}
"""What begins a task; the last takes the name as its second argument."""
LAYERS = (
    "sdk", "protocol", "state", "adapters", "handlers", "flows", "packs", "conductor", "sidecar",
)  # fmt: skip
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


def tasks(path: Path) -> set[str]:
    """The names of the tasks that a file begins; where a part is filled in, what is before it."""
    tree = ast.parse(path.read_text("utf-8"))
    given = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found: set[str] = set()
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if ast.unparse(call.func).rpartition(".")[2] not in STARTS:
            continue
        names = [each.value for each in call.keywords if each.arg == "name"] or call.args[1:]
        assert names, f"{path}:{call.lineno}: a task without a name"
        name = given.get(names[0].id) if isinstance(names[0], ast.Name) else names[0]
        if isinstance(name, ast.JoinedStr):
            name = name.values[0]
        if isinstance(name, ast.Constant):
            found.add(str(name.value).rstrip())
    return found


def rooms_of(package: str) -> set[str]:
    """The packages right below one."""
    return {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}


def named_rooms(heading: str) -> set[str]:
    """What the first column of the table below a heading names."""
    section = TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_every_room_is_on_the_map() -> None:
    tests = TEXT.partition("## The rooms of the tests")[2]
    rooms = {path.name for path in (ROOT / "tests").iterdir() if any(path.glob("**/*.*"))}

    assert rooms_of("sidecar/conductor_sidecar") == named_rooms("The rooms of the daemon")
    assert rooms_of("flows/conductor_flows") == named_rooms("The rooms of flows")
    assert set() == rooms - set(re.findall(r"`(\w+)`", tests)) - {"conftest.py", "__pycache__"}


def test_the_rooms_of_flows_stand_in_the_order_that_is_checked() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    [contract] = [
        each
        for each in settings["tool"]["importlinter"]["contracts"]
        if each["name"].startswith("11.")
    ]
    order = [re.findall(r"conductor_flows\.(\w+)", layer) for layer in contract["layers"]]
    section = TEXT.partition("## The rooms of flows\n")[2]
    drawn = re.findall(r"`([\w |>]+)`", section.partition("\n\n")[2].partition("\n\n")[0])

    assert [sorted(layer) for layer in order] == [
        sorted(layer.split(" | ")) for layer in drawn[0].split(" > ")
    ]


def test_the_task_map_names_every_task_and_no_other() -> None:
    table = TEXT.partition("| Task |")[2].partition("\n\n")[0]
    first_cells = "\n".join(re.findall(r"^\| ([^|]*`[^|]+) \|", table, re.MULTILINE))
    names = re.findall(r"`([^`]+)`", first_cells)
    listed = {re.sub(r"N$|<\w+>$", "", name) for name in names}
    started = {name for path in TASK_FILES for name in tasks(path)}
    demo = {name for name in started if name.startswith("demo.")}

    assert sorted(listed) == sorted(started - demo)
