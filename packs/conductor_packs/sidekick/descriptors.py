"""The table of tools: the one source of the manifest, both tool sets, the contract and the docs.

Promise: whatever is said about a tool anywhere is said here first, and tests hold the others to
it. Refusal: no tool is implemented or imported here; an `entry` is a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar

from conductor_packs.sidekick import outputs
from conductor_packs.sidekick.inputs import channels, memory, routines, system, tasks
from conductor_packs.sidekick.inputs.fields import Input
from conductor_packs.sidekick.names import PACK, ROOT
from conductor_packs.sidekick.schemas import Schema, Toolset
from conductor_sdk.manifest_tools import PathScope

I = TypeVar("I", bound=Input)  # noqa: E741  one letter as type parameters have it
Permission = Literal["read", "write"]
Group = Literal["task", "memory", "channel", "routine", "sidekick"]

MODULES: Final[dict[str, str]] = {
    "task": "tasks", "memory": "memory", "channel": "channels", "routine": "routines",
    "sidekick": "system",
}  # fmt: skip
"""The module of a group's tools; the directory of its records too, but for `sidekick`'s."""


@dataclass(frozen=True, slots=True)
class ToolDescriptor(Generic[I]):
    """One tool."""

    name: str
    title: str
    description: str
    permission: Permission
    inputs: type[I]
    output: Schema
    toolset: Toolset = "core"
    """The smallest tool set that has it."""
    approved: bool = False
    """In the full tool set each call needs an approval of its own."""
    destructive: bool = False
    idempotent: bool = False

    @property
    def group(self) -> str:
        """The word before the colon."""
        return self.name.partition(":")[0]

    @property
    def identifier(self) -> str:
        """The name as an identifier: `task_create`."""
        return self.name.replace(":", "_")

    @property
    def entry(self) -> str:
        """Where the tool is: `package.module:attribute`."""
        return f"conductor_packs.sidekick.tools.{MODULES[self.group]}:{self.identifier}"

    @property
    def approvals(self) -> tuple[str, ...]:
        """What a call needs in the full tool set."""
        return (f"{PACK}:{self.identifier}",) if self.approved else ()

    @property
    def declared(self) -> tuple[PathScope, ...]:
        """The scopes of the manifest: all of the pack's directory."""
        return _scopes(f"{ROOT}/**", self.permission)

    @property
    def needed(self) -> tuple[PathScope, ...]:
        """The scopes without which a call is refused: those of the tool's own records."""
        if self.group == PACK:
            return self.declared
        own = _scopes(f"{ROOT}/{MODULES[self.group]}/**", self.permission)
        if self.permission == "read":
            return own
        return (*own, _scope(f"{ROOT}/audit/**", "write"), _scope(f"{ROOT}/.lock", "write"))


def _scope(pattern: str, access: Permission) -> PathScope:
    return PathScope(type="path", pattern=pattern, access=access)


def _scopes(pattern: str, permission: Permission) -> tuple[PathScope, ...]:
    read = _scope(pattern, "read")
    return (read,) if permission == "read" else (read, _scope(pattern, "write"))


