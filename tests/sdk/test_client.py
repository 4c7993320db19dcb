"""The client: the same receipts and exceptions as inside, through a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from answering import Answering, OnControlSocket, serving
from conductor_sdk.client import SidecarAnswered, ask, connect
from conductor_sdk.clock import ManualClock
from conductor_sdk.context import PushReceipt, SyncPort
from conductor_sdk.errors import (
    ConductorError,
    EventMalformed,
    QueueFull,
    SidecarUnreachable,
    SubjectMismatch,
    UnknownKind,
)
from conductor_sdk.event import keyed_event_id
from conductor_sdk.event_builder import build_kernel_event_v2
from conductor_sdk.workspace import WorkspaceMissing, resolve_workspace

KIND = "acme-demo:job_completed"


class Answers(Answering):
    """A daemon's answers: a status, receipts for whatever is pushed, or what the test says."""

    def answer(self, body: Any) -> tuple[int, bytes]:
        self.server.requests.append((self.command, self.path, body))
        if self.path == "/v1/status":
            return 200, json.dumps({"subject": self.server.subject, "pid": 1}).encode()
        if self.server.answer is not None:
            status, text = self.server.answer
            return status, text
        receipts = [
            {"event_id": e["event_id"], "kind": e["kind"], "status": "queued", "reason": None}
            for e in body["events"]
        ]
        return 200, json.dumps({"receipts": receipts}).encode()


class Server(OnControlSocket):
    def __init__(self, root: Path) -> None:
        super().__init__(root, Answers)
        self.subject: str | None = "ws-test"
        self.answer: tuple[int, bytes] | None = None
        self.requests: list[tuple[str, str, Any]] = []

    def complain(self, error: ConductorError, status: int = 400) -> None:
        self.answer = (status, json.dumps({"error": error.as_json()}).encode())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    with serving(server):
        yield server


async def test_a_mapping_without_from_is_pushed_as_the_enrolled_subject(
    tmp_path: Path, server: Server
) -> None:
    clock = ManualClock()
    async with connect(tmp_path, clock=clock) as sidecar:
        receipts = await sidecar.sync_port.push_kernel_events(
            [
                {"kind": KIND, "payload": {"job": 1}, "idempotency_key": "job-1"},
                {"kind": KIND, "job": 2},
            ]
        )

    sent = server.requests[-1][2]["events"]
    assert receipts[0] == PushReceipt(keyed_event_id("ws-test", KIND, "job-1"), KIND, "queued")
    assert [event["from"] for event in sent] == ["ws-test", "ws-test"]
    assert [event["payload"] for event in sent] == [{"job": 1}, {"job": 2}]
    assert sent[0]["timestamp"] == "2026-01-01T00:00:00.000Z"
    assert "idempotency_key" not in sent[0]


async def test_a_built_event_passes_as_it_is_and_needs_no_other_request(
    tmp_path: Path, server: Server
) -> None:
    event = build_kernel_event_v2({"kind": KIND, "from": "ws-test"}, idempotency_key="k")
    sidecar = connect(tmp_path)

    receipts = await sidecar.sync_port.push_kernel_events([event])
    sidecar.close()

    assert receipts[0].event_id == event.event_id
    assert [(method, path) for method, path, _ in server.requests] == [("POST", "/v1/push")]
    assert server.requests[0][2] == {"events": [json.loads(event.to_json())]}


async def test_a_flat_version_1_event_passes_through_flat(tmp_path: Path, server: Server) -> None:
    flat = {"schema_version": 1, "kind": "task_claimed", "timestamp": "2026-01-01T00:00:00Z",
            "task_id": "t"}  # fmt: skip
    server.answer = (200, b'{"receipts":[]}')
    async with connect(tmp_path) as sidecar:
        await sidecar.sync_port.push_kernel_events([flat])

    assert server.requests[-1][2] == {"events": [flat]}


async def test_nothing_to_push_asks_nobody(tmp_path: Path) -> None:
    assert await connect(tmp_path).sync_port.push_kernel_events([]) == []


async def test_status_and_subject_come_from_the_sidecar(tmp_path: Path, server: Server) -> None:
    sidecar = connect(str(tmp_path))

    assert await sidecar.status() == {"subject": "ws-test", "pid": 1}
    assert sidecar.subject == "ws-test"
    assert sidecar.workspace == resolve_workspace(tmp_path).root


async def test_the_port_has_the_shape_of_the_one_inside(tmp_path: Path) -> None:
    port: SyncPort = connect(tmp_path).sync_port

    assert callable(port.push_kernel_events)


