"""The real server on loopback, with a raw WebSocket client and a raw HTTP client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx2
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from conductor_protocol.messages import PROTOCOL, Beat, Head
from conductor_sdk.clock import SystemClock
from conductor_sdk.secret import Secret
from conductor_server.errors import LinkEnded, NotLoopback
from conductor_server.fault_plan import parse_faults
from conductor_server.hub import EmbeddedConductor, ToSend
from conductor_server.server import Address, serve
from conductor_server.settings import HubSettings

KIND = "conductor:recovery_requested"
OPERATOR = Secret("the operator's token")


class WebSocketWire:
    """The client's end of a WebSocket as a link."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def receive(self, limit: int) -> list[bytes]:
        try:
            return [await self.socket.recv(decode=False)]
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else 1006
            raise LinkEnded(close_code=code) from None

    async def send(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            await self.socket.send(frame, text=True)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self.socket.close(code, reason)


class Served:
    """A running server, and what tests do with it."""

    def __init__(self, conductor: EmbeddedConductor, address: Address, play: Any) -> None:
        self.conductor = conductor
        self.address = address
        self._play = play
        self.http = httpx2.AsyncClient(base_url=address.url)

    async def credential(self, workspace: str = "ws-1") -> str:
        issued = await self.conductor.tokens.issue(workspace)
        return (await self.conductor.enroll(issued.text.reveal())).text.reveal()

    async def open(self, credential: str, **given: Any) -> ClientConnection:
        options = {"subprotocols": [PROTOCOL], "compression": None, "max_size": None, **given}
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        return await connect(self.address.link, additional_headers=headers, **options)

    async def sidecar(self, workspace: str = "ws-1") -> Any:
        return self._play(WebSocketWire(await self.open(await self.credential(workspace))))

    async def call(self, path: str, token: str, body: object = None, method: str = "POST") -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return await self.http.request(method, path, json=body, headers=headers)


@pytest.fixture
async def served(conductor: EmbeddedConductor, play: Any) -> AsyncIterator[Served]:
    async with serve(conductor, operator_token=OPERATOR) as address:
        served = Served(conductor, address, play)
        yield served
        await served.http.aclose()


async def test_an_enrollment_gives_credential_subject_and_link(served: Any) -> None:
    issued = await served.conductor.tokens.issue("ws-1")

    response = await served.call("/api/v1/enrollments", issued.text.reveal())

    grant = response.json()
    assert (200, "ws-1", None, served.address.link) == (
        response.status_code, grant["subject"], grant["expires_at"], grant["link"],
    )  # fmt: skip
    record = await served.conductor.tokens.authenticate(grant["credential"])
    assert "ws-1" == record.workspace


@pytest.mark.parametrize(
    ("case", "status", "code"),
    [
        ("missing", 401, "CREDENTIAL_MISSING"),
        ("malformed", 401, "TOKEN_MALFORMED"),
        ("expired", 401, "TOKEN_EXPIRED"),
        ("unknown", 401, "CREDENTIAL_UNKNOWN"),
        ("used", 403, "TOKEN_USED"),
        ("revoked", 403, "CREDENTIAL_REVOKED"),
        ("refusing", 503, "REFUSING"),
    ],
)
async def test_an_enrollment_is_refused_with_status_code_and_hint(
    served: Any, history: Any, case: Any, status: Any, code: Any
) -> None:
    desk = served.conductor.tokens
    issued = await desk.issue("ws-1", ttl_s=-1 if case == "expired" else 60)
    text = {"missing": "", "malformed": "cse1.nonsense"}.get(case, issued.text.reveal())
    if case == "unknown":
        history._tokens.clear()
    elif case == "used":
        await desk.redeem(text)
    elif case == "revoked":
        await desk.revoke(issued.record.token_id)
    elif case == "refusing":
        served.conductor.faults.set(["refuse=503@3"])

    response = await served.call("/api/v1/enrollments", text)

    error = response.json()["error"]
    assert (status, code, {"code", "message", "hint"}) == (
        response.status_code, error["code"], set(error),
    )  # fmt: skip
    assert {"refusing": "3"}.get(case) == response.headers.get("retry-after")


@pytest.mark.parametrize(
    ("case", "status", "code"),
    [
        ("missing", 401, "CREDENTIAL_MISSING"),
        ("unknown", 401, "CREDENTIAL_UNKNOWN"),
        ("revoked", 403, "CREDENTIAL_REVOKED"),
        ("subprotocol", 400, "BAD_REQUEST"),
        ("refusing", 429, "REFUSING"),
    ],
)
async def test_a_link_is_refused_before_the_upgrade(
    served: Any, case: Any, status: Any, code: Any
) -> None:
    credential = await served.credential()
    if case == "revoked":
        [_, record] = await served.conductor.tokens.records()
        await served.conductor.revoke(record.token_id)
    elif case == "refusing":
        served.conductor.faults.set(["refuse=429@2.5"])
    given = {"subprotocols": None} if case == "subprotocol" else {}

    with pytest.raises(InvalidStatus) as refused:
        await served.open({"missing": "", "unknown": "csc_nobody"}.get(case, credential), **given)

    response = refused.value.response
    error = msgspec.json.decode(bytes(response.body))["error"]
    assert (status, code) == (response.status_code, error["code"])
    assert {"refusing": "3"}.get(case) == response.headers.get("Retry-After")


async def test_a_plain_request_to_the_link_is_told_to_upgrade(served: Any) -> None:
    response = await served.call("/link", "", method="GET")

    assert (426, "UPGRADE_REQUIRED") == (response.status_code, response.json()["error"]["code"])


async def test_events_and_pushes_cross_a_real_websocket(served: Any, made: Any) -> None:
    sidecar = await served.sidecar()
    await sidecar.hello()
    sent = await served.conductor.send("ws-1", KIND, {"wu_id": "acme-job-1"})
    [(sequence, event)] = await sidecar.events(1)

    results = await sidecar.push(made(key="1"), made(key="1"))

    assert (sent.sequence, sent.event_id) == (sequence, event.event_id)
    assert ["accepted", "duplicate"] == [result.status for result in results]
    await sidecar.link.close()


async def test_ten_thousand_events_arrive_in_order_over_a_websocket(served: Any) -> None:
    await served.conductor.send_many("ws-1", [ToSend(KIND, {"n": n}) for n in range(10_000)])
    sidecar = await served.sidecar()
    await sidecar.hello(credit=2000)
    got: list[int] = []

    while len(got) < 10_000:
        got += [n for n, _ in await sidecar.events(1)]
        await sidecar.ack(got[-1], credit=2000)

    assert list(range(1, 10_001)) == got
    await sidecar.link.close()


async def test_a_revoked_credential_loses_its_link_at_once(served: Any) -> None:
    sidecar = await served.sidecar()
    await sidecar.hello()
    [_, record] = await served.conductor.tokens.records()

    await served.call("/dev/tokens/revoke", OPERATOR.reveal(), {"token_id": record.token_id})

    assert 1008 == (await sidecar.closed()).close_code


async def test_a_newer_websocket_takes_over(served: Any) -> None:
    credential = await served.credential()
    older, newer = [served._play(WebSocketWire(await served.open(credential))) for _ in range(2)]
    await older.hello()

    await newer.hello()

    assert 1008 == (await older.closed()).close_code
    await newer.link.close()


async def test_a_restart_keeps_the_epoch_and_a_forgetful_one_does_not(served: Any) -> None:
    credential = await served.credential()
    welcomes = []
    for path in (None, "/dev/restart", "/dev/restart"):
        if path:
            await served.call(path, OPERATOR.reveal(), {"forget": len(welcomes) == 2})
        sidecar = served._play(WebSocketWire(await served.open(credential)))
        epoch = welcomes[0].epoch if welcomes else ""
        welcomes.append(await sidecar.hello(epoch=epoch))

    assert [True, True, False] == [welcome.resumed for welcome in welcomes]
    assert welcomes[0].epoch == welcomes[1].epoch != welcomes[2].epoch
    await sidecar.link.close()


async def test_stopping_the_server_closes_links_and_returns(conductor: Any, play: Any) -> None:
    async with serve(conductor) as address:
        served = Served(conductor, address, play)
        sidecar = await served.sidecar()
        await sidecar.hello()
        await served.http.aclose()

    assert 1001 == (await sidecar.closed()).close_code


async def test_a_client_that_vanishes_leaves_no_session_behind(served: Any, until: Any) -> None:
    records = served.conductor.watch()
    sidecar = await served.sidecar()
    await sidecar.hello()

    sidecar.link.socket.transport.abort()

    await until(records, "disconnected")
    assert {} == served.conductor._sessions


@pytest.mark.parametrize("fault", ["black_hole", "down.drop=1", "up.drop=1"])
async def test_a_silent_link_never_welcomes(served: Any, fault: Any) -> None:
    served.conductor.faults.set([fault])
    sidecar = await served.sidecar()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await sidecar.hello()

    await sidecar.link.close()


async def test_close_after_ends_a_link(served: Any) -> None:
    served.conductor.faults.set(["close_after=2"])
    sidecar = await served.sidecar()
    await sidecar.hello()

    await sidecar.say(Beat(sequence=0))

    assert 1011 == (await sidecar.closed()).close_code


async def test_faults_of_the_start_hold_from_the_first_link(history: Any, play: Any) -> None:
    conductor = EmbeddedConductor(
        history, SystemClock(), HubSettings(close_s=0.5),
    )  # fmt: skip
    conductor.faults.plan = parse_faults(["down.duplicate=1"])
    async with serve(conductor) as address:
        served = Served(conductor, address, play)
        sidecar = await served.sidecar()
        await sidecar.hello()
        await conductor.send("ws-1", KIND, {})

        assert [1, 1] == [n for n, _ in await sidecar.events(2)]
        await sidecar.link.close()
        await served.http.aclose()


async def test_the_server_listens_on_this_machine_only_unless_told(conductor: Any) -> None:
    with pytest.raises(NotLoopback):
        async with serve(conductor, "0.0.0.0"):
            pass

    async with serve(conductor, "0.0.0.0", allow_remote=True) as address:
        assert "0.0.0.0" == address.host


async def test_a_taken_port_is_an_error(served: Any) -> None:
    with pytest.raises(OSError, match="in use"):
        async with serve(served.conductor, port=served.address.port):
            pass


async def test_pushed_over_http_is_confirmed_by_id_and_deduped(served: Any, made: Any) -> None:
    credential = await served.credential()
    one, two, foreign = made(key="1"), made(key="2"), made(key="3", subject="ws-9")
    broken = {"schema_version": 2, "kind": "Nonsense", "event_id": "evt-broken"}
    events = [msgspec.to_builtins(e) for e in (one, foreign, two, one)]

    response = await served.call(
        "/api/v1/events", credential, {"workspace_id": "ws-1", "events": [*events, broken]}
    )

    assert {
        "accepted": 3,
        "accepted_ids": [one.event_id, two.event_id, one.event_id],
        "rejected": [
            {"event_id": foreign.event_id, "reason": "subject_mismatch"},
            {"event_id": "evt-broken", "reason": "EVENT_MALFORMED"},
        ],
    } == response.json()
    kept = await served.conductor.history.pushed("ws-1", 0, 10)
    assert [one.event_id, two.event_id] == [event.event_id for event in kept]


CALLS: dict[str, dict[str, Any]] = {
    "policies": {},
    "config": {},
    "telemetry": {"records": [{"metric": "m", "value": 1.5, "timestamp": "2026-01-01T00:00:00Z"}]},
    "evidence": {"evidence_refs": ["a", "b"]},
    "events": {"events": []},
    "authenticate": {"org_id": "org", "agent_id": "agent"},
    "heartbeat": {"session_id": "s-1"},
    "approvals/request": {"type": "my-pack:job_destructive", "subject": {"job": 1}},
    "approvals/list": {},
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_control_plane_call_answers_its_own_workspace_only(served: Any, call: Any) -> None:
    credential, body = await served.credential(), CALLS[call]

    answers = [
        await served.call(f"/api/v1/{call}", token, {"workspace_id": workspace, **body})
        for token, workspace in ((credential, "ws-1"), (credential, "ws-2"), ("", "ws-1"))
    ]

    assert [200, 403, 401] == [answer.status_code for answer in answers]
    assert "FOREIGN_WORKSPACE" == answers[1].json()["error"]["code"]


async def test_control_plane_answers_have_their_documented_shape(served: Any) -> None:
    credential = await served.credential()
    answers = {
        call: (
            await served.call(f"/api/v1/{call}", credential, {"workspace_id": "ws-1", **body})
        ).json()
        for call, body in CALLS.items()
    }

    assert {"default_decision": "allow", "rules": []} == answers["policies"]
    assert ({"accepted": 1}, {"accepted": 2}) == (answers["telemetry"], answers["evidence"])
    assert credential == answers["authenticate"]["token"]
    assert {"status", "server_time", "next_heartbeat_ms"} == set(answers["heartbeat"])
    assert served.address.url == answers["config"]["control_plane"]["endpoint"]
    assert "pending" == answers["approvals/request"]["status"]
    assert [answers["approvals/request"]] == answers["approvals/list"]["approvals"]


async def test_an_approval_is_decided_once(served: Any) -> None:
    credential = await served.credential()

    async def call(name: str, **body: Any) -> Any:
        given = {"workspace_id": "ws-1", **body}
        return await served.call(f"/api/v1/approvals/{name}", credential, given)

    asked = (await call("request", type="t", subject={})).json()
    decide = {"approval_id": asked["approval_id"], "decision": "approved", "reviewer_id": "me"}

    answers = [
        await call("resolve", **decide),
        await call("resolve", **decide),
        await call("resolve", **{**decide, "decision": "rejected"}),
        await call("resolve", **{**decide, "approval_id": "apr-nobody"}),
    ]

    assert [200, 200, 409, 404] == [answer.status_code for answer in answers]
    assert ("approved", "me") == (answers[0].json()["status"], answers[0].json()["reviewer_id"])
    assert [] == (await call("list", status="pending")).json()["approvals"]


async def test_approvals_come_in_pages(served: Any) -> None:
    credential = await served.credential()
    for number in range(3):
        body = {"workspace_id": "ws-1", "type": f"t{number}", "subject": {}}
        await served.call("/api/v1/approvals/request", credential, body)

    query: dict[str, Any] = {"workspace_id": "ws-1", "limit": 2}
    first = (await served.call("/api/v1/approvals/list", credential, query)).json()
    query["cursor"] = first["next_cursor"]
    second = (await served.call("/api/v1/approvals/list", credential, query)).json()

    assert (["t0", "t1"], ["t2"], False) == (
        [a["type"] for a in first["approvals"]],
        [a["type"] for a in second["approvals"]],
        "next_cursor" in second,
    )


async def test_a_body_over_the_limit_is_refused_declared_or_not(served: Any) -> None:
    credential = await served.credential()
    headers = {"Authorization": f"Bearer {credential}"}
    large = b"x" * (served.conductor.settings.limits.max_frame_bytes + 1)

    async def chunks() -> AsyncIterator[bytes]:
        yield large

    answers = [
        await served.http.post("/api/v1/events", content=content, headers=headers)
        for content in (large, chunks())
    ]

    assert [(413, "BODY_TOO_LARGE")] * 2 == [
        (answer.status_code, answer.json()["error"]["code"]) for answer in answers
    ]


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b'{"workspace_id":1}', b'{"workspace_id":"ws-1","events":1}',
     b"\xff", b'{"workspace_id":"ws-1","events":' + b"[" * 5000],
)  # fmt: skip
async def test_a_body_of_another_shape_is_a_bad_request(served: Any, content: Any) -> None:
    headers = {"Authorization": f"Bearer {await served.credential()}"}

    answer = await served.http.post("/api/v1/events", content=content, headers=headers)

    assert (400, "BAD_REQUEST") == (answer.status_code, answer.json()["error"]["code"])


