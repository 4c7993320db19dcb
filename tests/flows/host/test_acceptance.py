"""The runtime's acceptance cases, under the names that the source project gave them.

Where a case there asserts a gap that is closed here, it stands inverted under the same name.
"""

from __future__ import annotations

from typing import Any

import pytest

from conductor_flows import (
    Decision,
    Flow,
    NodeContext,
    approval,
    callback,
    node,
    timer,
    trigger,
)
from conductor_flows.capabilities.bindings.spec import parse_all
from conductor_flows.durable.ports import ScheduleStatus
from conductor_flows.durable.resume import Signal
from conductor_flows.durable.services import Durability, in_memory
from conductor_flows.execute.errors import (
    CapabilitiesMissing,
    DurabilityMissing,
    UnregisteredNode,
)
from conductor_flows.execute.outcomes import Halted, Value
from conductor_flows.execute.program import Program
from conductor_flows.execute.runner import Invocation
from conductor_flows.execute.services import Services
from conductor_flows.host.hooks import Call, Ended
from conductor_flows.host.hosting import Host
from conductor_flows.host.services import serving
from conductor_flows.host.waking import wakers
from conductor_flows.ir.identity import flow_id
from conductor_flows.ir.model import DurabilityPolicy, Policies
from conductor_flows.ir.terms import DurabilityMode
from conductor_sdk.clock import ManualClock
from flow_pieces import edge_ir, flow_ir, node_ir
from flow_web import back, program_of


async def show(_: Any, context: Any) -> Any:
    return dict(context.run.labels)


async def labels_of(host: Host, **given: str) -> dict[str, str]:
    outcome = await host.invoke(Invocation(1, labels=given))
    assert isinstance(outcome, Value)
    found: dict[str, str] = outcome.value
    return found


async def test_runtime_populates_lattice_metadata() -> None:
    host = Host(program_of(show), Services())
    labels = await labels_of(host)
    assert flow_id("asked", "1.0.0") == labels["lf.flow_id"]
    assert ["take", "give"] == [labels["lf.trigger_alias"], labels["lf.capture_alias"]]
    assert labels["lf.run_id"].startswith("run-")
    assert labels["lf.run_id"] != (await labels_of(host))["lf.run_id"]


async def test_runtime_keeps_labels_that_are_given() -> None:
    class Nothing:
        async def before_execute(self, call: Call) -> None: ...
        async def after_execute(self, call: Call, ended: Ended) -> None: ...

    for hooks in ((), (Nothing(),)):
        host = Host(program_of(show), Services(), hooks=hooks)
        labels = await labels_of(host, **{"lf.run_id": "run-1", "lf.event_id": "e1"})
        assert ["run-1", "e1"] == [labels["lf.run_id"], labels["lf.event_id"]]


async def test_environment_plugin_hooks_fire() -> None:
    fired: list[str] = []

    class Hook:
        async def before_execute(self, call: Call) -> None:
            fired.append(f"before {call.labels['lf.run_id'][:4]}")

        async def after_execute(self, call: Call, ended: Ended) -> None:
            fired.append(f"after {ended.outcome}")

    await Host(program_of(back), Services(), hooks=[Hook()]).invoke(Invocation(1))
    assert ["before run-", "after Value(value=1)"] == fired


@pytest.mark.parametrize("hint", [
    "resource::kv::read", "resource::http::write", "resource::dedupe::write",
    "resource::mystery::read",
])  # fmt: skip
async def test_preflight_reports_missing_capability(hint: str) -> None:
    host = Host(program_of(back, effect_hints=[hint]), Services())
    with pytest.raises(CapabilitiesMissing) as missing:
        host.preflight()
    assert ("CAP101", [hint]) == (missing.value.code, missing.value.details["hints"])
    with pytest.raises(CapabilitiesMissing):
        await host.invoke(Invocation(1))


@pytest.mark.parametrize(("hint", "binding"), [
    ("resource::kv::read", "kv=memory"), ("resource::http::write", "http=httpx2"),
    ("resource::dedupe::write", "dedupe=memory"), ("resource::db::write", "db=memory"),
    ("resource::kv", "kv=memory"),
])  # fmt: skip
async def test_preflight_succeeds_with_binding(hint: str, binding: str) -> None:
    async with serving(bindings=parse_all([binding])) as services:
        host = Host(program_of(back, effect_hints=[hint]), services)
        host.preflight()
        assert Value(1) == await host.invoke(Invocation(1))


def test_preflight_hints_are_sorted_and_deduplicated() -> None:
    hints = ["resource::kv::write", "resource::blob::read", "resource::kv::write"]
    with pytest.raises(CapabilitiesMissing) as missing:
        Host(program_of(back, effect_hints=hints), Services()).preflight()
    assert sorted(set(hints)) == missing.value.details["hints"]


def test_preflight_ignores_determinism_hints() -> None:
    Host(program_of(back, determinism_hints=["resource::clock"]), Services()).preflight()


@trigger(summary="Take")
async def take(number: int) -> int:
    return number


@node(summary="Double")
async def double(number: int) -> int:
    return number * 2


@node(summary="Read the decision")
async def decided(decision: Decision) -> str:
    return f"{decision.approved} by {decision.approver}"