TASK_CREATE: Final = ToolDescriptor(
    "task:create", "Create a task", "Adds a pending task.",
    "write", tasks.TaskCreate, outputs.TASK,
)  # fmt: skip
TASK_LIST: Final = ToolDescriptor(
    "task:list", "List tasks", "Returns the tasks that match all filters, last changed first.",
    "read", tasks.TaskList, outputs.TASKS, idempotent=True,
)  # fmt: skip
TASK_COMPLETE: Final = ToolDescriptor(
    "task:complete", "Complete a task",
    "Marks a task done. Doing it again changes nothing but a new note.",
    "write", tasks.TaskComplete, outputs.TASK_COMPLETED, idempotent=True,
)  # fmt: skip
TASK_SCHEDULE: Final = ToolDescriptor(
    "task:schedule", "Schedule a task",
    "Sets when a task is due, once or again and again; nothing runs by itself.",
    "write", tasks.TaskSchedule, outputs.TASK, idempotent=True,
)  # fmt: skip
TASK_UPDATE: Final = ToolDescriptor(
    "task:update", "Change a task", "Changes the named fields of a task.",
    "write", tasks.TaskUpdate, outputs.TASK, toolset="full", idempotent=True,
)  # fmt: skip
TASK_CANCEL: Final = ToolDescriptor(
    "task:cancel", "Cancel a task",
    "Ends a task without its being done, for good. Tasks that depend on it stay blocked and are "
    "named.",
    "write", tasks.TaskCancel, outputs.TASK_CANCELED,
    toolset="full", approved=True, destructive=True, idempotent=True,
)  # fmt: skip
MEMORY_STORE: Final = ToolDescriptor(
    "memory:store", "Remember", "Keeps a fact, preference, note or snippet.",
    "write", memory.MemoryStore, outputs.MEMORY,
)  # fmt: skip
MEMORY_RECALL: Final = ToolDescriptor(
    "memory:recall", "Recall",
    "Returns the memories that match all filters: the best match first, with a snippet, or the "
    "last changed first without a query.",
    "read", memory.MemoryRecall, outputs.MEMORIES, idempotent=True,
)  # fmt: skip
MEMORY_UPDATE: Final = ToolDescriptor(
    "memory:update", "Change a memory", "Changes the named fields of a memory.",
    "write", memory.MemoryUpdate, outputs.MEMORY, toolset="full", idempotent=True,
)  # fmt: skip
MEMORY_FORGET: Final = ToolDescriptor(
    "memory:forget", "Forget", "Removes a memory for good.",
    "write", memory.MemoryForget, outputs.DELETED,
    approved=True, destructive=True, idempotent=True,
)  # fmt: skip
CHANNEL_CONFIGURE: Final = ToolDescriptor(
    "channel:configure", "Configure a channel", "Makes a channel, or changes the one of that name.",
    "write", channels.ChannelConfigure, outputs.CHANNEL, idempotent=True,
)  # fmt: skip
CHANNEL_LIST: Final = ToolDescriptor(
    "channel:list", "List channels",
    "Returns the channels, each with how many messages it keeps and when the last one was sent.",
    "read", channels.ChannelList, outputs.CHANNELS, toolset="full", idempotent=True,
)  # fmt: skip
CHANNEL_SEND: Final = ToolDescriptor(
    "channel:send", "Send a message",
    "Puts a message into a channel of the workspace, which keeps its last 100; with a provider, "
    "hands it to that transport instead.",
    "write", channels.ChannelSend, outputs.SENT,
)  # fmt: skip
CHANNEL_RECEIVE: Final = ToolDescriptor(
    "channel:receive", "Receive messages",
    "Returns messages of the workspace's channels, oldest first; with a provider, what that "
    "transport received.",
    "read", channels.ChannelReceive, outputs.RECEIVED, idempotent=True,
)  # fmt: skip
CHANNEL_DELETE: Final = ToolDescriptor(
    "channel:delete", "Delete a channel", "Removes a channel and its messages for good.",
    "write", channels.ChannelDelete, outputs.CHANNEL_DELETED,
    toolset="full", approved=True, destructive=True, idempotent=True,
)  # fmt: skip
ROUTINE_CREATE: Final = ToolDescriptor(
    "routine:create", "Create a routine", "Keeps a named list of tool calls.",
    "write", routines.RoutineCreate, outputs.ROUTINE,
)  # fmt: skip
ROUTINE_LIST: Final = ToolDescriptor(
    "routine:list", "List routines", "Returns the routines, last changed first.",
    "read", routines.RoutineList, outputs.ROUTINES, idempotent=True,
)  # fmt: skip
ROUTINE_UPDATE: Final = ToolDescriptor(
    "routine:update", "Change a routine",
    "Changes the named fields of a routine; `enabled: false` stops it.",
    "write", routines.RoutineUpdate, outputs.ROUTINE, toolset="full", idempotent=True,
)  # fmt: skip
ROUTINE_RUN: Final = ToolDescriptor(
    "routine:run", "Plan a routine",
    "Returns the calls that a routine plans. Nothing is called: each call goes through the tool "
    "host on its own.",
    "read", routines.RoutineRun, outputs.ROUTINE_PLAN, idempotent=True,
)  # fmt: skip
ROUTINE_DELETE: Final = ToolDescriptor(
    "routine:delete", "Delete a routine", "Removes a routine for good.",
    "write", routines.RoutineDelete, outputs.DELETED,
    toolset="full", approved=True, destructive=True, idempotent=True,
)  # fmt: skip
SIDEKICK_INIT: Final = ToolDescriptor(
    "sidekick:init", "Set up", "Makes the pack's directory; no other tool needs it.",
    "write", system.SidekickInit, outputs.INITIALIZED, idempotent=True,
)  # fmt: skip
SIDEKICK_STATUS: Final = ToolDescriptor(
    "sidekick:status", "Status", "Counts what is kept.",
    "read", system.SidekickStatus, outputs.STATUS, idempotent=True,
)  # fmt: skip
SIDEKICK_EXPORT: Final = ToolDescriptor(
    "sidekick:export", "Export",
    "Returns everything that is kept, from one consistent state, with a checksum.",
    "read", system.SidekickExport, outputs.EXPORT, idempotent=True,
)  # fmt: skip

DESCRIPTORS: Final[tuple[ToolDescriptor[Any], ...]] = (
    TASK_CREATE, TASK_LIST, TASK_COMPLETE, TASK_SCHEDULE, TASK_UPDATE, TASK_CANCEL,
    MEMORY_STORE, MEMORY_RECALL, MEMORY_FORGET, MEMORY_UPDATE,
    CHANNEL_CONFIGURE, CHANNEL_SEND, CHANNEL_RECEIVE, CHANNEL_LIST, CHANNEL_DELETE,
    ROUTINE_CREATE, ROUTINE_LIST, ROUTINE_RUN, ROUTINE_UPDATE, ROUTINE_DELETE,
    SIDEKICK_INIT, SIDEKICK_STATUS, SIDEKICK_EXPORT,
)  # fmt: skip
"""All tools by group; within a group those of the core tool set first, in the manifest's order."""


def tools_of(toolset: Toolset) -> list[ToolDescriptor[Any]]:
    """Return the tools of a tool set, in the table's order."""
    return [tool for tool in DESCRIPTORS if toolset == "full" or tool.toolset == "core"]