async def test_unknown_paths_and_methods_are_json_errors_too(served: Any) -> None:
    answers = [
        await served.call("/api/v1/nothing", ""),
        await served.call("/api/v1/events", "", method="GET"),
    ]

    assert [(404, "NOT_FOUND"), (405, "METHOD_NOT_ALLOWED")] == [
        (answer.status_code, answer.json()["error"]["code"]) for answer in answers
    ]


async def test_health_needs_no_credential(served: Any) -> None:
    answer = await served.call("/api/v1/health", "", method="GET")

    assert ("ok", served.conductor.history.epoch) == (
        answer.json()["status"], answer.json()["epoch"],
    )  # fmt: skip


async def test_operator_calls_need_the_operator_token(served: Any) -> None:
    credential = await served.credential()

    answers = [
        await served.call("/dev/workspaces", token, method="GET")
        for token in ("", credential, OPERATOR.reveal())
    ]

    assert [401, 403, 200] == [answer.status_code for answer in answers]


async def test_a_server_without_an_operator_token_has_no_operator_calls(
    conductor: Any, play: Any
) -> None:
    async with serve(conductor) as address:
        served = Served(conductor, address, play)
        answer = await served.call("/dev/workspaces", OPERATOR.reveal(), method="GET")
        await served.http.aclose()

    assert 404 == answer.status_code


