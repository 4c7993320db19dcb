"""What each tool answers where it succeeds, as JSON Schemas.

Promise: an answer has these keys and no other; a record in it may have keys of a later version.
Refusal: a failure is described by its code, not here.
"""

from __future__ import annotations

from typing import Final

from conductor_packs.sidekick.records import (
    Channel,
    Memory,
    Message,
    Record,
    Routine,
    Task,
)
from conductor_packs.sidekick.schemas import Schema, answer, record_schema

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_NUMBER: Schema = {"type": "number"}
_YES: Schema = {"type": "boolean", "const": True}
_FREE: Schema = {"type": "object"}
_IDS: Schema = {"type": "array", "items": _TEXT}
_DRY = {"dry_run": _YES}


def _with(record: type[Record], **more: Schema) -> Schema:
    schema = record_schema(record)
    return {**schema, "properties": {**schema["properties"], **more}}


def _items(schema: Schema) -> Schema:
    return answer({"items": {"type": "array", "items": schema}, "count": _COUNT})


def _either(local: dict[str, Schema], provider: dict[str, Schema], more: Schema) -> Schema:
    """Return the schema of an answer of one of two shapes, flat for those who generate types."""
    return {
        "type": "object",
        "properties": {**local, **provider, **more, **_DRY},
        "additionalProperties": False,
        "anyOf": [{"required": list(local)}, {"required": list(provider)}],
    }


_TASK = record_schema(Task)
_PLAN: Schema = answer({"index": _COUNT, "tool": _TEXT, "input": _FREE})
_PROVIDER: dict[str, Schema] = {
    "provider": _TEXT,
    "capability": {"type": "string", "enum": ["send", "read"]},
    "channel": _TEXT,
}

TASK: Final = answer({"task": _TASK}, _DRY)
TASK_COMPLETED: Final = answer({"task": _TASK}, {"unblocked": _IDS, **_DRY})
TASK_CANCELED: Final = answer({"task": _TASK, "dependents": _IDS}, _DRY)
TASKS: Final = _items(_with(Task, blocked_by=_IDS, next_due_at=_TEXT))
MEMORY: Final = answer({"memory": record_schema(Memory)}, _DRY)
MEMORIES: Final = _items(_with(Memory, snippet=_TEXT, score=_NUMBER))
DELETED: Final = answer({"deleted_id": _TEXT}, _DRY)
CHANNEL: Final = answer({"channel": record_schema(Channel)}, _DRY)
CHANNELS: Final = _items(_with(Channel, message_count=_COUNT, last_message_at=_TEXT))
CHANNEL_DELETED: Final = answer({"deleted_id": _TEXT, "deleted_messages": _COUNT}, _DRY)
SENT: Final = _either(
    {"message": record_schema(Message)},
    _PROVIDER,
    {"externalMessageId": _TEXT, "metadata": _FREE, "delivery_id": _TEXT},
)
RECEIVED: Final = _either(
    {"items": {"type": "array", "items": record_schema(Message)}, "count": _COUNT},
    _PROVIDER,
    {"records": {"type": "array", "items": _FREE}, "nextCursor": _TEXT, "metadata": _FREE},
)
ROUTINE: Final = answer({"routine": record_schema(Routine)}, {"warnings": _IDS, **_DRY})
ROUTINES: Final = _items(record_schema(Routine))
ROUTINE_PLAN: Final = answer(
    {
        "routine_id": _TEXT,
        "name": _TEXT,
        "plan_only": _YES,
        "plan": {"type": "array", "items": _PLAN},
        "governance": answer({"dispatch_required": _YES, "reason": _TEXT}),
    }
)
INITIALIZED: Final = answer({"initialized": _YES, "root_dir": _TEXT}, _DRY)
STATUS: Final = answer({
    "initialized": {"type": "boolean"},
    "version": _TEXT,
    **dict.fromkeys(
        (
            "task_count", "pending_tasks", "completed_tasks", "canceled_tasks", "memory_entries",
            "channels", "messages", "routines", "audit_events",
        ),
        _COUNT,
    ),
})  # fmt: skip
EXPORT: Final = answer(
    {
        "exported_at": _TEXT,
        "version": _TEXT,
        "checksum": _TEXT,
        "data": answer(
            {
                "tasks": {"type": "array", "items": _FREE},
                "memories": {"type": "array", "items": _FREE},
                "channels": {"type": "array", "items": _FREE},
                "messages": {"type": "array", "items": _FREE},
                "routines": {"type": "array", "items": _FREE},
            },
            {"audit": {"type": "array", "items": _FREE}},
        ),
    }
)