def waiting(halt: Any, then: Any = double, **policy: Any) -> Program:
    policies = Policies(durability=DurabilityPolicy(**policy))
    flow = Flow("waits", "1.0.0", summary="Waits", policies=policies)
    first, second, last = flow.add(take), flow.add(halt), flow.add(then)
    flow.connect(first, second)
    flow.connect(second, last)
    return flow.program()


def lacking(program: Program, durability: Durability | None) -> list[str]:
    with pytest.raises(DurabilityMissing) as missing:
        Host(program, Services(durability=durability)).preflight()
    assert "DAG-CKPT-003" == missing.value.code
    found: list[str] = missing.value.details["missing"]
    return found


def test_preflight_requires_checkpoint_store_in_strong_mode() -> None:
    policy = Policies(durability=DurabilityPolicy(mode=DurabilityMode.STRONG))
    flow = flow_ir([node_ir("take"), node_ir("give")], [edge_ir("take", "give")], None, policy)
    assert ["checkpoint_store"] == lacking(Program(flow, {}), None)


def test_preflight_requires_no_checkpoint_store_for_a_flow_that_never_halts() -> None:
    # Inverted: `partial` asks for a store only where something would be written.
    Host(program_of(back), Services()).preflight()


def test_preflight_requires_checkpoint_blob_store() -> None:
    kept = in_memory()
    program = waiting(timer("nap", int, after_s=1), blob_threshold_bytes=1)
    without = Durability(kept.store, kept.scheduler, kept.signals)
    assert ["checkpoint_blob_store"] == lacking(program, without)


def test_preflight_requires_resume_scheduler() -> None:
    kept = in_memory()
    found = lacking(waiting(timer("nap", int, after_s=1)), Durability(kept.store))
    assert ["resume_scheduler"] == found


@pytest.mark.parametrize("halt", [callback("ask", int, int), approval("ask", int)])
def test_preflight_requires_resume_signal_source(halt: Any) -> None:
    kept = in_memory()
    then = double if halt.ir.identifier.startswith("std::callback") else decided
    assert ["resume_signal_source"] == lacking(waiting(halt, then), Durability(kept.store))


async def test_timer_wait_halts_with_schedule() -> None:
    clock = ManualClock()
    kept = in_memory(clock=clock)
    ended: list[Ended] = []

    class Hook:
        async def before_execute(self, call: Call) -> None: ...
        async def after_execute(self, call: Call, each: Ended) -> None:
            ended.append(each)

    host = Host(
        waiting(timer("nap", int, after_s=60)), Services(durability=kept), hooks=[Hook()]
    )  # fmt: skip
    halted = await host.invoke(Invocation(21))
    assert isinstance(halted, Halted)
    assert ("nap", 21, None) == (halted.alias, halted.payload, halted.token)
    assert kept.store is not None
    assert kept.scheduler is not None
    record = await kept.store.get(str(halted.checkpoint_id))
    schedule = str(record.waits[0].schedule_id)
    assert ScheduleStatus.PENDING is await kept.scheduler.status(schedule)
    (waker,) = wakers([host])
    assert [] == await waker.look()
    clock.advance(60)
    # Inverted: it goes on when its time has come.
    for task in await waker.look():
        await task
    assert [halted, Value(42)] == [each.outcome for each in ended]
    assert ScheduleStatus.FIRED is await kept.scheduler.status(schedule)
    assert [] == await waker.look()


async def test_callback_wait_resumes_when_signaled() -> None:
    kept = in_memory()
    host = Host(waiting(callback("ask", int, int)), Services(durability=kept))
    halted = await host.invoke(Invocation(1))
    assert isinstance(halted, Halted)
    assert halted.token is not None
    found = await host.resume(str(halted.checkpoint_id), signal=Signal(4, halted.token))
    assert Value(8) == found


async def test_approval_wait_resumes_with_the_decision() -> None:
    host = Host(waiting(approval("ask", int), decided), Services(durability=in_memory()))
    halted = await host.invoke(Invocation(1))
    assert isinstance(halted, Halted)
    signal = Signal({"approved": True, "approver": "mo"}, halted.token)
    assert Value("True by mo") == await host.resume(str(halted.checkpoint_id), signal=signal)


async def test_resume_without_checkpoints_is_refused() -> None:
    with pytest.raises(DurabilityMissing):
        await Host(program_of(back), Services()).resume("cp-1")


async def test_bundle_allowlist_rejects_missing_identifier() -> None:
    program = program_of(back)
    host = Host(Program(program.flow, {"take": program.handlers["take"]}), Services())
    with pytest.raises(UnregisteredNode, match="give"):
        await host.invoke(Invocation(1))


async def test_resume_metadata_includes_checkpoint_and_resume_ids() -> None:
    seen: dict[str, Any] = {}

    @node(summary="Look")
    async def look(number: int, context: NodeContext) -> int:
        seen.update(labels=context.run.labels, extensions=context.run.extensions)
        return number

    kept = in_memory()
    host = Host(waiting(callback("ask", int, int), look), Services(durability=kept))
    halted = await host.invoke(Invocation(1))
    assert isinstance(halted, Halted)
    await host.resume(str(halted.checkpoint_id), signal=Signal(4, halted.token))
    assert halted.checkpoint_id == seen["labels"]["lf.checkpoint_id"]
    assert seen["labels"]["lf.resume_id"].startswith("resume-")
    assert "1" == seen["labels"]["lf.resume_attempt"]
    assert 1 == seen["extensions"]["lf.resume"]["attempt"]