async def test_the_operator_sends_lists_and_looks(served: Any, made: Any) -> None:
    sidecar = await served.sidecar()
    await sidecar.hello()
    order = {"workspace": "ws-1", "kind": KIND, "payload": {"n": 1}, "idempotency_key": "k"}
    sent = (await served.call("/dev/send", OPERATOR.reveal(), {**order, "count": 3})).json()
    await sidecar.events(3)
    await sidecar.ack(3)
    await sidecar.say(Beat(sequence=3, journal=Head(4, "dd")))
    await sidecar.push(made(key="1"))

    events = (
        await served.call("/dev/events?after=0&limit=5&wait_s=5", OPERATOR.reveal(), method="GET")
    ).json()["events"]
    [view] = (await served.call("/dev/workspaces", OPERATOR.reveal(), method="GET")).json()[
        "workspaces"
    ]

    assert [1, 2, 3] == [event["sequence"] for event in sent["events"]]
    assert [made(key="1").event_id] == [event["event"]["event_id"] for event in events]
    assert ("ws-1", True, 3, 3, 3, 4) == (
        view["workspace"], view["connected"], view["last"], view["sent"], view["acked"],
        view["journal"]["size"],
    )  # fmt: skip
    await sidecar.link.close()


async def test_the_operator_turns_faults_makes_gaps_and_drains(served: Any) -> None:
    sidecar = await served.sidecar()
    await sidecar.hello(credit=0)
    operator = OPERATOR.reveal()
    await served.conductor.send_many("ws-1", [ToSend(KIND, {}) for _ in range(3)])

    answers = {
        "set": await served.call("/dev/faults", operator, {"faults": ["drop=0.5"]}),
        "wrong": await served.call("/dev/faults", operator, {"faults": ["explode"]}),
        "cleared": await served.call("/dev/faults", operator, method="DELETE"),
        "shown": await served.call("/dev/faults", operator, method="GET"),
        "forgotten": await served.call(
            "/dev/forget", operator, {"workspace": "ws-1", "through": 2}
        ),
        "drained": await served.call("/dev/drain", operator, {}),
        "gone": await served.call("/dev/disconnect", operator, {"workspace": "ws-1"}),
        "many": await served.call(
            "/dev/send", operator, {"workspace": "ws-1", "kind": KIND, "count": 0}
        ),
        "page": await served.call("/dev/events?after=x", operator, method="GET"),
    }

    assert ["down.drop=0.5", "up.drop=0.5"] == answers["set"].json()["faults"]
    assert [] == answers["cleared"].json()["faults"] == answers["shown"].json()["faults"]
    assert {"forgotten": 2} == answers["forgotten"].json()
    assert {"drained": True} == answers["drained"].json()
    assert {"disconnected": False} == answers["gone"].json()
    assert {"wrong": 400, "many": 400, "page": 400} == {
        name: answer.status_code for name, answer in answers.items() if answer.is_error
    }
    await sidecar.closed()


async def test_the_operator_issues_lists_and_revokes_tokens(served: Any) -> None:
    operator = OPERATOR.reveal()
    issued = (await served.call("/dev/tokens", operator, {"workspace": "ws-7"})).json()
    revoked = await served.call("/dev/tokens/revoke", operator, {"token_id": issued["token_id"]})

    [line] = (await served.call("/dev/tokens", operator, method="GET")).json()["tokens"]

    unknown = await served.call("/dev/tokens/revoke", operator, {"token_id": "tok-x"})
    assert line == revoked.json()
    assert ("ws-7", "revoked", False) == (line["workspace"], line["state"], "digest" in line)
    assert issued["token"].startswith("cse1.")
    assert 404 == unknown.status_code


async def test_a_frame_that_is_not_utf8_json_ends_the_link_with_its_code(served: Any) -> None:
    sidecar = await served.sidecar()
    await sidecar.hello()

    await sidecar.link.socket.send(b"nonsense", text=True)

    assert 1007 == (await sidecar.closed()).close_code
