"""Where the code of a flow is: its own file, and the modules beside it that it imports."""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from conductor_packs.flows.sources import sources
from flow_pack_harness import Make, ask, at_work, ended, event, told, until
from flow_pack_world import APPROVE, COMPLETED, FAILED, HALTED

FLOW = '''"""A flow with something beside it."""
from dataclasses import dataclass

from conductor_flows import Decision, Flow, approval, node, trigger

{imports}


@dataclass
class Order:
    item: str


@trigger(summary="take")
async def take(order: Order) -> Order:
    return order


@node(effects="pure", determinism="strict", summary="say")
async def say(order: Order) -> str:
    return {said}


@node(effects="pure", determinism="strict", summary="decided")
async def decided(decision: Decision) -> str:
    return {said}


flow = Flow("priced", "1.0.0", summary="priced")
flow.connect(flow.add(take), flow.add(say))
asked = Flow("asked", "1.0.0", summary="asked", durability="partial")
start, wait, end = asked.add(take), asked.add(approval("decide", Order)), asked.add(decided)
asked.connect(start, wait)
asked.connect(wait, end)
'''


@pytest.fixture(autouse=True)
def _modules() -> Any:
    before = dict(sys.modules)
    yield
    for name in sys.modules.keys() - before.keys():
        del sys.modules[name]


def written(folder: Path, **files: str) -> Path:
    """Write modules; `__` is a step down, and `start` is what a package begins with."""
    for name, text in files.items():
        path = folder.joinpath(*name.split("__")).with_suffix(".py")
        path = path.with_stem("__init__") if path.stem == "start" else path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def flow_file(
    folder: Path, imports: str = "import rates_beside", said: str = "rates_beside.RATE"
) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "priced.py").write_text(FLOW.format(imports=imports, said=said))
    return f"{folder.name}/priced.py"


def beside(path: Path, *package: str) -> list[str]:
    return [file.relative_to(path.parent).as_posix() for file in sources(path, package).files[1:]]


def test_a_file_alone_has_its_own_hash(tmp_path: Path) -> None:
    path = written(tmp_path, a="import os, json\n") / "a.py"
    assert sha256(path.read_bytes()).hexdigest() == sources(path).code_hash
    assert [] == beside(path)


def test_what_is_imported_from_the_folder_counts_however_it_is_written(tmp_path: Path) -> None:
    written(
        tmp_path, a="import b\nfrom lib import part\ndef f():\n    from bare.deep import x\n",
        b="from a import f\nimport lib.other\n", lib="raise no", unused="1",
        lib__start="from . import third\nfrom .third import y\n",
        lib__part="from ..b import z\n",
        lib__other="", lib__third="", bare__deep="oops(",
    )  # fmt: skip
    assert [
        "b.py", "bare/deep.py", "lib/__init__.py", "lib/other.py", "lib/part.py", "lib/third.py"
    ] == sorted(beside(tmp_path / "a.py"))  # fmt: skip


def test_modules_of_a_package_import_each_other_by_its_name(tmp_path: Path) -> None:
    written(tmp_path, own__start="", own__a="from own.b import x\nfrom . import c\nimport b\n",
            own__b="", own__c="", b="")  # fmt: skip
    assert ["__init__.py", "b.py", "c.py"] == sorted(beside(tmp_path / "own" / "a.py", "own"))


def test_the_hash_is_of_every_file_and_of_nothing_else(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        written(folder, a="import b\nimport c\n", b="", c="1\n")
    first = sources(here / "a.py").code_hash
    assert first == sources(there / "a.py").code_hash
    written(here, unused="1")
    assert first == sources(here / "a.py").code_hash
    found = {first}
    for name, text in (("b", "2\n"), ("c", "2\n"), ("c", "")):
        written(here, **{name: text})
        found.add(sources(here / "a.py").code_hash)
    assert 4 == len(found)


async def test_a_changed_module_beside_it_is_another_flow_from_the_next_run_on(
    make: Make, tmp_path: Path
) -> None:
    spec = flow_file(written(tmp_path / "own", rates_beside="from deep_beside import RATE\n",
                             deep_beside="RATE = 'one'\n"))  # fmt: skip
    harness = make(flows={"priced": f"{spec}:flow"})
    for number, rate in enumerate(("one", "two", "six"), 1):
        # The same size, and at once: neither time nor size tell compiled code.
        written(tmp_path / "own", deep_beside=f"RATE = {rate!r}\n")
        await ask(harness, "priced", number)
        completed = await ended(harness, COMPLETED, number)
        assert rate == completed[-1]["result"]


async def test_modules_of_one_name_in_two_folders_stay_apart(make: Make, tmp_path: Path) -> None:
    flows = {}
    for rate in ("north", "south"):
        spec = flow_file(written(tmp_path / rate, rates_beside=f"RATE = {rate!r}\n"))
        flows[rate] = f"{spec}:flow"
    harness = make(flows=flows)
    for number, rate in enumerate(("north", "south", "north"), 1):
        if number == 3:
            written(tmp_path / "north", rates_beside="RATE = 'north '\n")
        await ask(harness, rate, number)
        completed = await ended(harness, COMPLETED, number)
        assert rate == completed[-1]["result"].strip()


async def test_a_broken_module_breaks_its_flow_and_its_repair_is_seen_at_once(
    make: Make, tmp_path: Path
) -> None:
    spec = flow_file(written(tmp_path / "own", rates_beside="oops(\n"))
    harness = make(flows={"priced": f"{spec}:flow"})
    await ask(harness, "priced")
    assert "FLOWS_FLOW_BROKEN" == told(harness, FAILED)[0]["error"]["code"]
    written(tmp_path / "own", rates_beside="RATE = 'mended'\n")
    await ask(harness, "priced", 2)
    [completed] = await ended(harness, COMPLETED)
    assert "mended" == completed["result"]


async def test_a_run_that_waits_does_not_go_on_with_a_changed_module(
    make: Make, tmp_path: Path
) -> None:
    spec = flow_file(written(tmp_path / "own", rates_beside="RATE = 'old'\n"))
    harness = make(flows={"asked": f"{spec}:asked"})
    await ask(harness, "asked")
    async with at_work(harness):
        [halted] = await until(lambda: told(harness, HALTED))
        token = halted["waits"][0]["token"]
        written(tmp_path / "own", rates_beside="RATE = 'new'\n")
        refused = await harness.call_tool("flows:signal", {"token": token, "payload": {}})
        assert refused.error is not None
        assert "FLOWS_FLOW_CHANGED" == refused.error.code
        written(tmp_path / "own", rates_beside="RATE = 'old'\n")
        await harness.deliver(event(APPROVE, 2, token=token, approved=True))
        [completed] = await until(lambda: told(harness, COMPLETED))
    assert "old" == completed["result"]


async def test_what_was_imported_from_elsewhere_under_such_a_name_stays(
    make: Make, tmp_path: Path
) -> None:
    import colorsys  # the name is taken in this process

    folder = written(tmp_path / "own", colorsys="RATE = 'mine'\n")
    spec = flow_file(folder, "import colorsys", "str(hasattr(colorsys, 'RATE'))")
    harness = make(flows={"priced": f"{spec}:flow"})
    await ask(harness, "priced")
    [completed] = await ended(harness, COMPLETED)
    assert "False" == completed["result"]
    assert colorsys is sys.modules["colorsys"]
