"""Records for the contract suites.

Promise: the same every time, and together they use every field. Refusal: nothing here is random.
"""

from __future__ import annotations

from typing import Any

from conductor_packs.sidekick.records import (
    CHANNELS,
    DELIVERIES,
    MEMORIES,
    MESSAGES,
    ROUTINES,
    RUNS,
    TASKS,
    Channel,
    Delivery,
    Memory,
    Message,
    Record,
    Routine,
    RoutineRun,
    RoutineStep,
    RunStep,
    Store,
    Task,
)

AT = "2026-01-01T00:00:00.000Z"
LATER = "2026-01-02T00:00:00.000Z"


def task(number: int, title: str = "a task") -> Task:
    """Return a task with the smallest content; its id is made from the number."""
    return Task(id=f"task-{number:08x}", title=title, created_at=AT, updated_at=AT)


def memory(name: str, content: str, *, tags: tuple[str, ...] = (), updated_at: str = AT) -> Memory:
    """Return a fact; its id is made from the name."""
    return Memory(id=f"mem-{name}", type="fact", content=content, tags=tags, created_at=AT,
                  updated_at=updated_at)  # fmt: skip


def message(number: int, channel_id: str) -> Message:
    """Return a message; it was made at the number's second."""
    return Message(id=f"msg-{channel_id}-{number:04}", channel_id=channel_id, sender="assistant",
                   content=str(number),
                   created_at=f"2026-01-01T00:{number // 60:02}:{number % 60:02}.000Z")  # fmt: skip


def full_records() -> list[tuple[Store[Any], Record]]:
    """Return one record of every store, every field of it set, and keys that nobody knows."""
    extra = {"x_colour": "red", "x_nested": {"deep": [1, None, {"a": 1.5}]}}
    times = {"created_at": AT, "updated_at": LATER}
    step = RoutineStep("task:create", {"title": 'ü "quoted" \n line', "n": 1}, {"x_step": [True]})
    records: list[tuple[Store[Any], Record]] = [
        (TASKS, Task(id="task-0000000a", title="t", description="d", priority="P0", status="done",
                     tags=("b", "a"), due_at=LATER, defer_until=AT, cron="0 9 * * *",
                     depends_on=("task-0000000b",), note="n", completed_at=LATER,
                     canceled_at=LATER, reason="r", extra=extra, **times)),
        (MEMORIES, Memory(id="mem-0000000a", type="snippet", content="日本語 \u2028 𝄞",
                          tags=("x",), extra=extra, **times)),
        (CHANNELS, Channel(id="chan-0000000a", name="Ops", type="webhook", extra=extra, **times)),
        (MESSAGES, Message(id="msg-0000000a", channel_id="chan-0000000a", sender="assistant",
                           content="c", created_at=AT, metadata={"k": [1]}, external_id="e",
                           extra=extra)),
        (DELIVERIES, Delivery(id="dlv-0000000a", provider="slack", channel="c", content="c",
                              state="failed", attempts=3, next_attempt_at=LATER, workspace_id="w",
                              metadata={}, message_id="msg-0000000a", failure_class="terminal",
                              error="e", external_message_id="x", delivered_at=AT, extra=extra,
                              **times)),
        (ROUTINES, Routine(id="routine-0000000a", name="r", steps=(step,), cron="* * * * *",
                           enabled=False, description="d", last_run_at=AT, extra=extra, **times)),
        (RUNS, RoutineRun(id="run-0000000a", routine_id="routine-0000000a", due_at=AT,
                          started_at=AT, state="failed", finished_at=LATER, error="e", extra=extra,
                          steps=(RunStep(index=0, tool="task:create", success=False, code="X",
                                         call_id="c", duration_ms=4,
                                         extra={"x_step": None}),))),
    ]  # fmt: skip
    return records
