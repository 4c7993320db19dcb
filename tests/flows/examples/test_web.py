"""The example flows behind HTTP, on the routes that they declare."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from conductor_flows.capabilities.bindings.lock import read
from conductor_flows.execute.planning.surfaces import SERVED
from conductor_flows.host.hosting import Host
from conductor_flows.host.services import serving
from conductor_flows.host.web.application import application
from conductor_flows.host.web.route import routes_of
from conductor_flows.host.web.site import Choices
from conductor_flows.ir.terms import SurfaceKind
from flow_examples import folder, payload, program


@asynccontextmanager
async def client(
    names: Sequence[str], *, choices: Choices | None = None, **services: Any
) -> AsyncGenerator[httpx2.AsyncClient]:
    async with serving(**services) as made:
        routes = [route for name in names for route in routes_of(Host(program(name), made))]
        app = application(routes, choices=choices or Choices())
        transport = httpx2.ASGITransport(app=app)
        async with app.alive(), httpx2.AsyncClient(
            transport=transport, base_url="http://flows.test"
        ) as found:  # fmt: skip
            yield found


async def test_s1_is_served_at_echo() -> None:
    async with client(["s1_echo"]) as http:
        found = await http.post("/echo", json=payload("s1_echo"))
        refused = await http.post("/echo", json={"value": 7})

    assert (200, {"value": "hello"}) == (found.status_code, found.json())
    assert (400, {"pointer": "/value"}) == (refused.status_code, refused.json()["details"])


@pytest.mark.parametrize("trusted", [True, False])
async def test_s1_names_the_user_whom_a_trusted_proxy_names(trusted: bool) -> None:
    async with client(["s1_echo"], choices=Choices(trust_auth_user=trusted)) as http:
        found = await http.post(
            "/echo", json=payload("s1_echo"), headers={"x-auth-user": '{"id": "ada"}'}
        )

    assert {"value": "hello"} | ({"user": {"id": "ada"}} if trusted else {}) == found.json()


async def test_s2_is_served_as_events() -> None:
    async with client(["s2_site"]) as http:
        found = await http.post("/site/stream", json=payload("s2_site"))
    lines = [line for line in found.text.splitlines() if line.startswith("data: ")]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]

    assert "text/event-stream" == found.headers["content-type"].partition(";")[0]
    assert ["snapshot", *(f"update_{n}" for n in range(5))] == [each["event"] for each in events]
    assert {"example.org"} == {each["site"] for each in events}


async def test_s5_is_served_where_there_are_rate_limits_and_refused_where_not() -> None:
    async with client(["s5_unsupported_surface"]) as http:
        served = await http.post("/unsupported", json=payload("s5_unsupported_surface"))
    less = SERVED - {SurfaceKind.RATE_LIMIT}
    async with client(["s5_unsupported_surface"], served=less) as http:
        refused = await http.post("/unsupported", json=payload("s5_unsupported_surface"))

    assert (200, {"value": "desserts"}) == (served.status_code, served.json())
    assert (500, "CTRL901") == (refused.status_code, refused.json()["code"])


async def test_all_of_them_are_served_together() -> None:
    names = ["s1_echo", "s2_site", "s3_branching", "s4_preflight", "s5_unsupported_surface"]
    lock = (folder("s4_preflight") / "bindings.lock.json").read_bytes()
    async with client(names, bindings=read(lock, program("s4_preflight").flow.id)) as http:
        found = {
            path: (await http.post(path, json=payload(name))).status_code
            for name, path in zip(
                names, ("/echo", "/site/stream", "/branch", "/preflight", "/unsupported"),
                strict=True,
            )
        }  # fmt: skip
        told = (await http.get("/openapi.json")).json()

    assert {200} == set(found.values())
    assert set(found) <= set(told["paths"])
