"""The consumer contract agrees with the manifest, both ways, and both clients behave alike."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from conductor_packs.sidekick.client import (
    AnswerUnexpected,
    SidekickClient,
    SidekickFailed,
    connect_sidekick,
)
from conductor_packs.sidekick.contract import requests, responses
from conductor_packs.sidekick.contract.generate import HERE, class_name, generated
from conductor_packs.sidekick.contract.hashing import schema_hash
from conductor_packs.sidekick.contract.methods import SidekickMethods
from conductor_packs.sidekick.contract.shapes import Structs
from conductor_packs.sidekick.contract.version import SCHEMA_HASH
from conductor_packs.sidekick.pack import pack
from conductor_packs.sidekick.toolsets import tool_manifests
from conductor_sdk.errors import SidecarUnreachable
from conductor_sdk.testing import PackHarness
from conductor_sdk.tool_output import ToolOutput, succeeded
from running import Running, environment

TOOLS = {tool.name: tool for tool in tool_manifests("full")}
CORE = {tool.name: tool for tool in tool_manifests("core")}


@pytest.mark.parametrize("name", sorted(generated()))
def test_a_generated_file_is_what_the_tools_give(name: str) -> None:
    assert generated()[name] == (HERE / name).read_text(encoding="utf-8")


def test_the_hash_is_that_of_the_schemas() -> None:
    assert schema_hash() == SCHEMA_HASH


def test_every_tool_has_a_request_a_response_and_a_method_and_there_are_no_others() -> None:
    names = {class_name(tool) for tool in TOOLS}
    assert names == {name[:-7] for name in vars(requests) if name.endswith("Request")}
    assert names == {name[:-8] for name in vars(responses) if name.endswith("Response")}
    methods = {
        name for name, found in vars(SidekickMethods).items() if inspect.iscoroutinefunction(found)
    }
    assert methods - {"call"} == {tool.replace(":", "_") for tool in TOOLS}
    assert set(CORE) < set(TOOLS)


@pytest.mark.parametrize("tool", sorted(TOOLS))
def test_a_request_has_the_fields_of_the_manifest_and_the_same_are_required(tool: str) -> None:
    struct = getattr(requests, f"{class_name(tool)}Request")
    fields = msgspec.structs.fields(struct)
    schema = TOOLS[tool].input_schema or {}
    assert {field.encode_name for field in fields} == set(schema["properties"])
    assert {field.encode_name for field in fields if field.required} == set(
        schema.get("required", ())
    )


@pytest.mark.parametrize("tool", sorted(TOOLS))
def test_a_response_has_the_fields_of_the_manifest(tool: str) -> None:
    struct = getattr(responses, f"{class_name(tool)}Response")
    schema = TOOLS[tool].output_schema or {}
    assert {field.encode_name for field in msgspec.structs.fields(struct)} == set(
        schema["properties"]
    )


@pytest.mark.parametrize("tool", sorted(TOOLS))
def test_an_encoded_request_fits_the_manifests_schema(tool: str) -> None:
    struct = getattr(requests, f"{class_name(tool)}Request")
    fill = {"id": "x-1", "title": "t", "content": "c", "type": "note", "name": "n", "steps": ["a"]}
    needed = {field.name for field in msgspec.structs.fields(struct) if field.required}
    request = struct(**{name: fill[name] for name in needed})
    jsonschema_rs.validator_for(dict(TOOLS[tool].input_schema or {})).validate(
        msgspec.to_builtins(request)
    )


@pytest.mark.parametrize("tool", sorted(CORE))
def test_what_the_core_tool_set_takes_the_contract_takes(tool: str) -> None:
    core, full = CORE[tool].input_schema or {}, TOOLS[tool].input_schema or {}
    assert set(core["properties"]) <= set(full["properties"])
    assert core.get("required", []) == full.get("required", [])


def test_a_schema_that_cannot_be_expressed_is_an_error() -> None:
    with pytest.raises(ValueError, match="no type for"):
        Structs().add("X", {"properties": {"a": {"type": "tuple"}}}, "x")


class InProcess:
    """A client over the tools of a harness, as a pack's own code has it."""

    def __init__(self, workspace: Path) -> None:
        self.harness = PackHarness(pack, workspace=workspace)
        self.client = SidekickClient(self.harness.tools)

    async def close(self) -> None:
        await self.harness.pack_context.storage_port().close()
        await self.harness.close()


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    workspace = tmp_path_factory.mktemp("ws")
    with Running("exec conductor sidecar --adapter memory", workspace, environment()) as running:
        running.wait_for("ready")
        yield workspace
    assert threading.active_count() >= 1


@pytest.fixture(params=["in process", "http"])
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SidekickClient]:
    if request.param == "http":
        yield connect_sidekick(request.getfixturevalue("sidecar"))
        return
    mine = InProcess(tmp_path)
    yield mine.client
    await mine.close()


