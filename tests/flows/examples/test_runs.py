"""The example flows, run in process by a `Host`, with what their folders ship."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor_flows.capabilities.bindings.lock import read
from conductor_flows.capabilities.bindings.spec import Binding, parse_all
from conductor_flows.execute.errors import CapabilitiesMissing, PortRefused, SurfaceUnsupported
from conductor_flows.execute.outcomes import Streamed, Value
from conductor_flows.execute.planning.surfaces import SERVED
from conductor_flows.execute.runner import Invocation, Runner
from conductor_flows.host.hooks import Call, Ended
from conductor_flows.host.hosting import Host
from conductor_flows.host.services import serving
from conductor_flows.ir.terms import SurfaceKind
from flow_examples import folder, payload, program
from virtual_time import virtual


class Recorded:
    """A recorder that remembers what it was told."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, dict[str, str]]] = []
        self.observed: list[tuple[str, float]] = []

    def count(self, name: str, labels: Any, by: int = 1) -> None:
        self.counted.append((name, dict(labels)))

    def level(self, name: str, labels: Any, value: float) -> None:
        """Not looked at here."""

    def observe(self, name: str, labels: Any, value: float) -> None:
        self.observed.append((name, value))


class KnownUser:
    """A hook that says who asks, as a host behind a login would."""

    async def before_execute(self, call: Call) -> None:
        call.extensions["auth.user"] = {"id": "ada"}

    async def after_execute(self, call: Call, ended: Ended) -> None:
        """Nothing to undo."""


def locked(name: str) -> tuple[Binding, ...]:
    data = (folder(name) / "bindings.lock.json").read_bytes()
    return read(data, program(name).flow.id)


async def answer(
    name: str, given_payload: Any, *, bindings: Sequence[Binding] = (), **more: Any
) -> Any:
    async with serving(bindings=bindings) as services:
        outcome = await Host(program(name), services, **more).invoke(Invocation(given_payload))
        if isinstance(outcome, Streamed):
            return [item async for item in outcome.items]
        assert isinstance(outcome, Value)
        return outcome.value


async def test_s1_answers_in_lower_case() -> None:
    assert {"value": "hello"} == await answer("s1_echo", payload("s1_echo"))


async def test_s1_names_the_user_whom_a_hook_found() -> None:
    found = await answer("s1_echo", payload("s1_echo"), hooks=[KnownUser()])

    assert {"value": "hello", "user": {"id": "ada"}} == found


@settings(max_examples=16, deadline=None)
@given(st.text(max_size=12))
def test_s1_trims_and_lowers_any_text(text: str) -> None:
    assert {"value": text.strip().lower()} == asyncio.run(answer("s1_echo", {"value": text}))


async def test_s1_refuses_what_is_no_request_with_the_place() -> None:
    with pytest.raises(PortRefused) as refused:
        await answer("s1_echo", {"value": 7})

    assert "/value" == refused.value.pointer


@virtual
async def test_s2_gives_a_snapshot_and_five_updates_an_interval_apart() -> None:
    loop, events, times = asyncio.get_running_loop(), list[Any](), list[float]()
    outcome = await Runner(program("s2_site")).run(Invocation(payload("s2_site")))
    assert isinstance(outcome, Streamed)
    async for item in outcome.items:
        events.append(item)
        times.append(loop.time())

    assert ["snapshot", *(f"update_{n}" for n in range(5))] == [each["event"] for each in events]
    assert ["operational", "degraded", "operational", "degraded", "operational", "degraded"] == [
        each["status"] for each in events
    ]
    assert [120, 132, 144, 156, 168, 180] == [each["latency_ms"] for each in events]
    assert [pytest.approx(n * 0.12) for n in range(6)] == [time - times[0] for time in times]


