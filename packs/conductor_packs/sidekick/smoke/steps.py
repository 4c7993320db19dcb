"""The steps of the smoke walk: a call of a tool over HTTP, and what must come back.

Promise: a step that needs an earlier one's answer is skipped where that failed, so the first cause
stands out. Refusal: nothing is sent here; the walk is given a way to send.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Answer: TypeAlias = Mapping[str, Any]


class NotLearned(KeyError):
    """An earlier step has not answered what this one needs."""


class Known(dict[str, Any]):
    """What earlier steps answered: ids by their names, and the walk's mark."""

    def __missing__(self, name: str) -> Any:
        """Refuse: nothing is guessed."""
        raise NotLearned(name)


@dataclass(frozen=True, slots=True)
class Step:
    """One call."""

    name: str
    tool: str
    given: Callable[[Known], dict[str, Any]]
    """The input; NotLearned where an earlier step has not answered."""
    check: Callable[[Answer, Known], bool]
    """Whether the `data` (of a refusal: the whole answer) is what must come back."""
    expected: str
    status: int = 200
    learn: Callable[[Answer], dict[str, Any]] = field(default=lambda _: {})
    encoded: bool = False
    """Send the tool's name percent-encoded."""


def _ids(items: Any) -> list[str]:
    return [item["id"] for item in items]


def _nothing(_known: Known) -> dict[str, Any]:
    return {}


def _planned(data: Answer, _known: Known) -> bool:
    tools = [step["tool"] for step in data["plan"]]
    return data["plan_only"] is True and tools == ["task:list", "sidekick:status"]


def _counted(data: Answer, _known: Known) -> bool:
    return all(data[name] >= 1 for name in ("task_count", "memory_entries", "routines", "channels"))


def _exported(data: Answer, known: Known) -> bool:
    stores = data["data"]
    return known["task"] in _ids(stores["tasks"]) and len(stores["audit"]) > 0


STEPS: tuple[Step, ...] = (
    Step("initialise", "sidekick:init", _nothing, lambda d, _: d["initialized"] is True,
         "initialized is true"),
    Step("create a task", "task:create",
         lambda k: {"title": k["mark"], "priority": "P1", "tags": ["smoke"]},
         lambda d, _: d["task"]["status"] == "pending" and d["task"]["priority"] == "P1",
         "a pending task", learn=lambda d: {"task": d["task"]["id"]}),
    Step("list tasks", "task:list", lambda _: {"status": "pending"},
         lambda d, k: k["task"] in _ids(d["items"]), "contains the task"),
    Step("remember", "memory:store",
         lambda k: {"type": "note", "content": f"walked as {k['mark']}", "tags": ["smoke"]},
         lambda d, _: d["memory"]["type"] == "note", "a memory",
         learn=lambda d: {"memory": d["memory"]["id"]}),
    Step("recall", "memory:recall", lambda k: {"query": k["mark"], "type": "note"},
         lambda d, k: k["memory"] in _ids(d["items"]), "contains the memory"),
    Step("configure a channel", "channel:configure", lambda _: {"name": "smoke"},
         lambda d, _: d["channel"]["name"] == "smoke", "a channel",
         learn=lambda d: {"channel": d["channel"]["id"]}),
    Step("send a message", "channel:send", lambda k: {"channel": "smoke", "content": k["mark"]},
         lambda d, k: d["message"]["channel_id"] == k["channel"], "a message in the channel",
         learn=lambda d: {"message": d["message"]["id"]}),
    Step("create a routine", "routine:create",
         lambda k: {"name": k["mark"], "enabled": False,
                    "steps": [{"tool": "task:list"}, {"tool": "sidekick:status"}]},
         lambda d, _: len(d["routine"]["steps"]) == 2, "a routine of two steps",  # noqa: PLR2004  the two above
         learn=lambda d: {"routine": d["routine"]["id"]}),
    Step("plan the routine", "routine:run", lambda k: {"id": k["routine"]}, _planned,
         "a plan of both steps, nothing called"),
    Step("status", "sidekick:status", _nothing, _counted, "counts of at least 1"),
    Step("export", "sidekick:export", lambda _: {"include_audit": True}, _exported,
         "everything, with the audit trail"),
    Step("receive the message", "channel:receive", lambda _: {"channel": "smoke"},
         lambda d, k: k["message"] in _ids(d["items"]), "contains the message"),
    Step("complete the task", "task:complete", lambda k: {"id": k["task"], "note": "walked"},
         lambda d, _: (d["task"]["status"], d["task"]["note"]) == ("done", "walked"),
         "done, with the note"),
    Step("preview a task", "task:create",
         lambda k: {"title": f"{k['mark']} preview", "dry_run": True},
         lambda d, _: d["dry_run"] is True, "says that it is a preview"),
    Step("the preview did nothing", "task:list", lambda k: {"search": f"{k['mark']} preview"},
         lambda d, k: not any("preview" in item["title"] and k["mark"] in item["title"]
                              for item in d["items"]), "is not in the list"),
    Step("a name in percent code", "sidekick:status", _nothing, _counted, "as without",
         encoded=True),
    Step("an unknown id", "task:complete", lambda _: {"id": "task-00000000"},
         lambda d, _: d["error"]["code"] == "NOT_FOUND", "404 NOT_FOUND", status=404),
    Step("an unknown field", "task:create", lambda _: {"title": "x", "colour": "red"},
         lambda d, _: d["error"]["code"] == "INVALID_INPUT", "400 INVALID_INPUT", status=400),
    Step("an unknown tool", "sidekick:fly", _nothing,
         lambda d, _: d["error"]["code"] == "TOOL_NOT_FOUND", "404 TOOL_NOT_FOUND", status=404),
    Step("forget", "memory:forget", lambda k: {"id": k["memory"]},
         lambda d, k: d["deleted_id"] == k["memory"], "the memory is gone"),
)  # fmt: skip
"""The eleven of the plan, then what else must hold."""
