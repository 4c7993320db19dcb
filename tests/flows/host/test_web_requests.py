"""What comes over a wire is read within bounds, and means one thing."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor_flows.host.errors import HttpRefusal
from conductor_flows.host.web.reading import decode
from conductor_flows.host.web.route import BODY_MAX
from conductor_flows.host.web.site import Choices
from flow_web import EVENTS, JSON, Asked, back, program_of, web
from virtual_time import virtual


async def ask(body: bytes = b"1", /, **given: Any) -> Asked:
    return await Asked(web(program_of(back)), body=body, **({"headers": JSON} | given)).done()


@pytest.mark.parametrize("body", [
    b"{", b"[1,]", b"NaN", b"[Infinity]", b"-Infinity", b"1e999", b"'a'", b"\xff", b'"\xff"',
    b'"\\ud800"', b'"\\ud800\\u0041"', b'"\x01"', b"\xef\xbb\xbf1", b"1 2", b"01", b"+1", b".5",
    b"\x00", b"nul", b'{"a":1,"a":2}', b'{"a":1,"\\u0061":2}', b'[{"b":[{"a":1,"a":1}]}]',
    b"9" * 5000, b"[" * 10_000, b"[" * 10_000 + b"]" * 10_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b"[" * 101 + b"]" * 101, b'"' + b'\\"' * 1000, b'{"a":1' + b"[" * 500 + b'"' + b'\\"' * 100_000,
])  # fmt: skip
def test_a_body_that_readers_would_understand_differently_is_a_400(body: bytes) -> None:
    @virtual
    async def run() -> None:
        asked = await ask(body)
        assert (400, "FLOW_REQUEST_REFUSED") == (asked.status, asked.json["code"])

    run()


@pytest.mark.parametrize(("body", "value"), [
    (b"[" * 100 + b"1" + b"]" * 100, None), (b'{"a":{"a":1},"b":":"}', {"a": {"a": 1}, "b": ":"}),
    (b'{"a:b":"c:d","e":"\\":"}', {"a:b": "c:d", "e": '":'}),
    (b' {"a" : 1 , "b":2} ', {"a": 1, "b": 2}),
    (b'[{"a":1},{"a":2}]', [{"a": 1}, {"a": 2}]), (b'"{[:"', "{[:"), (b"0", 0),
    (b'["' + b"[" * 500 + b'"]', ["[" * 500]), (b"false", False), (b'""', ""),
    (b"9007199254740993", 2**53 + 1), ('"\U0001f600"'.encode(), "\U0001f600"),
])  # fmt: skip
def test_any_other_json_is_taken_as_it_is(body: bytes, value: Any) -> None:
    found = decode(body)
    assert value is None or (value, type(value)) == (found, type(found))


@virtual
async def test_no_body_is_null() -> None:
    taken: list[Any] = []

    async def note(value: Any) -> Any:
        taken.append(value)
        return 1

    program = program_of(note)
    app = web(program_of(back, takes=int | None))
    nulls = await Asked(app, body=b"", headers=JSON).done()
    assert (200, None) == (nulls.status, nulls.json)
    assert program.flow.nodes[0].alias == "take"
    typed = await Asked(web(program_of(back, takes=int)), body=b"").done()
    assert (400, {"pointer": ""}) == (typed.status, typed.json["details"])


@virtual
async def test_a_body_over_the_limit_is_a_413_before_the_rest_is_read() -> None:
    app = web(program_of(back), max_body_bytes=10)
    asked = Asked(app, body=None, headers=JSON)
    for _ in range(5):
        asked.feed(b"[1,1,")
    assert 413 == (await asked.done()).status
    assert 3 == asked.reads
    assert {"limit": 10} == asked.json["details"]
    whole = await Asked(app, body=b'"12345678"', headers=JSON).done()
    assert 200 == whole.status
    assert 413 == (await Asked(app, body=b'"123456789"', headers=JSON).done()).status


@virtual
async def test_a_body_that_says_it_is_too_long_is_not_read_at_all() -> None:
    for length in (str(BODY_MAX + 1), "9" * 5000):
        asked = Asked(web(program_of(back)), body=None, headers={"content-length": length, **JSON})
        assert 413 == (await asked.done()).status
        assert 0 == asked.reads


@virtual
async def test_a_length_that_lies_low_does_not_help() -> None:
    app = web(program_of(back), max_body_bytes=4)
    asked = await Asked(app, body=b"[1,2,3]", headers={"content-length": "1", **JSON}).done()
    assert 413 == asked.status


@virtual
async def test_a_body_that_drips_is_a_408() -> None:
    asked = Asked(web(program_of(back), choices=Choices(body_s=10)), body=None, headers=JSON)
    loop = asyncio.get_running_loop()
    for second in range(20):
        loop.call_at(second, asked.feed, b" ")
    await asked.done()
    assert (408, 10) == (asked.status, round(loop.time()))


@virtual
async def test_a_client_that_goes_before_its_body_has_come_begins_nothing() -> None:
    asked = Asked(web(program_of(back)), body=None, headers=JSON)
    asked.feed(b"[")
    asked.disconnect()
    await asked.done()
    assert [] == asked.sent


@pytest.mark.parametrize(("said", "status"), [
    ("application/json", 200), ("application/json; charset=utf-8", 200), ("text/json", 200),
    ("application/problem+json", 200), ("Application/JSON", 200), ("text/plain", 415),
    ("application/x-www-form-urlencoded", 415), ("multipart/form-data; boundary=x", 415),
    ("", 415), ("application/jsonp", 415), ("text/html+json+x", 415),
])  # fmt: skip
def test_a_body_that_says_it_is_something_else_is_a_415(said: str, status: int) -> None:
    @virtual
    async def run() -> None:
        assert status == (await ask(headers={"content-type": said})).status

    run()


@virtual
async def test_a_body_that_says_nothing_is_taken_from_a_program_but_not_from_a_page() -> None:
    assert 200 == (await ask(headers={})).status
    assert 415 == (await ask(headers={"origin": "http://elsewhere.test"})).status


@pytest.mark.parametrize("value", ["", "a b", "\x7f", "ä", "a" * 201, "a\tb"])
@pytest.mark.parametrize("name", ["x-request-id", "x-event-id", "x-idempotency-key",
                                  "idempotency-key"])  # fmt: skip
def test_an_id_that_is_none_is_refused_and_not_passed_over(name: str, value: str) -> None:
    @virtual
    async def run() -> None:
        assert 400 == (await ask(headers={name: value, **JSON})).status

    run()


@pytest.mark.parametrize(("first", "second", "status"), [
    (("idempotency-key", "a"), ("idempotency-key", "a"), 200),
    (("idempotency-key", "a"), ("idempotency-key", "b"), 400),
    (("idempotency-key", "a"), ("x-idempotency-key", "a"), 200),
    (("idempotency-key", "a"), ("x-idempotency-key", "b"), 400),
    (("x-request-id", "a"), ("x-request-id", "b"), 400), (("x-any", "a"), ("x-any", "b"), 200),
])  # fmt: skip
def test_one_of_two_ids_is_not_passed_over(
    first: tuple[str, str], second: tuple[str, str], status: int
) -> None:
    @virtual
    async def run() -> None:
        app = web(program_of(back))
        asked = Asked(app, body=b"1", headers=JSON, more_headers=(first, second))
        assert status == (await asked.done()).status

    run()


# Queries


@dataclass
class Search:
    text: str
    limit: int = 10
    exact: bool = False
    near: float | None = None
    tags: list[str] = field(default_factory=list[str])


@pytest.mark.parametrize(("query", "found"), [
    ("text=a", {"text": "a"}),
    ("text=5&limit=5", {"text": "5", "limit": 5}),
    ("text=a&exact=true&near=1.5", {"text": "a", "exact": True, "near": 1.5}),
    ("text=a&tags=x", {"text": "a", "tags": ["x"]}),
    ("text=a&tags=x&tags=y", {"text": "a", "tags": ["x", "y"]}),
    ("text=%C3%A4+%26", {"text": "ä &"}), ("text=", {"text": ""}),
])  # fmt: skip
def test_a_query_becomes_what_the_port_says(query: str, found: dict[str, Any]) -> None:
    @virtual
    async def run() -> None:
        async def show(search: Search) -> Any:
            return {name: getattr(search, name) for name in Search.__annotations__}

        app = web(program_of(show, takes=Search), method="GET")
        asked = await Asked(app, "GET", f"/asked?{query}").done()
        full = {"limit": 10, "exact": False, "near": None, "tags": [], **found}
        assert (200, full) == (asked.status, asked.json)

    run()


@pytest.mark.parametrize(("query", "pointer"), [
    ("", ""), ("text=a&limit=x", "/limit"), ("text=a&limit=" + "9" * 3000, "/limit"),
    ("text=a&near=nan", "/near"), ("text=a&near=inf", "/near"), ("text=a&exact=yes", "/exact"),
    ("text=a&limit=1&limit=2", "/limit"), ("text=a&text=b", "/text"),
    ("text=a&limit=%D9%A3", "/limit"),
])  # fmt: skip
def test_a_query_that_does_not_fit_is_a_400_with_the_pointer(query: str, pointer: str) -> None:
    @virtual
    async def run() -> None:
        app = web(program_of(back, takes=Search), method="GET")
        asked = await Asked(app, "GET", f"/asked?{query}").done()
        assert (400, {"pointer": pointer}) == (asked.status, asked.json["details"])

    run()


@pytest.mark.parametrize("query", ["a=%ff", "&".join(f"a{n}=1" for n in range(1001)), "a=\x80"])
def test_a_query_that_cannot_be_read_is_a_400(query: str) -> None:
    @virtual
    async def run() -> None:
        app = web(program_of(back), method="GET")
        asked = await Asked(app, "GET", f"/asked?{query}").done()
        assert (400, "FLOW_REQUEST_REFUSED") == (asked.status, asked.json["code"])

    run()


@virtual
async def test_a_query_or_a_head_that_is_too_long_is_refused() -> None:
    app = web(program_of(back), method="GET")
    assert 414 == (await Asked(app, "GET", "/asked?a=" + "b" * 16 * 1024).done()).status
    many = tuple((f"x-{number}", "1") for number in range(101))
    assert 431 == (await Asked(app, "GET", "/asked", more_headers=many).done()).status


@virtual
async def test_repeated_fields_of_an_open_port_are_a_list() -> None:
    app = web(program_of(back), method="GET")
    asked = await Asked(app, "GET", "/asked?a=1&b=2&a=3&a=4").done()
    assert {"a": ["1", "3", "4"], "b": "2"} == asked.json


@virtual
async def test_parameters_of_the_path_come_before_the_query() -> None:
    app = web(program_of(back), method="GET", path="/items/{id:int}/{name}")
    asked = await Asked(app, "GET", "/items/7/a%20b?name=other&x=1").done()
    assert {"id": 7, "name": "a b", "x": "1"} == asked.json


@virtual
async def test_a_head_request_runs_nothing() -> None:
    app = web(program_of(back), method="GET")
    asked = await Asked(app, "HEAD", "/asked?a=1").done()
    assert (405, "GET") == (asked.status, asked.headers["allow"])


@pytest.mark.parametrize(("method", "target", "status"), [
    ("POST", "/nowhere", 404), ("GET", "/asked", 405), ("POST", "/asked/", 404),
    ("POST", "//asked", 404), ("POST", "/asked%2F", 404), ("OPTIONS", "/asked", 405),
    ("GET", "/.flows/resume/x", 405), ("POST", "/.flows/resume/", 404),
    ("POST", "/.flows/resume/%2e%2e%2fx", 404), ("TRACE", "/healthz", 405),
])  # fmt: skip
def test_what_is_not_there_is_told_with_the_envelope(method: str, target: str, status: int) -> None:
    @virtual
    async def run() -> None:
        asked = await Asked(web(program_of(back)), method, target).done()
        assert status == asked.status
        assert {"error", "code"} == asked.json.keys()

    run()


@virtual
async def test_an_error_is_an_event_for_who_reads_events() -> None:
    for accept in ("text/event-stream", "text/html, Text/Event-Stream;q=0.5"):
        asked = await ask(b"{", headers={"accept": accept, **JSON})
        assert (200, "no-cache") == (asked.status, asked.headers["cache-control"])
        (event,) = asked.events
        assert "error" == event.name
    for accept in (
        "*/*",
        "text/event-stream;q=0",
        "text/event-stream; q=0.0",
        "text/event-streams",
    ):
        assert 400 == (await ask(b"{", headers={"accept": accept, **JSON})).status
    value = await ask(b"[1]", headers=EVENTS | JSON)
    assert [1] == value.json


@virtual
async def test_an_answer_without_a_json_form_is_a_500() -> None:
    async def odd(value: Any) -> Any:
        return {"a": "\ud800"} if value == 1 else {1: object()}

    for body in (b"1", b"2"):
        asked = await Asked(web(program_of(odd)), body=body, headers=JSON).done()
        assert (500, "FLOW_ANSWER_REFUSED") == (asked.status, asked.json["code"])


@virtual
async def test_a_hook_that_fails_is_told_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    class Hook:
        async def before_execute(self, call: Any) -> None:
            raise RuntimeError("s3cret")

        async def after_execute(self, call: Any, ended: Any) -> None: ...

    asked = await Asked(web(program_of(back), hooks=(Hook(),)), body=b"1", headers=JSON).done()
    assert (500, {"error": "An unexpected error"}) == (asked.status, asked.json)
    assert "s3cret" in caplog.text


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text('{}[]":,\\0 eu', max_size=40).map(str.encode)))
def test_whatever_the_body_is_it_is_json_or_a_400(body: bytes) -> None:
    try:
        value = decode(body)
    except HttpRefusal as error:
        refused = error
    else:
        refused = None
    if refused is not None or not body:
        assert (400 if body else None) == (refused and refused.status)
        return
    # What is taken, the strictest reader of the standard library takes too, and alike.
    assert json.loads(body.decode(), object_pairs_hook=only_once) == value


def only_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    assert len(pairs) == len(found)
    return found


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.floats(
        allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(json_values, st.booleans(), st.sampled_from([None, 1]))
def test_whatever_is_json_is_taken(value: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert value == decode(text.encode())
