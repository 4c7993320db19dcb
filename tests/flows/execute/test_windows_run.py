"""Windows behind a partition and an error handler, against one pass over the items."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from conductor_flows.dsl.ports import port_of
from conductor_flows.execute.errors import MissingOutput
from conductor_flows.execute.program import Handler, Program
from conductor_flows.execute.runner import Invocation, Runner, default_ends
from conductor_flows.ir.model import SurfaceIR
from conductor_flows.ir.terms import NodeKind, SurfaceKind
from flow_pieces import edge_ir, flow_ir, node_ir
from virtual_time import turns, virtual_undebugged

ANY = port_of(Any)
SIZE, LATENESS = 10, 5
Item = dict[str, Any]


def is_bad(item: Item) -> bool:
    return item["n"] % 5 == 0


def naive(items: list[Item]) -> tuple[list[Any], list[int]]:
    """The windows that close, each with its items in order, and the items that come too late."""
    newest: dict[str, int] = {}
    open_: dict[tuple[str, int], list[int]] = defaultdict(list)
    late: list[int] = []
    for item in items:
        if is_bad(item):
            continue
        key, at = item["key"], item["t"]
        start = at // SIZE * SIZE
        if key in newest and start + SIZE + LATENESS <= newest[key]:
            late.append(item["n"])
            continue
        newest[key] = max(newest.get(key, at), at)
        open_[key, start].append(item["n"])
    return sorted([key, start, found] for (key, start), found in open_.items()), sorted(late)


def runner(late: list[int]) -> Runner:
    async def same(value: Any) -> Any:
        return value

    async def may_fail(value: Item) -> Item:
        if is_bad(value):
            raise ValueError(value)
        return value

    async def too_late(value: Item) -> None:
        late.append(value["n"])

    async def whole(value: Any) -> Any:
        return [value["partition"], value["window_start"], [item["n"] for item in value["items"]]]

    names = {"t": same, "check": may_fail, "late": too_late, "sum": whole, "end": same}
    nodes = [node_ir(name, kind=NodeKind.TRIGGER if name == "t" else NodeKind.INLINE)
             for name in names]  # fmt: skip
    edges = [edge_ir("t", "check"), edge_ir("check", "sum", partition_key="/key"),
             edge_ir("check", "late"), edge_ir("late", "end"), edge_ir("sum", "end")]  # fmt: skip
    surfaces = [
        SurfaceIR(id="w", kind=SurfaceKind.WINDOW, targets=["check", "sum", "late"], config={
            "v": 1, "event_time_pointer": "/t", "size_ms": SIZE, "allowed_lateness_ms": LATENESS,
            "watermark": "max", "late": "late"}),
        SurfaceIR(id="e", kind=SurfaceKind.ERROR_HANDLER, targets=["check"], config={
            "v": 1, "scope": {"nodes": ["check"]}, "strategy": "continue"}),
    ]  # fmt: skip
    handlers = {name: Handler(function, ANY, ANY) for name, function in names.items()}
    return Runner(Program(flow_ir(nodes, edges, surfaces), handlers))


async def through(found: Runner, items: list[Item]) -> list[Any]:
    ends = default_ends(found.program.flow)
    bound = found.bound(ends)
    instance = found.instance(bound, found.info(Invocation(None), ends))
    results: list[Any] = []
    for item in items:
        await instance.send(item)
        await turns(8)
    while True:
        await instance.finish()
        try:
            results.append((await instance.next())[1])
        except MissingOutput:
            await instance.cancel("external")
            return results


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from("xy"), st.integers(0, 60)), max_size=25))
def test_windows_gather_what_one_pass_gathers(drawn: list[tuple[str, int]]) -> None:
    items = [{"n": number, "key": key, "t": at} for number, (key, at) in enumerate(drawn, 1)]

    @virtual_undebugged
    async def run() -> None:
        late: list[int] = []
        results = await through(runner(late), items)
        windows = [each for each in results if isinstance(each, list)]
        assert naive(items) == (sorted(windows), sorted(late))

    run()