async def test_s2_ends_when_its_stream_is_closed() -> None:
    runner = Runner(program("s2_site"))
    outcome = await runner.run(Invocation(payload("s2_site")))
    assert isinstance(outcome, Streamed)
    first = await anext(outcome.items)
    before = asyncio.get_running_loop().time()
    await outcome.items.aclose()  # type: ignore[attr-defined]  # a generator, as streams are

    assert "snapshot" == first["event"]
    assert asyncio.get_running_loop().time() - before < 0.05
    assert 1 == len(asyncio.all_tasks())


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("mode", ["a", "b", "", "c"])
async def test_s3_takes_one_branch_and_one_mode(flag: bool, mode: str) -> None:
    found = await answer("s3_branching", {"flag": flag, "mode": mode})

    assert "then" if flag else "else" == found["branch"]
    assert (mode if mode in {"a", "b"} else "default") == found["mode_selected"]


async def test_s4_is_refused_without_a_store() -> None:
    with pytest.raises(CapabilitiesMissing) as refused:
        await answer("s4_preflight", payload("s4_preflight"))

    assert "CAP101" == refused.value.code
    assert {"hints": ["resource::kv::read"]} == refused.value.data


async def test_s4_runs_with_its_lock() -> None:
    found = await answer("s4_preflight", payload("s4_preflight"), bindings=locked("s4_preflight"))

    assert {"key": "greeting", "value": None} == found


async def test_s4_reads_what_is_there() -> None:
    async with serving(bindings=parse_all(["kv=memory"])) as services:
        await services.capabilities["resource::kv::write"].put("greeting", b"hello")
        found = await Host(program("s4_preflight"), services).invoke(
            Invocation(payload("s4_preflight"))
        )

    assert Value({"key": "greeting", "value": "hello"}) == found


async def test_s5_runs_where_there_are_rate_limits() -> None:
    assert {"value": "desserts"} == await answer("s5_unsupported_surface", {"value": "stressed"})


async def test_s5_is_refused_by_a_host_that_has_none() -> None:
    async with serving(served=SERVED - {SurfaceKind.RATE_LIMIT}) as services:
        with pytest.raises(SurfaceUnsupported) as refused:
            await Host(program("s5_unsupported_surface"), services).invoke(
                Invocation({"value": ""})
            )

    assert "CTRL901" == refused.value.code
    assert {"id": "rate_limit:work:0", "kind": "rate_limit"} == refused.value.data


async def test_s6_spills_what_is_big_and_keeps_it_whole() -> None:
    recorder, batch = Recorded(), payload("s6_spill")
    async with serving(bindings=locked("s6_spill"), recorder=recorder) as services:
        outcome = await Host(program("s6_spill"), services).invoke(Invocation(batch))
        kept = await services.capabilities["resource::blob::read"].get(
            f"batches/{batch['batch_id']}"
        )
    text = "\n".join(f"{n:>4} {line}" for n, line in enumerate(batch["lines"], start=1))

    assert {"batch_id": batch["batch_id"], "text": text} == json.loads(kept)
    assert Value({"batch_id": batch["batch_id"], "size": len(kept)}) == outcome
    assert ["prepare->store"] == [
        labels["edge"] for name, labels in recorder.counted if name == "executor.spilled_total"
    ]
    assert [len(kept)] == [
        value for name, value in recorder.observed if name == "executor.spilled_bytes"
    ]


async def test_s6_spills_small_batches_too_since_one_item_fills_its_edge() -> None:
    recorder = Recorded()
    async with serving(bindings=locked("s6_spill"), recorder=recorder) as services:
        await Host(program("s6_spill"), services).invoke(Invocation({"batch_id": "b", "lines": []}))

    assert ["executor.spilled_total"] == [
        name for name, _ in recorder.counted if name == "executor.spilled_total"
    ]


async def test_s6_stores_a_batch_under_the_same_key_again() -> None:
    async with serving(bindings=locked("s6_spill")) as services:
        host = Host(program("s6_spill"), services)
        first = await host.invoke(Invocation(payload("s6_spill")))
        again = await host.invoke(Invocation(payload("s6_spill")))

    assert msgspec.json.encode(first) == msgspec.json.encode(again)
