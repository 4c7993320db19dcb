"""Names on a command line become flows, or a line that says why not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from conductor_flows.dsl.errors import FlowInvalid, FlowRefused
from conductor_flows.host.errors import FlowAmbiguous, FlowNotFound, LoadFailed, LoadRefused
from conductor_flows.host.loading import load, load_document

FLOW = """
from conductor_flows import Flow, node, trigger

@trigger(summary="Take")
async def take(text: str) -> str:
    return text

flow = Flow("loaded_flow", "1.0.0", summary="Loaded")
flow.add(take)
"""


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture(autouse=True)
def _modules_are_forgotten() -> object:
    before = dict(sys.modules)
    yield
    for name in sys.modules.keys() - before.keys():
        if not name.startswith("conductor"):
            del sys.modules[name]


@pytest.mark.parametrize("spec", ["one_flow_here", "one_flow_here:flow", "one_flow_here.py",
                                  "one_flow_here.py:flow", "./one_flow_here.py:flow"])  # fmt: skip
def test_a_module_or_a_file_with_one_flow_needs_no_name(tmp_path: Path, spec: str) -> None:
    written(tmp_path, "one_flow_here.py", FLOW)
    assert "loaded_flow" == load(spec, folder=tmp_path).flow.name


def test_the_search_path_is_as_it_was(tmp_path: Path) -> None:
    written(tmp_path, "one_flow_again.py", FLOW)
    before = list(sys.path)
    load("one_flow_again", folder=tmp_path)
    assert before == sys.path


def test_a_file_may_import_its_neighbours(tmp_path: Path) -> None:
    written(tmp_path, "inner/neighbour_of_it.py", FLOW)
    written(tmp_path, "inner/beside.py", "from neighbour_of_it import flow\n")
    assert "loaded_flow" == load("inner/beside.py", folder=tmp_path).flow.name


def test_files_of_one_name_do_not_mix(tmp_path: Path) -> None:
    written(tmp_path, "a/flow.py", FLOW)
    written(tmp_path, "b/flow.py", FLOW.replace("loaded_flow", "other_flow"))
    first, second = (load(f"{each}/flow.py", folder=tmp_path) for each in "ab")
    assert ["loaded_flow", "other_flow"] == [first.flow.name, second.flow.name]
    assert "flow::take" == first.flow.nodes[0].identifier == second.flow.nodes[0].identifier


def test_a_file_named_like_a_library_does_not_take_its_place(tmp_path: Path) -> None:
    import json

    written(tmp_path, "json.py", FLOW)
    assert "loaded_flow" == load("./json.py", folder=tmp_path).flow.name
    assert json is sys.modules["json"]


def test_a_function_may_make_the_flow(tmp_path: Path) -> None:
    text = FLOW + "\nclass group:\n    @staticmethod\n    def make():\n        return flow\n"
    written(tmp_path, "with_a_function.py", text)
    found = load("with_a_function:group.make", folder=tmp_path)
    assert "loaded_flow" == found.flow.name
    written(tmp_path, "with_a_program.py", FLOW + "\nbuilt = flow.program()\ndel flow\n")
    assert "loaded_flow" == load("with_a_program", folder=tmp_path).flow.name


def test_several_flows_want_a_name_and_are_listed(tmp_path: Path) -> None:
    written(tmp_path, "several.py", FLOW + "\nother = Flow('other', '1.0.0')\n")
    with pytest.raises(FlowAmbiguous, match=r"several; it has: flow, other") as refused:
        load("several", folder=tmp_path)
    assert "name one: several:flow" == refused.value.hint


def test_one_flow_under_two_names_is_one(tmp_path: Path) -> None:
    written(tmp_path, "two_names.py", FLOW + "\nalias = flow\n")
    assert "loaded_flow" == load("two_names", folder=tmp_path).flow.name


@pytest.mark.parametrize(("spec", "text"), [
    ("no_such_module", "there is no module 'no_such_module'"),
    ("no_such.module", "there is no module 'no_such'"),
    ("no_such.py", "no_such.py: there is no such file"),
    ("there_is_one:other", "there_is_one has no 'other'; it has: flow"),
    ("there_is_none", "there_is_none has no flow at its top level"),
    ("there_is_none:x", "there_is_none has no 'x'; it has none"),
])  # fmt: skip
def test_what_is_not_there_is_named(tmp_path: Path, spec: str, text: str) -> None:
    written(tmp_path, "there_is_one.py", FLOW)
    written(tmp_path, "there_is_none.py", "")
    with pytest.raises(FlowNotFound) as refused:
        load(spec, folder=tmp_path)
    assert text == refused.value.detail


@pytest.mark.parametrize("spec", ["", ":flow", "odd_things:", "odd_things:number", "no name",
                                  "odd_things:needs", "odd_things:late", "-x", "a\0b"])  # fmt: skip
def test_what_is_no_flow_is_refused(tmp_path: Path, spec: str) -> None:
    text = "number = 1\ndef needs(it): return it\nasync def late(): return 1\n"
    written(tmp_path, "odd_things.py", text)
    with pytest.raises(LoadRefused):
        load(spec, folder=tmp_path)


@pytest.mark.parametrize(("text", "said"), [
    ("def f():\n    return 1 / 0\nf()\n", ":2: ZeroDivisionError: division by zero"),
    ("x = (\n", ":1: '(' was never closed"),
    ("import not_installed_here\n", ":1: ModuleNotFoundError: No module named 'not_installed_"),
    ("import json\njson.loads('{')\n", ":2: JSONDecodeError: Expecting property"),
    ("import sys\nsys.exit(3)\n", ":2: SystemExit: 3"),
    ("raise ValueError\n", ":1: ValueError"),
])  # fmt: skip
def test_a_module_that_raises_is_told_with_file_and_line(
    tmp_path: Path, text: str, said: str
) -> None:
    path = written(tmp_path, "it_raises.py", text)
    for spec in ("it_raises", "it_raises.py"):
        with pytest.raises(LoadFailed) as failed:
            load(spec, folder=tmp_path)
        assert failed.value.detail.startswith(f"{path}{said}")


def test_a_file_that_raised_leaves_nothing_behind(tmp_path: Path) -> None:
    written(tmp_path, "half_of_it.py", "x = 1\nraise ValueError\n")
    with pytest.raises(LoadFailed):
        load("half_of_it.py", folder=tmp_path)
    assert "half_of_it" not in sys.modules


def test_a_function_that_raises_is_told_with_file_and_line(tmp_path: Path) -> None:
    path = written(tmp_path, "it_raises_later.py", "def make():\n    return {}['a']\n")
    with pytest.raises(LoadFailed) as failed:
        load("it_raises_later:make", folder=tmp_path)
    assert f"{path}:2: KeyError: 'a'" == failed.value.detail


def test_a_flow_that_is_refused_keeps_its_code_and_gets_a_line(tmp_path: Path) -> None:
    path = written(tmp_path, "refused.py", FLOW + "\nflow.add(take)\n")
    with pytest.raises(FlowRefused) as refused:
        load("refused", folder=tmp_path)
    assert "DAG205" == refused.value.code
    assert f"{path}:11" == refused.value.data["at"]
    assert refused.value.detail.startswith(f"{path}:11: ")


def test_a_flow_that_breaks_rules_shows_its_diagnostics(tmp_path: Path) -> None:
    text = FLOW.replace("flow.add(take)", "a = flow.add(take); b = flow.add(take, 'again')")
    written(tmp_path, "invalid.py", text)
    with pytest.raises(FlowInvalid) as invalid:
        load("invalid", folder=tmp_path)
    assert "DAG104" in [each.code for each in invalid.value.diagnostics]


def test_the_document_of_a_flow_that_breaks_rules_can_be_looked_at(tmp_path: Path) -> None:
    text = FLOW.replace("flow.add(take)", "a = flow.add(take); b = flow.add(take, 'again')")
    written(tmp_path, "invalid_too.py", text)
    found = load_document("invalid_too", folder=tmp_path)
    assert ["take", "again"] == [node.alias for node in found.nodes]
