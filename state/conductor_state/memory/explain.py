"""The story of one inbound event, from memory.

Promise: the same steps, in the same order, as `conductor_state.explain` gives. Refusal: bodies are
not part of a story.
"""

from __future__ import annotations

from conductor_sdk.records import Story, Trace
from conductor_sdk.trace_context import trace_id_of
from conductor_state.memory.inbound import Entry, MemoryInbound


def story(inbound: MemoryInbound, event_id: str) -> Story | None:
    """Gather what is known of an event; None when nothing is."""
    entries = [inbound.entries[position] for position in inbound.by_id.get(event_id, [])]
    if not entries:
        return None
    traces = [trace for entry in entries for trace in _traces(inbound, entry)]
    traces.sort(key=lambda trace: trace.at_ms)
    last = entries[-1]
    state = "running" if last.position in inbound.claims else "waiting"
    if last.outcome is not None:
        state = "dropped" if traces[-1].what == "dropped" else last.outcome[1]
    given = [entry.event.trace for entry in entries if entry.event.trace is not None]
    trace_id = trace_id_of(event_id, given[-1] if given else None)
    return Story(event_id, "inbound", last.event.kind, state, traces, trace_id)


def _traces(inbound: MemoryInbound, entry: Entry) -> list[Trace]:
    batch = inbound.batches[entry.position >> 12]
    traces: list[Trace] = []
    if not batch.redriven:
        detail = f"epoch {batch.cursor.epoch}, up to {batch.cursor.sequence}"
        traces.append(Trace(batch.received_ms, "received", detail))
    traces.append(Trace(batch.received_ms, "stored", f"position {entry.position}"))
    traces += [
        Trace(at_ms, what, detail)
        for _, position, at_ms, what, detail in inbound.steps
        if position == entry.position
    ]
    if entry.outcome is not None and entry.outcome[1] != "dead_letter":
        settled_ms, status, action, claimed_ms = entry.outcome
        if claimed_ms:
            traces.append(Trace(claimed_ms, "attempt"))
        traces.append(Trace(settled_ms, "settled", f"{status}: {action}"))
    return traces
