"""The web host's acceptance cases, under the names that the source project gave them.

Where a case there asserts a gap that is closed here, it stands inverted under the same name.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor_flows import Flow, callback, node, trigger
from conductor_flows.durable.ports import Ticket
from conductor_flows.durable.services import in_memory
from conductor_flows.execute.errors import Failure, NodeError
from conductor_flows.execute.outcomes import Halted
from conductor_flows.execute.planning.surfaces import SERVED
from conductor_flows.execute.runner import Invocation, Runner
from conductor_flows.execute.services import Services
from conductor_flows.host.hooks import Call, Ended
from conductor_flows.host.hosting import Host
from conductor_flows.host.web.application import WebHost, application
from conductor_flows.host.web.route import routes_of
from conductor_flows.host.web.site import Choices
from conductor_flows.ir.model import SurfaceIR
from conductor_flows.ir.terms import SurfaceKind
from flow_web import EVENTS, JSON, Asked, Recorded, back, counting, fail, program_of, web
from virtual_time import virtual

ERROR = {"error", "code", "details"}


@virtual
async def test_executes_flow_and_returns_json() -> None:
    asked = await Asked(web(program_of(back)), body=b'{"a": [1, null]}', headers=JSON).done()
    assert (200, {"a": [1, None]}) == (asked.status, asked.json)
    assert "application/json" == asked.headers["content-type"]
    assert str(len(asked.body)) == asked.headers["content-length"]
    assert asked.headers["x-run-id"].startswith("run-")


@virtual
async def test_records_host_metrics_for_success() -> None:
    recorder = Recorded()
    app = web(program_of(back), Services(recorder=recorder), aliases=("/other",))
    await Asked(app, body=b"1", headers=JSON).done()
    await Asked(app, target="/other", body=b"1", headers=JSON).done()
    assert 2 == recorder.counts["host.http_requests_total", "2xx"]
    labels = {"host": "web_starlette", "flow": "asked", "route": "/asked"}
    mine = [entry for entry in recorder.observed if entry[0].startswith("host.")]
    assert [("host.http_request_latency_ms", labels)] * 2 == mine
    inflight = [level for name, level in recorder.levels if name == "host.http_inflight_requests"]
    assert [1, 0, 1, 0] == inflight


@virtual
async def test_records_host_metrics_for_failures_deadlines_and_streams() -> None:
    recorder = Recorded()

    async def late(_: Any) -> Any:
        await asyncio.sleep(9)

    services = Services(recorder=recorder)
    await Asked(web(program_of(fail), services), body=b"1", headers=JSON).done()
    slow = await Asked(web(program_of(late), services, deadline_s=1), body=b"1").done()
    assert (504, "FLOW_DEADLINE_EXCEEDED") == (slow.status, slow.json["code"])
    await Asked(web(program_of(counting(2), streams=True), services), body=b"1").done()
    assert 2 == recorder.counts["host.http_requests_total", "5xx"]
    assert 1 == recorder.counts["host.deadline_exceeded_total", ""]
    assert [1, 0] == [level for name, level in recorder.levels if name == "host.sse_clients"]


@virtual
async def test_forwards_request_metadata_to_plugins() -> None:
    calls: list[Call] = []

    class Hook:
        async def before_execute(self, call: Call) -> None:
            calls.append(call)

        async def after_execute(self, call: Call, ended: Ended) -> None: ...

    app = web(program_of(back), hooks=(Hook(),))
    headers = {
        "Host": "flows.test", "X-Request-Id": "r1", "X-Event-Id": "e1", "X-Idempotency-Key": "k1",
        "Authorization": "Bearer s3cret", "Cookie": "s3cret=1", "X-Auth-User": '{"id": 1}', **JSON,
    }  # fmt: skip
    more = (("x-many", "1"), ("X-Many", "2"))
    target = "/asked?foo=bar&foo=baz&q=%C3%A4+b"
    await Asked(app, target=target, body=b"1", headers=headers, more_headers=more).done()
    (call,) = calls
    labels = call.labels
    assert ["POST", "/asked", "1.1", "flows.test", target.partition("?")[2]] == [
        labels[f"http.{name}"] for name in ("method", "path", "version", "host", "query_raw")
    ]
    assert ["r1", "e1", "k1"] == [
        labels[f"lf.{name}"] for name in ("request_id", "event_id", "idem_key")
    ]
    assert {"foo": ["bar", "baz"], "q": ["ä b"]} == call.extensions["http.query"]
    assert ["1", "2"] == call.extensions["http.headers"]["x-many"]
    assert "s3cret" not in str(call)
    assert "auth.user" not in call.extensions


@virtual
async def test_the_user_is_told_only_where_the_operator_trusts_the_header() -> None:
    async def who(_: Any, context: Any) -> Any:
        return context.run.extensions.get("auth.user", "nobody")

    said = {"X-Auth-User": '{"id": 7}', **JSON}
    trusting = Choices(trust_auth_user=True)
    assert "nobody" == (await Asked(web(program_of(who)), body=b"1", headers=said).done()).json
    app = web(program_of(who), choices=trusting)
    assert {"id": 7} == (await Asked(app, body=b"1", headers=said).done()).json
    assert "nobody" == (await Asked(app, body=b"1", headers=JSON).done()).json
    for bad in ("{", "\xff", "[" * 5000, '"' + "a" * 9000 + '"'):
        asked = await Asked(app, body=b"1", headers={"X-Auth-User": bad, **JSON}).done()
        assert 400 == asked.status
    twice = (("x-auth-user", "1"), ("x-auth-user", "2"))
    assert 400 == (await Asked(app, body=b"1", headers=JSON, more_headers=twice).done()).status


@virtual
async def test_maps_node_failure_to_500() -> None:
    asked = await Asked(web(program_of(fail)), body=b"1", headers=JSON).done()
    assert 500 == asked.status
    assert asked.json.keys() <= ERROR
    assert {"node": "give", "kind": "handler_error"} == asked.json["details"]
    assert "no 1" in asked.json["error"]


@virtual
async def test_the_text_of_an_error_that_was_not_written_for_people_stays_here(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def leak(_: Any) -> Any:
        raise LookupError("s3cret")

    asked = await Asked(web(program_of(leak)), body=b"1", headers=JSON).done()
    assert "A node failed: give: LookupError" == asked.json["error"]
    assert "s3cret" not in asked.body.decode()
    assert "s3cret" in caplog.text
    app = web(program_of(leak), choices=Choices(reveal=True))
    assert "s3cret" in (await Asked(app, body=b"1", headers=JSON).done()).json["error"]


@virtual
async def test_the_text_of_an_error_within_a_subflow_stays_here() -> None:
    inner = Flow("inner", "1.0.0", summary="Inner")
    first, last = inner.add(take), inner.add(leaks)
    inner.connect(first, last)
    flow = Flow("outer", "1.0.0", summary="Outer")
    start, within = flow.add(take), flow.subflow(inner)
    flow.connect(start, within)
    app = application(routes_of(Host(flow.program(), Services())))
    asked = await Asked(app, target="/outer", body=b"1", headers=JSON).done()
    assert 500 == asked.status
    assert "s3cret" not in asked.body.decode()


@pytest.mark.parametrize(("said", "told"), [
    (LookupError("s3cret"), "A node failed: outside: NodeFailed"),
    (NodeError(Failure.PERMANENT, "no"), "A node failed: outside: give: no"),
])  # fmt: skip
def test_a_flow_that_a_function_asks_fails_as_that_function(said: Exception, told: str) -> None:
    async def fails(_: Any) -> Any:
        raise said

    inner = Runner(program_of(fails))

    @node(summary="Ask")
    async def outside(number: int) -> int:
        await inner.run(Invocation(number))
        return number

    @virtual
    async def run() -> None:
        flow = Flow("outer", "1.0.0", summary="Outer")
        first, last = flow.add(take), flow.add(outside)
        flow.connect(first, last)
        app = application(routes_of(Host(flow.program(), Services())))
        asked = await Asked(app, target="/outer", body=b"1", headers=JSON).done()
        assert (500, "outside") == (asked.status, asked.json["details"]["node"])
        assert told == asked.json["error"]

    run()


@trigger(summary="Take")
async def take(number: int) -> int:
    return number


@node(summary="Double")
async def double(number: int) -> int:
    return number * 2


@node(summary="Leak")
async def leaks(number: int) -> int:
    raise LookupError(f"s3cret {number}")


@virtual
async def test_a_payload_that_does_not_fit_is_a_400_with_the_pointer() -> None:
    app = web(program_of(back, takes=list[int]))
    asked = await Asked(app, body=b'[1, "x"]', headers=JSON).done()
    assert (400, {"pointer": "/1"}) == (asked.status, asked.json["details"])


@pytest.mark.parametrize("hints", [["resource::kv::read"],
                                   ["resource::kv::read", "resource::http::write"]])  # fmt: skip
def test_preflight_missing_capability(hints: list[str]) -> None:
    @virtual
    async def run() -> None:
        app = web(program_of(back, effect_hints=hints))
        asked = await Asked(app, body=b"1", headers=JSON).done()
        assert (500, "CAP101") == (asked.status, asked.json["code"])
        assert {"hints": sorted(hints)} == asked.json["details"]

    run()


def halting(services: Services, *, tells_token: bool = True, twice: bool = False) -> WebHost:
    flow = Flow("halts", "1.0.0", summary="Halts", profile="web")
    first, second, last = flow.add(take), flow.add(callback("ask", int, int)), flow.add(double)
    flow.connect(first, second)
    if twice:
        again = flow.add(callback("ask_again", int, int))
        flow.connect(second, again)
        second = again
    flow.connect(second, last)
    routes = routes_of(Host(flow.program(), services))
    return application([replace(route, tells_token=tells_token) for route in routes])


@virtual
async def test_preflight_missing_durability_services() -> None:
    asked = await Asked(halting(Services()), target="/halts", body=b"1", headers=JSON).done()
    assert (500, "DAG-CKPT-003") == (asked.status, asked.json["code"])
    assert {"missing": ["checkpoint_store", "resume_signal_source"]} == asked.json["details"]


@virtual
async def test_halt_is_a_202_and_its_token_ends_it_once() -> None:
    app = halting(Services(durability=in_memory()))
    halted = await Asked(app, target="/halts", body=b"1", headers=JSON).done()
    assert 202 == halted.status
    shown = halted.json
    assert (True, "ask", 1) == (shown["halted"], shown["node"], shown["payload"])
    assert shown["checkpoint_id"].startswith("cp-")
    end = f"/.flows/resume/{shown['token']}"
    odd = await Asked(app, target=end, body=b'"no number"', headers=JSON).done()
    assert (400, {"pointer": ""}) == (odd.status, odd.json["details"])
    ended = await Asked(app, target=end, body=b"21", headers=JSON).done()
    assert (200, 42) == (ended.status, ended.json)
    assert halted.headers["x-run-id"] == ended.headers["x-run-id"]
    again = await Asked(app, target=end, body=b"21", headers=JSON).done()
    assert (410, "FLOW_TOKEN_USED") == (again.status, again.json["code"])
    unknown = await Asked(app, target="/.flows/resume/nobodys", body=b"1", headers=JSON).done()
    assert (404, "FLOW_TOKEN_UNKNOWN") == (unknown.status, unknown.json["code"])


@virtual
async def test_a_run_whose_id_is_no_header_goes_on_and_is_answered_without() -> None:
    app = halting(Services(durability=in_memory()))
    asked = Invocation(1, ends=app.routes[0].ends, labels={"lf.run_id": "a\r\nset-cookie: b"})
    halted = await app.routes[0].host.invoke(asked)
    assert isinstance(halted, Halted)
    end = f"/.flows/resume/{halted.token}"
    ended = await Asked(app, target=end, body=b"21", headers=JSON).done()
    assert (200, 42) == (ended.status, ended.json)
    assert "x-run-id" not in ended.headers


@virtual
async def test_a_token_stays_here_where_who_asks_may_not_decide() -> None:
    kept = in_memory()
    app = halting(Services(durability=kept), tells_token=False, twice=True)
    shown = (await Asked(app, target="/halts", body=b"1", headers=JSON).done()).json
    assert {"halted", "node", "payload", "checkpoint_id"} == shown.keys()
    assert kept.signals is not None
    assert kept.store is not None
    record = await kept.store.get(shown["checkpoint_id"])
    ticket = Ticket(record.checkpoint_id, record.waits[0].id)
    token = await kept.signals.create_token(ticket)
    again = await Asked(app, target=f"/.flows/resume/{token}", body=b"2", headers=JSON).done()
    assert (202, "ask_again") == (again.status, again.json["node"])
    assert "token" not in again.json


@virtual
async def test_resume_answers_409_while_the_run_is_under_way_and_410_when_it_is_over() -> None:
    kept = in_memory()
    assert kept.store is not None
    app = halting(Services(durability=kept))
    shown = (await Asked(app, target="/halts", body=b"1", headers=JSON).done()).json
    end = f"/.flows/resume/{shown['token']}"
    lease = await kept.store.lease(shown["checkpoint_id"], 60)
    busy = await Asked(app, target=end, body=b"1", headers=JSON).done()
    assert (409, "DAG-CKPT-007") == (busy.status, busy.json["code"])
    await kept.store.release_lease(lease)
    for retain_s in (60.0, None):  # kept as completed, and gone
        await kept.store.ack(shown["checkpoint_id"], retain_s=retain_s)
        over = await Asked(app, target=end, body=b"1", headers=JSON).done()
        assert (410, "FLOW_WAIT_OVER") == (over.status, over.json["code"])


def unserved() -> WebHost:
    surface = SurfaceIR(
        id="rate_limit:give:0", kind=SurfaceKind.RATE_LIMIT, targets=["give"],
        config={"v": 1, "target": "give", "qps": 1, "burst": 1},
    )  # fmt: skip
    services = Services(served=SERVED - {SurfaceKind.RATE_LIMIT})
    return web(program_of(back, surfaces=[surface]), services)


@virtual
async def test_unsupported_control_surface_json() -> None:
    asked = await Asked(unserved(), body=b"1", headers=JSON).done()
    assert (500, "CTRL901") == (asked.status, asked.json["code"])
    assert {"id": "rate_limit:give:0", "kind": "rate_limit"} == asked.json["details"]


@virtual
async def test_unsupported_control_surface_sse() -> None:
    asked = await Asked(unserved(), body=b"1", headers=JSON | EVENTS).done()
    assert 200 == asked.status
    (event,) = asked.events
    assert ("error", "CTRL901") == (event.name, event.data["code"])


@virtual
async def test_sse_preflight_failure_emits_error_event_with_code() -> None:
    app = web(program_of(counting(2), streams=True, effect_hints=["resource::kv::read"]))
    asked = await Asked(app, body=b"1", headers=JSON | EVENTS).done()
    (event,) = asked.events
    assert ("error", "CAP101") == (event.name, event.data["code"])


@settings(max_examples=32, deadline=None)
@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=6))
def test_sse_stream_preserves_event_sequence(values: list[int]) -> None:
    async def give(_: Any) -> AsyncIterator[Any]:
        async def each() -> AsyncIterator[Any]:
            for value in values:
                await asyncio.sleep(0)
                yield value

        return each()

    @virtual
    async def run() -> None:
        asked = await Asked(web(program_of(give, streams=True)), body=b"1").done()
        assert values == [event.data for event in asked.events]
        run_id = asked.headers["x-run-id"]
        expected = [f"{run_id}.{number}" for number in range(1, len(values) + 1)]
        assert expected == [event.id for event in asked.events]

    run()


@virtual
async def test_an_item_that_fails_is_an_error_event_after_those_before_it() -> None:
    async def give(_: Any) -> AsyncIterator[Any]:
        async def each() -> AsyncIterator[Any]:
            yield 1
            raise LookupError("gone")

        return each()

    asked = await Asked(web(program_of(give, streams=True)), body=b"1").done()
    assert [("message", 1), ("error", "FLOW_NODE_FAILED")] == [
        (event.name, event.data if event.name == "message" else event.data["code"])
        for event in asked.events
    ]
    assert not asked.sent[-1]["more_body"]


@virtual
async def test_stream_has_the_headers_of_a_stream() -> None:
    asked = await Asked(web(program_of(counting(1), streams=True)), body=b"1").done()
    assert "text/event-stream; charset=utf-8" == asked.headers["content-type"]
    assert "no-cache" == asked.headers["cache-control"]
    assert asked.body.startswith(b"retry: 3000\n\n")