@pytest.mark.parametrize(
    "raised",
    [
        UnknownKind("acme-demo:nope", data={"kind": "acme-demo:nope"}), EventMalformed("no kind"),
        SubjectMismatch("'a', enrolled as 'b'"), QueueFull("", hint="wait"), QueueFull(),
    ],
)  # fmt: skip
async def test_what_the_sidecar_raised_is_raised_here(
    tmp_path: Path, server: Server, raised: ConductorError
) -> None:
    server.complain(raised)
    async with connect(tmp_path) as sidecar:
        with pytest.raises(type(raised)) as caught:
            await sidecar.sync_port.push_kernel_events([{"kind": KIND}])

    assert caught.value.as_json() == raised.as_json()


async def test_an_unknown_complaint_keeps_its_code_and_hint(tmp_path: Path, server: Server) -> None:
    class Novel(ConductorError):
        """Something new."""

        code = "NOVEL"

    server.complain(Novel("x", hint="run: that"), 500)
    async with connect(tmp_path) as sidecar:
        with pytest.raises(SidecarAnswered, match=r"Something new: x \[NOVEL\]") as caught:
            await sidecar.sync_port.push_kernel_events([{"kind": KIND}])

    assert (caught.value.hint, caught.value.data) == ("run: that", {"code": "NOVEL"})


@pytest.mark.parametrize("answer", [(200, b"not json"), (200, b"{}"), (502, b"<html>")])
async def test_an_answer_that_makes_no_sense_is_said_so(
    tmp_path: Path, server: Server, answer: tuple[int, bytes]
) -> None:
    server.answer = answer
    async with connect(tmp_path) as sidecar:
        with pytest.raises(SidecarAnswered):
            await sidecar.sync_port.push_kernel_events([{"kind": KIND}])


async def test_a_malformed_event_is_refused_before_it_is_sent(
    tmp_path: Path, server: Server
) -> None:
    async with connect(tmp_path) as sidecar:
        for fields in ({"kind": "No Kind"}, {"kind": KIND, "idempotency_key": 1}, {}):
            with pytest.raises(EventMalformed):
                await sidecar.sync_port.push_kernel_events([fields])

    assert [path for _, path, _ in server.requests] == ["/v1/status"]


async def test_no_sidecar_is_unreachable_from_every_side(tmp_path: Path) -> None:
    sidecar = connect(tmp_path)

    with pytest.raises(SidecarUnreachable):
        async with sidecar:
            pass
    with pytest.raises(SidecarUnreachable):
        await sidecar.sync_port.push_kernel_events([{"kind": KIND}])
    with pytest.raises(SidecarUnreachable):
        _ = sidecar.subject
    with pytest.raises(WorkspaceMissing):
        connect(tmp_path / "nowhere")


async def test_a_lost_answer_is_unreachable_and_the_same_keys_give_the_same_ids(
    tmp_path: Path, server: Server
) -> None:
    event = {"kind": KIND, "idempotency_key": "k"}
    async with connect(tmp_path) as sidecar:
        server.answer = (0, b"")
        with pytest.raises(SidecarUnreachable):
            await sidecar.sync_port.push_kernel_events([event])
        server.answer = None
        receipts = await sidecar.sync_port.push_kernel_events([event])

    ids = [body["events"][0]["event_id"] for _, path, body in server.requests if "push" in path]
    assert ids == [receipts[0].event_id] * 2


async def test_a_sidecar_without_a_subject_is_not_enrolled(tmp_path: Path, server: Server) -> None:
    server.subject = None

    with pytest.raises(SidecarAnswered, match="not enrolled"):
        await connect(tmp_path).sync_port.push_kernel_events([{"kind": KIND}])


async def test_a_new_enrollment_is_noticed_after_a_mismatch(tmp_path: Path, server: Server) -> None:
    async with connect(tmp_path) as sidecar:
        server.subject = "ws-new"
        server.complain(SubjectMismatch("old"))
        with pytest.raises(SubjectMismatch):
            await sidecar.sync_port.push_kernel_events([{"kind": KIND}])
        server.answer = None
        await sidecar.sync_port.push_kernel_events([{"kind": KIND}])

    assert server.requests[-1][2]["events"][0]["from"] == "ws-new"


async def test_many_tasks_share_one_client(tmp_path: Path, server: Server) -> None:
    async with connect(tmp_path) as sidecar:
        results = await asyncio.gather(
            *(sidecar.sync_port.push_kernel_events([{"kind": KIND, "at": at}]) for at in range(40))
        )

    assert len({receipts[0].event_id for receipts in results}) == 40


def test_a_program_without_a_loop_can_ask(tmp_path: Path, server: Server) -> None:
    answer = ask(resolve_workspace(tmp_path), "GET", "/v1/status", timeout_s=5)

    assert json.loads(answer)["subject"] == "ws-test"
    assert connect(tmp_path).subject == "ws-test"