async def test_a_task_is_created_listed_and_completed(client: SidekickClient) -> None:
    created = await client.task_create(requests.TaskCreateRequest(title="walk", priority="P1"))
    assert (created.task.title, created.task.priority, created.task.status) == (
        "walk", "P1", "pending",
    )  # fmt: skip
    listed = await client.task_list(requests.TaskListRequest(status="pending"))
    assert created.task.id in [item.id for item in listed.items]
    done = await client.task_complete(
        requests.TaskCompleteRequest(id=created.task.id, note="walked")
    )
    assert (done.task.status, done.task.note) == ("done", "walked")


async def test_a_preview_is_told_apart_from_the_thing(client: SidekickClient) -> None:
    made = await client.task_create(requests.TaskCreateRequest(title="x", dry_run=True))
    assert made.dry_run is True
    real = await client.task_create(requests.TaskCreateRequest(title="x"))
    assert real.dry_run is msgspec.UNSET


async def test_a_memory_is_stored_recalled_and_forgotten(client: SidekickClient) -> None:
    stored = await client.memory_store(
        requests.MemoryStoreRequest(type="fact", content="whales are mammals", tags=["sea"])
    )
    recalled = await client.memory_recall(requests.MemoryRecallRequest(query="whale"))
    assert [item.id for item in recalled.items] == [stored.memory.id]
    gone = await client.memory_forget(requests.MemoryForgetRequest(id=stored.memory.id))
    assert gone.deleted_id == stored.memory.id


async def test_messages_and_routines_travel_whole(client: SidekickClient) -> None:
    sent = await client.channel_send(requests.ChannelSendRequest(content="hi", channel="ops"))
    assert isinstance(sent.message, msgspec.Struct)
    received = await client.channel_receive(requests.ChannelReceiveRequest(channel="ops", limit=1))
    assert isinstance(received.items, list)
    assert [item.content for item in received.items] == ["hi"]
    made = await client.routine_create(
        requests.RoutineCreateRequest(
            name="r",
            steps=[
                "task:list",
                requests.RoutineCreateStep(tool="task:create", input={"title": "t"}),
            ],
        )
    )
    plan = await client.routine_run(requests.RoutineRunRequest(id=made.routine.id))
    assert [(step.tool, step.input) for step in plan.plan] == [
        ("task:list", {}), ("task:create", {"title": "t"}),
    ]  # fmt: skip


async def test_status_and_export_say_what_is_there(client: SidekickClient) -> None:
    await client.sidekick_init(requests.SidekickInitRequest())
    await client.task_create(requests.TaskCreateRequest(title="counted"))
    status = await client.sidekick_status(requests.SidekickStatusRequest())
    exported = await client.sidekick_export(requests.SidekickExportRequest(include_audit=False))
    assert (status.initialized, len(exported.data.tasks)) == (True, status.task_count)
    assert exported.data.audit is msgspec.UNSET


async def test_a_key_makes_a_repeated_call_have_one_effect(client: SidekickClient) -> None:
    request = requests.TaskCreateRequest(title="once")
    first = await client.task_create(request, key="k-1")
    again = await client.task_create(request, key="k-1")
    assert first.task.id == again.task.id


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda c: c.task_complete(requests.TaskCompleteRequest(id="task-00000000")), "NOT_FOUND"),
        (lambda c: c.task_create(requests.TaskCreateRequest(title=" ")), "INVALID_INPUT"),
        (
            lambda c: c.task_schedule(requests.TaskScheduleRequest(id="x", cron="banana")),
            "INVALID_INPUT",
        ),
        (lambda c: c.task_update(requests.TaskUpdateRequest(id="x", title="y")), "TOOL_NOT_FOUND"),
    ],
)
async def test_a_refusal_is_the_same_error_on_both_ways(
    client: SidekickClient, call: Any, code: str
) -> None:
    with pytest.raises(SidekickFailed) as refused:
        await call(client)
    assert (refused.value.fault.code, refused.value.data["code"]) == (code, code)


async def test_a_hundred_calls_at_once_are_a_hundred_tasks(client: SidekickClient) -> None:
    made = await asyncio.gather(
        *(client.task_create(requests.TaskCreateRequest(title=f"t{n}")) for n in range(100))
    )
    assert len({response.task.id for response in made}) == 100


async def test_an_answer_that_does_not_fit_is_an_error() -> None:
    class Odd:
        async def call(self, tool: str, input: Any = None, *, key: Any = None) -> ToolOutput:  # noqa: A002  the port's word
            return succeeded({"task": 3})

    with pytest.raises(AnswerUnexpected):
        await SidekickClient(Odd()).task_create(requests.TaskCreateRequest(title="x"))


async def test_without_a_sidecar_http_says_so(tmp_path: Path) -> None:
    with pytest.raises(SidecarUnreachable):
        await connect_sidekick(tmp_path).sidekick_status(requests.SidekickStatusRequest())
