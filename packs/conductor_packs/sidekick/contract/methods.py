"""One method for each tool.

Promise: a method sends its tool's request and returns its tool's response. Refusal: how a
call gets there is not known here.

Written by `python -m conductor_packs.sidekick.contract.generate --write`: do not edit.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec

from conductor_packs.sidekick.contract import requests, responses

R = TypeVar("R", bound=msgspec.Struct)


class SidekickMethods(Protocol):
    """The tools of Sidekick, typed. With a `key` a repeated call has one effect."""

    async def call(
        self, tool: str, request: msgspec.Struct, response: type[R], *, key: str | None = None
    ) -> R:
        """Call a tool; raises SidekickFailed where it does not succeed."""
        ...

    async def task_create(
        self, request: requests.TaskCreateRequest, *, key: str | None = None
    ) -> responses.TaskCreateResponse:
        """Create a task: `task:create`."""
        return await self.call("task:create", request, responses.TaskCreateResponse, key=key)

    async def task_list(
        self, request: requests.TaskListRequest, *, key: str | None = None
    ) -> responses.TaskListResponse:
        """List tasks: `task:list`."""
        return await self.call("task:list", request, responses.TaskListResponse, key=key)

    async def task_complete(
        self, request: requests.TaskCompleteRequest, *, key: str | None = None
    ) -> responses.TaskCompleteResponse:
        """Complete a task: `task:complete`."""
        return await self.call("task:complete", request, responses.TaskCompleteResponse, key=key)

    async def task_schedule(
        self, request: requests.TaskScheduleRequest, *, key: str | None = None
    ) -> responses.TaskScheduleResponse:
        """Schedule a task: `task:schedule`."""
        return await self.call("task:schedule", request, responses.TaskScheduleResponse, key=key)

    async def task_update(
        self, request: requests.TaskUpdateRequest, *, key: str | None = None
    ) -> responses.TaskUpdateResponse:
        """Change a task: `task:update`."""
        return await self.call("task:update", request, responses.TaskUpdateResponse, key=key)

    async def task_cancel(
        self, request: requests.TaskCancelRequest, *, key: str | None = None
    ) -> responses.TaskCancelResponse:
        """Cancel a task: `task:cancel`."""
        return await self.call("task:cancel", request, responses.TaskCancelResponse, key=key)

    async def memory_store(
        self, request: requests.MemoryStoreRequest, *, key: str | None = None
    ) -> responses.MemoryStoreResponse:
        """Remember: `memory:store`."""
        return await self.call("memory:store", request, responses.MemoryStoreResponse, key=key)

    async def memory_recall(
        self, request: requests.MemoryRecallRequest, *, key: str | None = None
    ) -> responses.MemoryRecallResponse:
        """Recall: `memory:recall`."""
        return await self.call("memory:recall", request, responses.MemoryRecallResponse, key=key)

    async def memory_forget(
        self, request: requests.MemoryForgetRequest, *, key: str | None = None
    ) -> responses.MemoryForgetResponse:
        """Forget: `memory:forget`."""
        return await self.call("memory:forget", request, responses.MemoryForgetResponse, key=key)

    async def memory_update(
        self, request: requests.MemoryUpdateRequest, *, key: str | None = None
    ) -> responses.MemoryUpdateResponse:
        """Change a memory: `memory:update`."""
        return await self.call("memory:update", request, responses.MemoryUpdateResponse, key=key)

    async def channel_configure(
        self, request: requests.ChannelConfigureRequest, *, key: str | None = None
    ) -> responses.ChannelConfigureResponse:
        """Configure a channel: `channel:configure`."""
        return await self.call(
            "channel:configure", request, responses.ChannelConfigureResponse, key=key
        )

    async def channel_send(
        self, request: requests.ChannelSendRequest, *, key: str | None = None
    ) -> responses.ChannelSendResponse:
        """Send a message: `channel:send`."""
        return await self.call("channel:send", request, responses.ChannelSendResponse, key=key)

    async def channel_receive(
        self, request: requests.ChannelReceiveRequest, *, key: str | None = None
    ) -> responses.ChannelReceiveResponse:
        """Receive messages: `channel:receive`."""
        return await self.call(
            "channel:receive", request, responses.ChannelReceiveResponse, key=key
        )

    async def channel_list(
        self, request: requests.ChannelListRequest, *, key: str | None = None
    ) -> responses.ChannelListResponse:
        """List channels: `channel:list`."""
        return await self.call("channel:list", request, responses.ChannelListResponse, key=key)

    async def channel_delete(
        self, request: requests.ChannelDeleteRequest, *, key: str | None = None
    ) -> responses.ChannelDeleteResponse:
        """Delete a channel: `channel:delete`."""
        return await self.call("channel:delete", request, responses.ChannelDeleteResponse, key=key)

    async def routine_create(
        self, request: requests.RoutineCreateRequest, *, key: str | None = None
    ) -> responses.RoutineCreateResponse:
        """Create a routine: `routine:create`."""
        return await self.call("routine:create", request, responses.RoutineCreateResponse, key=key)

    async def routine_list(
        self, request: requests.RoutineListRequest, *, key: str | None = None
    ) -> responses.RoutineListResponse:
        """List routines: `routine:list`."""
        return await self.call("routine:list", request, responses.RoutineListResponse, key=key)

    async def routine_run(
        self, request: requests.RoutineRunRequest, *, key: str | None = None
    ) -> responses.RoutineRunResponse:
        """Plan a routine: `routine:run`."""
        return await self.call("routine:run", request, responses.RoutineRunResponse, key=key)

    async def routine_update(
        self, request: requests.RoutineUpdateRequest, *, key: str | None = None
    ) -> responses.RoutineUpdateResponse:
        """Change a routine: `routine:update`."""
        return await self.call("routine:update", request, responses.RoutineUpdateResponse, key=key)

    async def routine_delete(
        self, request: requests.RoutineDeleteRequest, *, key: str | None = None
    ) -> responses.RoutineDeleteResponse:
        """Delete a routine: `routine:delete`."""
        return await self.call("routine:delete", request, responses.RoutineDeleteResponse, key=key)

    async def sidekick_init(
        self, request: requests.SidekickInitRequest, *, key: str | None = None
    ) -> responses.SidekickInitResponse:
        """Set up: `sidekick:init`."""
        return await self.call("sidekick:init", request, responses.SidekickInitResponse, key=key)

    async def sidekick_status(
        self, request: requests.SidekickStatusRequest, *, key: str | None = None
    ) -> responses.SidekickStatusResponse:
        """Status: `sidekick:status`."""
        return await self.call(
            "sidekick:status", request, responses.SidekickStatusResponse, key=key
        )

    async def sidekick_export(
        self, request: requests.SidekickExportRequest, *, key: str | None = None
    ) -> responses.SidekickExportResponse:
        """Export: `sidekick:export`."""
        return await self.call(
            "sidekick:export", request, responses.SidekickExportResponse, key=key
        )
