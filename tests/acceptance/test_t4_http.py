"""Issue 4, "HTTP": who is let in, what is answered, and what the journal says of the others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import stat
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from real_world import SECONDS, Sidecar, World, until
from tool_world import ALLOW, LISTEN, QUIET, Answer, Door, gear_world, journal, socket_door

SECRET = b"a shared secret of thirty-two by"


@pytest.fixture(scope="module")
def one(shared: World) -> Sidecar:
    return gear_world(shared, "one", *ALLOW)


@pytest.fixture
def door(one: Sidecar) -> Door:
    return Door(one)


def raw(port: int, data: bytes) -> bytes:
    """Send bytes and read until the other end hangs up, or has answered once."""
    with socket.create_connection(("127.0.0.1", port), SECONDS) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        found = b""
        while chunk := client.recv(65536):
            found += chunk
    return found


def test_tools_are_listed_as_the_manifest_declares_them(door: Door) -> None:
    listed = {of["name"]: of for of in door.ask("GET", "/tools").json["tools"]}
    one = listed["task:create"]

    assert one["permission"] == "write"
    assert one["input_schema"]["properties"]["priority"]["enum"] == ["P0", "P1", "P2", "P3"]
    assert one["output_schema"]["required"] == ["task"]
    assert {(of["pattern"], of["access"]) for of in one["required_scopes"]} == {
        (".sidekick/**", "read"), (".sidekick/**", "write"),
    }  # fmt: skip
    assert listed["gear:leave"]["required_approvals"] == ["gear:leave"]
    assert listed["careful:look"]["required_approvals"] == ["careful.ask"]
    assert "strict:look" not in listed
    assert door.ask("GET", "/tools/task%3Acreate").json == one


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), [
    ("POST", "/tools/task:create", {"input": {"title": "x"}}, 200, "ok"),
    ("POST", "/tools/task%3Acreate", {"input": {"title": "x"}}, 200, "ok"),
    ("POST", "/tools/task:list", {}, 200, "ok"),
    ("POST", "/tools/task:complete", {"input": {"id": "task-0"}}, 404, "NOT_FOUND"),
    ("POST", "/tools/nothing:here", {}, 404, "TOOL_NOT_FOUND"),
    ("POST", "/tools/task:list/more", {}, 404, "ROUTE_NOT_FOUND"),
    ("POST", "/tools/task:create", {"input": {}}, 400, "INVALID_INPUT"),
    ("POST", "/tools/task:create", {"inputs": {}}, 400, "BODY_INVALID"),
    ("POST", "/tools/task:create", b"{", 400, "BODY_INVALID"),
    ("POST", "/tools/task:create", b'{"input":{"title":"a","title":"b"}}', 400, "BODY_INVALID"),
    ("POST", "/tools/task:create", b'{"input":{"title":"\\ud800"}}', 400, "BODY_INVALID"),
    ("POST", "/tools/task:create", b'{"input":' + b"[" * 5000 + b"]" * 5000 + b"}", 400,
     "BODY_INVALID"),
    ("POST", "/tools/gear:network", {}, 403, "SCOPE_DENIED"),
    ("POST", "/tools/gear:reserved", {}, 403, "SCOPE_DENIED"),
    ("POST", "/tools/strict:look", {}, 403, "POLICY_DENIED"),
    ("POST", "/tools/careful:look", {}, 403, "APPROVAL_REQUIRED"),
    ("POST", "/tools/gear:breaks", {}, 200, "TOOL_EXECUTION_FAILED"),
    ("PUT", "/tools/task:create", {}, 405, "METHOD_NOT_ALLOWED"),
    ("DELETE", "/tools", None, 405, "METHOD_NOT_ALLOWED"),
    ("POST", "/tools", {}, 405, "METHOD_NOT_ALLOWED"),
    ("GET", "/nowhere", None, 404, "ROUTE_NOT_FOUND"),
    ("GET", "/tools/..%2f..%2fetc%2fpasswd", None, 404, "*"),
])  # fmt: skip
def test_every_answer_has_its_status_and_the_envelope(
    door: Door, method: str, path: str, body: object, status: int, code: str
) -> None:
    answer = door.ask(method, path, body)

    assert answer.status == status, answer.body
    assert code in {"*", answer.code}
    assert set(answer.json) <= {"success", "data", "error", "metadata"}
    if status == 405:
        assert {name.lower(): of for name, of in answer.headers.items()}["allow"]


def test_a_body_that_is_too_large_is_refused_before_it_is_read(one: Sidecar, door: Door) -> None:
    head = (
        f"POST /tools/task:create HTTP/1.1\r\nHost: 127.0.0.1:{door.port}\r\n"
        f"Authorization: Bearer {door.token}\r\nContent-Type: application/json\r\n"
        "Content-Length: 104857600\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", door.port), SECONDS) as client:
        client.sendall(head.encode())
        found = b""
        while chunk := client.recv(65536):  # it hangs up, whatever was announced
            found += chunk
    assert found.startswith(b"HTTP/1.1 413")
    assert b"BODY_TOO_LARGE" in found
    large = socket_door(one).ask("POST", "/tools/task:create", b" " * 5_000_000)
    assert large.status == 413


DENIED: list[tuple[dict[str, str], int, str]] = [
    ({"Authorization": "Bearer wrong"}, 401, "UNAUTHORIZED"),
    ({"Authorization": "Bearer "}, 401, "UNAUTHORIZED"),
    ({"Authorization": "Basic eDp5"}, 401, "UNAUTHORIZED"),
    ({"Host": "evil.example"}, 421, "HOST_REFUSED"),
    ({"Host": "localhost"}, 421, "HOST_REFUSED"),
    ({"Host": "127.1:PORT"}, 421, "HOST_REFUSED"),
    ({"Host": "localhost.:PORT"}, 421, "HOST_REFUSED"),
    ({"Origin": "https://evil.example"}, 403, "ORIGIN_REFUSED"),
    ({"Origin": "null"}, 403, "ORIGIN_REFUSED"),
    ({"Sec-Fetch-Site": "cross-site"}, 403, "ORIGIN_REFUSED"),
    ({"Content-Type": "text/plain"}, 415, "MEDIA_TYPE_UNSUPPORTED"),
    ({"Content-Encoding": "gzip"}, 415, "ENCODING_UNSUPPORTED"),
]


def test_who_is_not_let_in_is_told_so_and_stands_in_the_journal(
    shared: World, one: Sidecar, door: Door
) -> None:
    for headers, status, code in DENIED:
        sent = {name: text.replace("PORT", str(door.port)) for name, text in headers.items()}
        answer = door.ask("POST", "/tools/task:list", {}, sent)
        assert (answer.status, answer.code) == (status, code), headers
        if status == 401:
            assert "Bearer" in str(answer.headers)
    denied = journal(shared, one.workspace, "HTTP_REQUEST_DENIED")
    assert {code for _, _, code in DENIED} <= {of["payload"]["reason"] for of in denied}


SMUGGLED = {
    "two lengths": "Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
    "length and coding": "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    "folded": "X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "bare line feed": "Content-Length: 2\nX: y\r\n\r\n{}",
    "space before colon": "Content-Length : 2\r\n\r\n{}",
    "signed length": "Content-Length: +2\r\n\r\n{}",
    "two hosts": "Host: evil.example\r\nContent-Length: 2\r\n\r\n{}",
    "nul": "X: a\0b\r\nContent-Length: 2\r\n\r\n{}",
}


def test_what_two_readers_could_understand_differently_is_refused(
    shared: World, one: Sidecar, door: Door
) -> None:
    before = len(journal(shared, one.workspace, "TOOL_CALL_STARTED"))
    for name, rest in SMUGGLED.items():
        head = (
            f"POST /tools/gear:effect HTTP/1.1\r\nHost: 127.0.0.1:{door.port}\r\n"
            f"Authorization: Bearer {door.token}\r\nContent-Type: application/json\r\n{rest}"
        )
        found = raw(door.port, head.encode("latin-1"))
        assert found.split(b" ", 2)[1:2] in ([b"400"], [b"421"], []), (name, found[:200])
        assert found.count(b"HTTP/1.1 ") <= 1, name
    assert len(journal(shared, one.workspace, "TOOL_CALL_STARTED")) == before


def test_over_tcp_nothing_can_be_called_until_it_is_allowed(world: World) -> None:
    world.with_packs({"gear": "gear_pack:gear"})
    sidecar = world.loopback("none", *QUIET, *LISTEN)
    door = Door(sidecar)

    assert door.ask("GET", "/tools").json == {"tools": []}
    for tool in ("task:create", "gear:effect", "no:such"):
        answer = door.call(tool, {"title": "x"})
        assert (answer.status, answer.code) == (403, "TOOL_NOT_ALLOWLISTED")
        assert door.ask("GET", f"/tools/{tool}").status == 403
    assert socket_door(sidecar).call("task:create", {"title": "x"}).code == "ok"
    mode = stat.S_IMODE(door.workspace.http_token.stat().st_mode)
    assert mode == 0o600
    denied = journal(world, sidecar.workspace, "HTTP_REQUEST_DENIED", "TOOL_CALL_FINISHED")
    assert "TOOL_NOT_ALLOWLISTED" in str(denied)


def test_it_listens_on_this_machine_unless_told_otherwise(world: World) -> None:
    refused = world.command(
        "sidecar", "--adapter", "memory", "--set", 'http.listen="0.0.0.0:0"',
        "-w", str(world.directory),
    )  # fmt: skip

    assert refused.code == 78
    assert "allow_remote" in refused.err + refused.out


def test_a_narrower_token_is_narrower_in_all_ways_and_ends(world: World) -> None:
    sidecar = gear_world(world, "one", *ALLOW)
    where = ("-w", str(sidecar.workspace))
    (sidecar.workspace / "shared/deep").mkdir(parents=True)
    (sidecar.workspace / "shared/deep/file").write_text("deep")
    (sidecar.workspace / "shared/file").write_text("shallow")
    made = world.command(
        "tools", "token", "create", "reader", "--tool", "gear:*", "--scope", "read:shared/deep/**",
        "--json", *where,
    )  # fmt: skip
    assert made.code == 0, made.err
    token = made.json["token"]
    narrow = Door(sidecar, token=token)

    assert narrow.call("task:list").code == "TOOL_NOT_ALLOWLISTED"
    assert narrow.call("gear:read", {"path": "shared/deep/file"}).code == "ok"
    assert narrow.call("gear:read", {"path": "shared/file"}).code == "SCOPE_DENIED"
    assert narrow.call("gear:write", {"path": "shared/deep/file", "content": "x"}).code == (
        "SCOPE_DENIED"
    )
    assert narrow.call("gear:effect").code == "SCOPE_DENIED"
    wide = {"allowed_scopes": [{"type": "path", "pattern": "**", "access": "read"}]}
    assert narrow.call("gear:read", {"path": "shared/file"}, context=wide).code == "SCOPE_DENIED"
    [used] = {
        of["actor"]
        for of in journal(world, sidecar.workspace, "TOOL_CALL_FINISHED")
        if of["payload"]["surface"] == "http"
    }
    assert used == "token:reader"
    stored = [of for of in (sidecar.workspace / ".lumenflow").rglob("*") if of.is_file()]
    assert not [of for of in stored if token in of.read_text("latin-1")]
    assert world.command("tools", "token", "revoke", "reader", *where).code == 0
    assert narrow.call("gear:read", {"path": "shared/deep/file"}).status == 401


# Webhooks in


def signed(body: bytes, message: str = "msg-1", at: float | None = None) -> dict[str, str]:
    sent = str(int(time.time() if at is None else at))
    text = b".".join([message.encode(), sent.encode(), body])
    mark = base64.b64encode(hmac.new(SECRET, text, hashlib.sha256).digest()).decode()
    return {"webhook-id": message, "webhook-timestamp": sent, "webhook-signature": f"v1,{mark}",
            "Content-Type": "application/json"}  # fmt: skip


def posted(door: Door, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    kept, door.token = door.token, None
    try:
        return door.ask("POST", path, body, headers)
    finally:
        door.token = kept


def messages(world: World, workspace: Path) -> list[str]:
    done = world.command("sidekick", "channel", "receive", "--json", "-w", str(workspace))
    return [of["content"] for of in done.json["data"]["items"]]


def test_a_signed_webhook_becomes_a_message_once_and_any_other_none(world: World) -> None:
    workspace = world.directory / "hooked"
    workspace.mkdir()
    (workspace / "conductor.toml").write_text(
        '[pack.sidekick.webhooks_in.github]\nsecret_env = "HOOK_SECRET"\nchannel = "inbox"\n'
    )
    world.env["HOOK_SECRET"] = "whsec_" + base64.b64encode(SECRET).decode()
    door = Door(world.loopback("hooked", *QUIET, *LISTEN))
    path, body = "/hooks/sidekick/github", b'{"content": "hello"}'
    good = signed(body)
    first = posted(door, path, body, good)
    assert 200 <= first.status < 300, first.body
    repeated = posted(door, path, body, good)
    assert 200 <= repeated.status < 300
    assert messages(world, workspace) == ["hello"]

    refused = {
        "another body": (path, b'{"content": "evil"}', good),
        "another id": (path, body, {**good, "webhook-id": "msg-2"}),
        "too old": (path, body, signed(body, "msg-3", time.time() - 301)),
        "from the future": (path, body, signed(body, "msg-4", time.time() + 301)),
        "no signature": (path, body, {"Content-Type": "application/json"}),
        "a bearer token": (path, body, {"Authorization": f"Bearer {door.token}"}),
        "no such hook": ("/hooks/sidekick/gitlab", body, signed(body, "msg-5")),
        "no such pack": ("/hooks/nobody/github", body, signed(body, "msg-6")),
        "foreign host": (path, body, {**signed(body, "msg-7"), "Host": "evil.example"}),
    }
    for name, (where, data, headers) in refused.items():
        assert posted(door, where, data, headers).status in {401, 403, 404, 421}, name
    assert posted(door, path, b" ", signed(b" ", "msg-8")).status == 400
    assert messages(world, workspace) == ["hello"]
    denied = {
        of["payload"]["reason"]: of["payload"]["count"]
        for of in journal(world, workspace, "HTTP_REQUEST_DENIED")
    }
    assert {"HTTP_401", "HOST_REFUSED"} <= set(denied), denied
    assert "whsec" not in json.dumps(journal(world, workspace))


def test_the_receiver_of_a_killed_daemon_keeps_a_webhook_once(world: World) -> None:
    workspace = world.directory / "hooked"
    workspace.mkdir()
    (workspace / "conductor.toml").write_text(
        '[pack.sidekick.webhooks_in.ci]\nsecret_env = "HOOK_SECRET"\nchannel = "inbox"\n'
    )
    world.env["HOOK_SECRET"] = base64.b64encode(SECRET).decode()
    body = b'{"content": "built"}'
    headers = signed(body)
    sidecar = world.loopback("hooked", *QUIET, *LISTEN)
    assert posted(Door(sidecar), "/hooks/sidekick/ci", body, headers).status < 300
    sidecar.kill()
    sidecar = world.loopback("hooked", *QUIET, *LISTEN)
    assert posted(Door(sidecar), "/hooks/sidekick/ci", body, headers).status < 300

    assert until(lambda: messages(world, workspace), "a message") == ["built"]
