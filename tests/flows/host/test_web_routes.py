"""Routes are what the flow says, and are refused before anything is served."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from conductor_flows import Flow, callback, node, trigger
from conductor_flows.execute.services import Services
from conductor_flows.host.errors import RouteRefused, RoutesClash
from conductor_flows.host.hosting import Host
from conductor_flows.host.web.application import application
from conductor_flows.host.web.route import Route, checked, routes_of
from flow_web import JSON, Asked, back, program_of, web
from virtual_time import virtual


@trigger(summary="Take")
async def take(number: int) -> int:
    return number


@trigger(summary="Take text")
async def hear(text: str) -> str:
    return text


@node(summary="Double")
async def double(number: int) -> int:
    return number * 2


@node(summary="Shout")
async def shout(text: str) -> str:
    return text.upper()


def host_of(*entries: dict[str, Any], profile: Any = "web", name: str = "doubles") -> Host:
    flow = Flow(name, "1.0.0", summary="Doubles", profile=profile)
    first, last = flow.add(take), flow.add(double)
    flow.connect(first, last)
    for entry in entries:
        flow.entrypoint(first, last, **entry)
    return Host(flow.program(), Services())


def test_a_flow_without_entrypoints_is_at_its_name() -> None:
    (route,) = routes_of(host_of())
    assert ("/doubles", "POST", "take", "double", 25.0) == (
        route.path, route.method, route.trigger, route.capture, route.deadline_s
    )  # fmt: skip


def test_only_flows_for_the_web_have_a_deadline_by_default() -> None:
    assert [None] == [route.deadline_s for route in routes_of(host_of(profile="dev"))]


def test_an_entrypoint_says_its_path_method_aliases_and_deadline() -> None:
    (route,) = routes_of(host_of({
        "path": "double", "method": "get", "aliases": [" /twice ", "twice", "/double"],
        "deadline_ms": 250,
    }))  # fmt: skip
    assert ("GET", ("/double", "/twice"), 0.25) == (route.method, route.paths, route.deadline_s)


@virtual
async def test_all_entrypoints_and_aliases_are_served() -> None:
    host = host_of({"path": "/a", "aliases": ["/a b/ü", "/~x;y=1,2'()!$&*+@:"]}, {"path": "/c"})
    app = application(routes_of(host))
    for target in ("/a", "/a%20b/%C3%BC", "/~x;y=1,2'()!$&*+@:", "/c"):
        assert 42 == (await Asked(app, target=target, body=b"21", headers=JSON).done()).json


def saying(text: str) -> Host:
    async def say(_: Any) -> str:
        return text

    return Host(program_of(say), Services())


@virtual
async def test_a_path_that_is_written_out_comes_before_a_parameter() -> None:
    paths = ("/{rest:path}", "/a/{x}", "/{x}/c", "/a/b", "/{n:int}/{x}/d")
    routes = [Route(host=saying(path), path=path, trigger="take", capture="give") for path in paths]
    app = application(routes)
    found: list[str] = []
    for target in ("/a/b", "/a/x", "/b/c", "/7/x/d", "/x/x/d"):
        asked = await Asked(app, target=target, body=b"0", headers=JSON).done()
        found.append(asked.json)
    assert ["/a/b", "/a/{x}", "/{x}/c", "/{n:int}/{x}/d", "/{rest:path}"] == found
    assert {"status": "ok"} == (await Asked(app, "GET", "/healthz").done()).json


@virtual
async def test_a_number_that_nobody_reads_is_a_404() -> None:
    app = web(program_of(back), path="/{n:int}", method="GET")
    for digits, status in ((400, 200), (5000, 404)):
        asked = await Asked(app, "GET", f"/{'9' * digits}").done()
        assert status == asked.status


@pytest.mark.parametrize("path", [
    "", "a", "/a?b", "/a#b", "/a%20b", "/a\r\nb", "/a\x00", "/a\\b", "//a", "/a//b", "/../a",
    "/a/..", "/./a", "/a/{", "/a/}", "/{}", "/{a b}", "/{a:uuid}", "/{a}/{a}", "/{a{b}}", "/{1}",
    "/healthz", "/openapi.json", "/.flows", "/.flows/x", "/a\x7f", "/a\xa0b",
])  # fmt: skip
def test_a_path_that_no_request_has_or_that_is_taken_is_refused(path: str) -> None:
    with pytest.raises(RouteRefused):
        checked([Route(host=host_of(), path=path, trigger="take", capture="double")])


@pytest.mark.parametrize("wrong", [
    {"trigger": "double"}, {"trigger": "nobody"}, {"capture": "nobody"}, {"method": "FETCH"},
    {"method": "post"}, {"concurrency": 0}, {"waiting": -1}, {"wait_s": float("nan")},
    {"deadline_s": 0}, {"deadline_s": float("nan")}, {"max_body_bytes": -1}, {"resumable_s": -1},
])  # fmt: skip
def test_a_route_that_cannot_be_served_is_refused(wrong: dict[str, Any]) -> None:
    given = {"path": "/a", "trigger": "take", "capture": "double"} | wrong
    with pytest.raises(RouteRefused):
        application([Route(host=host_of(), **given)])


@pytest.mark.parametrize(("one", "other"), [
    ("/a", "/a"), ("/a/{x}", "/a/{y:int}"), ("/{x}/b", "/{y}/b"),
])  # fmt: skip
def test_two_routes_in_one_place_are_dag103(one: str, other: str) -> None:
    hosts = host_of(name="one"), host_of(name="other")
    routes = [
        Route(host=host, path=path, trigger="take", capture="double")
        for host, path in zip(hosts, (one, other), strict=True)
    ]
    with pytest.raises(RoutesClash, match=r"one \(take\) and other \(take\)") as clash:
        application(routes)
    assert "DAG103" == clash.value.code
    other_method = Route(host=hosts[1], path=other, trigger="take", capture="double", method="PUT")
    application([routes[0], other_method])


@virtual
async def test_methods_of_one_path_are_told_together() -> None:
    host = host_of({"path": "/a", "method": "PUT"}, {"path": "/b"}, {"path": "/{x}"})
    app = application([*routes_of(host)])
    asked = await Asked(app, "GET", "/a").done()
    assert (405, "PUT") == (asked.status, asked.headers["allow"])
    assert 42 == (await Asked(app, "POST", "/a", body=b"21", headers=JSON).done()).json


# The document


def test_several_entrypoints_without_paths_are_dag103() -> None:
    flow = Flow("two", "1.0.0", summary="Two", profile="web")
    first, last = flow.add(take), flow.add(double)
    flow.connect(first, last)
    flow.entrypoint(first, last)
    flow.entrypoint(first, first)
    with pytest.raises(RoutesClash):
        routes_of(Host(flow.program(), Services()))


async def document_of(app: Any) -> dict[str, Any]:
    asked = await Asked(app, "GET", "/openapi.json").done()
    assert 200 == asked.status
    found: dict[str, Any] = asked.json
    return found


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [each for item in value.values() for each in references(item)]
    return [each for item in value for each in references(item)] if isinstance(value, list) else []


@virtual
async def test_the_document_names_routes_types_and_statuses() -> None:
    flow = Flow("shouts", "2.1.0", summary="Shouts", profile="web")
    first, ask, last = flow.add(hear), flow.add(callback("ask", str, str)), flow.add(shout)
    flow.connect(first, ask)
    flow.connect(ask, last)
    flow.entrypoint(first, last, path="/shout/{who}", aliases=["/s"])
    document = await document_of(application(routes_of(Host(flow.program(), Services()))))
    assert ("3.1.0", "shouts", "2.1.0") == (
        document["openapi"], document["info"]["title"], document["info"]["version"]
    )  # fmt: skip
    assert {"/shout/{who}", "/s", "/.flows/resume/{token}"} == document["paths"].keys()
    operation = document["paths"]["/shout/{who}"]["post"]
    assert {"200", "202", "400", "408", "413", "414", "415", "500", "503", "504"} == operation[
        "responses"
    ].keys()
    assert [("who", "path", True)] == [
        (each["name"], each["in"], each["required"]) for each in operation["parameters"]
    ]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert "string" == body["type"]


@virtual
async def test_types_of_ports_are_components_that_payloads_fit() -> None:
    from flow_ports import Order, Reply

    app = web(program_of(back, takes=Order, gives=Reply))
    document = await document_of(app)
    components = document["components"]["schemas"]
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in components
    assert "$defs" not in str(document)
    schema = document["paths"]["/asked"]["post"]["requestBody"]["content"]["application/json"]
    whole = {**schema["schema"], "components": document["components"]}
    jsonschema.validate({"lines": [{"sku": "a", "count": 1}]}, whole)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"lines": [{"sku": "a", "count": "x"}]}, whole)


@virtual
async def test_types_of_one_name_in_two_flows_stay_apart() -> None:
    from flow_ports import Order, other_order

    hosts = (
        Host(program_of(back, takes=Order), Services()),
        Host(program_of(back, takes=other_order()), Services()),
    )
    app = application([
        Route(host=host, path=f"/{n}", trigger="take", capture="give")
        for n, host in enumerate(hosts)
    ])  # fmt: skip
    document = await document_of(app)
    found = [
        document["paths"][f"/{n}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        for n in (0, 1)
    ]
    assert found[0] != found[1]
    assert {"Error", "Halted"} < document["components"]["schemas"].keys()


@virtual
async def test_a_query_is_told_by_its_fields() -> None:
    from flow_ports import Order

    app = web(program_of(back, takes=Order), method="GET", path="/o/{note}")
    operation = (await document_of(app))["paths"]["/o/{note}"]["get"]
    assert "requestBody" not in operation
    assert [("note", "path"), ("lines", "query")] == [
        (each["name"], each["in"]) for each in operation["parameters"]
    ]


@virtual
async def test_a_stream_is_told_as_one() -> None:
    from flow_web import counting

    app = web(program_of(counting(1), streams=True, gives=int))
    operation = (await document_of(app))["paths"]["/asked"]["post"]
    content = operation["responses"]["200"]["content"]
    assert {"text/event-stream"} == content.keys()
    assert {"type": "integer"} == content["text/event-stream"]["schema"]["x-event-schema"]
