"""The checks of the conformance suite, one function each.

Promise: each check uses fresh harnesses, so that no check can help or harm another. Refusal: a
check never looks into the pack's code; only outcomes, keys, storage and pushed events count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from conductor_sdk.clock import ManualClock
from conductor_sdk.errors import EventMalformed, UnknownKind
from conductor_sdk.event import KernelEvent, encode_event, parse_event
from conductor_sdk.event_builder import build_kernel_event_v2
from conductor_sdk.handler import Handled, Ignored, Outcome, Reject, Replayed, Retry
from conductor_sdk.pack import Pack
from conductor_sdk.testing.harness import PackHarness
from conductor_sdk.testing.report import CheckResult

Fresh: TypeAlias = Callable[[], PackHarness]
"""Gives a harness that nothing has happened in."""
SUBJECT = "ws-conformance"


class Trouble(Exception):
    """What a check found, and what to change."""

    def __init__(self, detail: str, hint: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint


class Traces(msgspec.Struct, frozen=True):
    """What a pack left behind, as far as anyone outside can see."""

    stored: tuple[str, ...]
    """The pack's tables as SQL text, without the replay keys."""
    rows: Mapping[str, int]
    """How many, by table."""
    pushed: Mapping[str, int]
    """Distinct event ids, by kind."""


def sample_event(kind: str, payload: Mapping[str, Any], key: str | None) -> KernelEvent:
    """Build a sample: the same kind and key give the same id; without a key it is new."""
    return build_kernel_event_v2(
        {"kind": kind, "from": SUBJECT, "payload": payload},
        idempotency_key=key,
        clock=ManualClock(),
    )


def check_emit(pack: Pack, kind: str) -> CheckResult:
    """An emitted kind is namespaced, builds, survives the wire, and its key fixes its id."""
    hint = f"name it {pack.manifest.slug}:<event_name_snake_case>"
    if not kind.startswith(pack.manifest.slug + ":"):
        raise Trouble("not namespaced", hint)
    try:
        first, second = sample_event(kind, {}, "emit"), sample_event(kind, {}, "emit")
        back = parse_event(encode_event(first))
    except EventMalformed as error:
        raise Trouble(error.detail, hint) from None
    if first.event_id != second.event_id or back != first:
        raise Trouble("a retry is another event", "report this as a bug of the sdk")
    return CheckResult("emit", True, kind, first.event_id)


async def check_undeclared(pack: Pack, fresh: Fresh) -> CheckResult:
    """A kind that the manifest does not declare is refused, and nothing of the call is pushed."""
    harness = fresh()
    try:
        await harness.context.push(f"{pack.manifest.slug}:kind_that_nobody_declared", {})
    except UnknownKind:
        return CheckResult("undeclared", True, None, "refused: UNKNOWN_KIND")
    raise Trouble("an undeclared kind was pushed", "report this as a bug of the sdk")


async def check_outcome(fresh: Fresh, event: KernelEvent) -> CheckResult:
    """The handler answers with one of the outcomes, and an ignored event stores no key."""
    harness = fresh()
    outcome = await harness.deliver(event)
    if isinstance(outcome, Ignored) and harness.keys.durable:
        raise Trouble(
            f"ignored, but stored the replay key {min(harness.keys.durable)!r}",
            "put the key only after the effect",
        )
    if isinstance(outcome, Reject):
        raise Trouble(f"rejected: {outcome.reason}", "give samples that the handler accepts")
    return CheckResult("outcome", True, event.kind, _said(outcome))


async def check_replay(fresh: Fresh, event: KernelEvent) -> CheckResult:
    """Delivered twice, the effect happens once, and the second answer is not `handled`."""
    harness = fresh()
    first = await harness.deliver(event)
    before = await _traces(harness)
    second = await harness.deliver_again()
    after = await _traces(harness)
    hint = "ask ctx.replay_log.has(key) first and put(key) after the effect, or use @idempotent"
    if isinstance(first, Handled) and isinstance(second, Handled):
        raise Trouble("handler called twice: it handled the duplicate again", hint)
    if before != after:
        raise Trouble(f"the duplicate changed {_difference(before, after)}", hint)
    return CheckResult("replay", True, event.kind, f"{_said(first)}, then {_said(second)}")


async def check_crash(
    fresh: Fresh, event: KernelEvent, how: Literal["crash", "cancel"]
) -> CheckResult:
    """Died between effect and replay key, the second run ends as one clean run does."""
    clean, again, broken = fresh(), fresh(), fresh()
    expected = await clean.deliver(event)
    await again.deliver(event)
    await broken.crash_between_effect_and_key(event, how=how)
    outcome = await broken.deliver(event)
    want, control, got = [await _traces(harness) for harness in (clean, again, broken)]
    hint = "make the effect an upsert and give pushed events a key, or use ctx.storage.run_once"
    if type(expected) is not type(outcome) and not isinstance(outcome, Replayed):
        raise Trouble(f"ends {_said(outcome)} instead of {_said(expected)}", hint)
    if want.stored != control.stored:  # random ids or times: only the number of rows can be told
        want, got = _counted(want), _counted(got)
    if want != got:
        raise Trouble(f"the second run changed {_difference(want, got)}", hint)
    return CheckResult(how, True, event.kind, f"then {_said(outcome)}")


async def check_state(fresh: Fresh, event: KernelEvent) -> CheckResult:
    """Two daemons give one event the same answer: nothing is kept outside of the context."""
    here, elsewhere = fresh(), fresh()
    first, second = await here.deliver(event), await elsewhere.deliver(event)
    hint = "keep state in ctx.storage and ctx.replay_log, never in the module or the payload"
    if here.changed_payloads:
        raise Trouble("the handler changed the event's payload", hint)
    if first != second:
        raise Trouble(f"first {_said(first)}, in a fresh context {_said(second)}", hint)
    return CheckResult("state", True, event.kind)


async def _traces(harness: PackHarness) -> Traces:
    lines = await harness.storage.run(lambda connection: tuple(connection.iterdump()))
    stored = tuple(line for line in lines if "_replay_keys" not in line)
    rows = Counter(line.split('"')[1] for line in stored if line.startswith('INSERT INTO "'))
    return Traces(stored, dict(rows), dict(Counter(event.kind for event in harness.pushed)))


def _counted(traces: Traces) -> Traces:
    return msgspec.structs.replace(traces, stored=())


def _difference(before: Traces, after: Traces) -> str:
    for kind in sorted({*before.pushed, *after.pushed}):
        counts = before.pushed.get(kind, 0), after.pushed.get(kind, 0)
        if counts[0] != counts[1]:
            return f"the number of {kind} events from {counts[0]} to {counts[1]}"
    for table in sorted({*before.rows, *after.rows}):
        counts = before.rows.get(table, 0), after.rows.get(table, 0)
        if counts[0] != counts[1]:
            return f"the rows of table {table} from {counts[0]} to {counts[1]}"
    return "what is stored in ctx.storage"


def _said(outcome: Outcome) -> str:
    detail = outcome.reason if isinstance(outcome, Retry | Reject) else outcome.action
    return f"{outcome.status}({detail})"
