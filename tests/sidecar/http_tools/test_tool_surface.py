"""H1 to H15, X19, X20 and X24: requests about tools, and their answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conductor_handlers.toolhost.records import Request
from conductor_sdk.tool_output import ToolOutput, failed, succeeded
from conductor_sidecar.settings import HttpSettings
from tool_server import BODY_MAX, ScriptedTools, ToolServer

CALL = "/tools/task:create"


@pytest.fixture
def tools() -> ScriptedTools:
    return ScriptedTools()


@pytest.fixture
def server(tmp_path: Path, tools: ScriptedTools) -> Iterator[ToolServer]:
    with ToolServer(tmp_path, tools) as running:
        yield running


def refuses(code: str) -> Any:
    def answer(_: Request) -> ToolOutput:
        return failed(code, "No.", details={"request_id": "r-1"})

    return answer


def test_h1_an_allowed_call_reaches_the_host_once_with_all_it_says(
    server: ToolServer, tools: ScriptedTools
) -> None:
    context = {"run_id": "run-1729", "task_id": "WU-1729", "session_id": "session-1729"}
    answer = server.ask("POST", CALL, {"input": {"title": "x"}, "context": context})

    [call] = tools.calls
    assert (200, {"success": True, "data": {"done": True}}) == (answer.status, answer.json)
    assert ("task:create", {"title": "x"}) == (call.tool, call.input)
    assert context == {name: getattr(call, name) for name in context}
    assert ("token:default", "http") == (call.caller.actor, call.caller.surface)


@pytest.mark.parametrize("body", [{}, {"context": {}}, b"", b"  "])
def test_h2_an_input_that_is_left_out_is_an_empty_object(
    server: ToolServer, tools: ScriptedTools, body: object
) -> None:
    assert 200 == server.ask("POST", CALL, body).status
    assert [{}] == [call.input for call in tools.calls]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_h3_another_method_is_405_with_allow_and_calls_nothing(
    server: ToolServer, tools: ScriptedTools, method: str
) -> None:
    """Restated: GET describes the tool here, so it is no wrong method."""
    body = {} if method in {"PUT", "PATCH"} else None
    answer = server.ask(method, CALL, body)

    assert (405, "METHOD_NOT_ALLOWED", []) == (answer.status, answer.code, tools.calls)
    assert {"GET", "HEAD", "POST"} == set(answer.headers["allow"].upper().split(", "))


@pytest.mark.parametrize("path", [f"{CALL}/more", "/tools//task:create", f"{CALL}/", "/tool"])
def test_h4_another_path_is_404_and_calls_nothing(
    server: ToolServer, tools: ScriptedTools, path: str
) -> None:
    answer = server.ask("POST", path, {})

    assert (404, "ROUTE_NOT_FOUND", []) == (answer.status, answer.code, tools.calls)


def test_h5_a_tool_that_is_not_allowed_is_403_whether_or_not_it_exists(tmp_path: Path) -> None:
    tools = ScriptedTools()
    settings = HttpSettings(listen="127.0.0.1:0", allow_tools=["task:list"])
    with ToolServer(tmp_path, tools, settings) as server:
        there, nowhere = server.ask("POST", CALL, {}), server.ask("POST", "/tools/nothing", {})
        described = server.ask("GET", CALL)

    assert [] == tools.calls
    for answer in (there, nowhere, described):
        assert (403, "TOOL_NOT_ALLOWLISTED") == (answer.status, answer.code)
    assert there.body == nowhere.body


def test_h6_an_unknown_tool_is_404(server: ToolServer) -> None:
    answer = server.ask("POST", "/tools/nothing:here", {})

    assert (404, "TOOL_NOT_FOUND") == (answer.status, answer.code)


@pytest.mark.parametrize(
    ("case", "code", "status"),
    [
        ("H7", "POLICY_DENIED", 403), ("H8", "SCOPE_DENIED", 403),
        ("H9", "APPROVAL_REQUIRED", 403), ("H9", "APPROVAL_DENIED", 403),
        ("H10", "INVALID_INPUT", 400), ("X20", "NOT_FOUND", 404),
        ("409", "CALL_IN_PROGRESS", 409), ("409", "IDEMPOTENCY_CONFLICT", 409),
        ("200", "TOOL_EXECUTION_FAILED", 200), ("200", "TOOL_TIMEOUT", 200),
        ("200", "INVALID_OUTPUT", 200), ("200", "EVIDENCE_FAILED", 200),
        ("200", "SEND_FAILED", 200),
    ],
)  # fmt: skip
def test_h7_to_h10_and_x20_a_code_has_its_status_and_the_envelope_its_details(
    server: ToolServer, tools: ScriptedTools, case: str, code: str, status: int
) -> None:
    tools.answer = refuses(code)
    answer = server.ask("POST", CALL, {})

    error = {"code": code, "message": "No.", "details": {"request_id": "r-1"}}
    assert (status, {"success": False, "error": error}) == (answer.status, answer.json)


@pytest.mark.parametrize(
    "body",
    [
        {"context": None}, {"context": []}, {"context": "x"}, {"context": {"run_id": ""}},
        {"context": {"run_id": 7}}, {"context": {"task_id": None}},
        {"context": {"session_id": "x" * 161}}, {"context": {"run_id": "a b"}},
    ],
)  # fmt: skip
def test_h11_a_context_of_the_wrong_shape_is_400_and_calls_nothing(
    server: ToolServer, tools: ScriptedTools, body: object
) -> None:
    """Restated: a context may be left out, since no scope comes from it."""
    answer = server.ask("POST", CALL, body)

    assert (400, "BODY_INVALID", []) == (answer.status, answer.code, tools.calls)


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"null", b"7", {"inputs": {}}])
def test_h12_a_body_that_is_no_call_is_400_and_calls_nothing(
    server: ToolServer, tools: ScriptedTools, body: object
) -> None:
    answer = server.ask("POST", CALL, body)

    assert (400, "BODY_INVALID", []) == (answer.status, answer.code, tools.calls)


def test_h13_a_host_that_raises_is_500_without_the_text_of_the_error(
    server: ToolServer, tools: ScriptedTools
) -> None:
    def fail(_: Request) -> ToolOutput:
        raise RuntimeError("secret-canary")

    tools.answer = fail
    answer = server.ask("POST", CALL, {})

    assert (500, "INTERNAL_ERROR") == (answer.status, answer.code)
    assert b"canary" not in answer.body


def test_h14_the_surface_routes_to_the_named_tool(server: ToolServer, tools: ScriptedTools) -> None:
    server.ask("POST", "/tools/task:list", {})

    assert ["task:list"] == [call.tool for call in tools.calls]


def test_h15_without_an_allow_list_no_tool_can_be_called_and_none_is_listed(
    tmp_path: Path,
) -> None:
    """Restated: 403 in place of 404, so that an unknown and a forbidden tool look the same."""
    tools = ScriptedTools()
    with ToolServer(tmp_path, tools, HttpSettings(listen="127.0.0.1:0")) as server:
        assert 403 == server.ask("POST", CALL, {}).status
        assert {"tools": []} == server.ask("GET", "/tools").json
        assert ["/openapi.json", "/tools"] == sorted(
            server.ask("GET", "/openapi.json").json["paths"]
        )
    assert [] == tools.calls


@pytest.mark.parametrize(
    "path", ["/tools/task%3Acreate", "/tools/task%3acreate", "/tools/t%61sk:create"]
)
def test_x19_an_encoded_name_works(server: ToolServer, tools: ScriptedTools, path: str) -> None:
    assert 200 == server.ask("POST", path, {}).status
    assert ["task:create"] == [call.tool for call in tools.calls]


def test_x24_a_body_of_100_mb_is_413_at_once(server: ToolServer, tools: ScriptedTools) -> None:
    declared = server.head(
        "POST", CALL, "Content-Type: application/json", "Content-Length: 104857600"
    )
    answer = server.exchange(declared + b"\r\n" + b"x" * 1024)

    assert (413, "BODY_TOO_LARGE", True, []) == (
        answer.status,
        answer.code,
        answer.closed,
        tools.calls,
    )


def test_x24_a_body_without_a_length_is_413_when_it_passes_the_limit(
    server: ToolServer, tools: ScriptedTools
) -> None:
    head = server.head("POST", CALL, "Content-Type: application/json", "Transfer-Encoding: chunked")
    chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    answer = server.exchange(head + b"\r\n", *[chunk] * (2 * BODY_MAX // 4096))

    assert (413, []) == (answer.status, tools.calls)


def test_scopes_and_identity_in_a_context_are_not_read(
    server: ToolServer, tools: ScriptedTools
) -> None:
    wide = [{"type": "path", "pattern": "**", "access": "write"}]
    context = {
        "allowed_scopes": wide,
        "actor": "root",
        "metadata": {"workspace_allowed_scopes": wide},
    }
    server.ask("POST", CALL, {"context": context})

    [call] = tools.calls
    assert (None, "token:default") == (call.caller.scopes, call.caller.actor)


def test_the_idempotency_key_goes_to_the_host(server: ToolServer, tools: ScriptedTools) -> None:
    server.ask("POST", CALL, {}, {"Idempotency-Key": "k-1"})
    server.ask("POST", CALL, {})

    assert ["k-1", None] == [call.key for call in tools.calls]


def test_the_list_and_a_tool_are_what_the_host_lists(server: ToolServer) -> None:
    listed = server.ask("GET", "/tools").json["tools"]

    assert ["task:create", "task:list"] == [tool["name"] for tool in listed]
    assert listed[0] == server.ask("GET", CALL).json
    assert {"input_schema", "required_scopes", "permission"} <= listed[0].keys()


def test_one_connection_serves_many_requests(server: ToolServer) -> None:
    import http.client

    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    for _ in range(3):
        client.request("POST", CALL, b"{}", headers)
        response = client.getresponse()
        assert (200, b'{"success":true,"data":{"done":true}}') == (response.status, response.read())
    client.close()


def test_a_success_has_no_error_and_nothing_may_be_cached(
    server: ToolServer, tools: ScriptedTools
) -> None:
    tools.answer = lambda _: succeeded({"id": "task-1"})
    answer = server.ask("POST", CALL, {})

    assert (None, "no-store", "nosniff") == (
        answer.code, answer.headers["cache-control"], answer.headers["x-content-type-options"],
    )  # fmt: skip
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "server" not in answer.headers
