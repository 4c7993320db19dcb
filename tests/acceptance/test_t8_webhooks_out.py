"""Issue 4, "Channel transports": messages that leave, signed, tried again, and never twice."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from real_world import World, until
from tool_world import QUIET, calls, socket_door, tool_call

SECRET = b"another secret, thirty-two bytes"


class Receiver(BaseHTTPRequestHandler):
    """What a webhook is sent to; answers what a test wants."""

    got: ClassVar[list[tuple[dict[str, str], bytes]]] = []
    answers: ClassVar[list[int]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.got.append(({name.lower(): text for name, text in self.headers.items()}, body))
        self.send_response(self.answers.pop(0) if self.answers else 200)
        self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[str]:
    Receiver.got.clear()
    Receiver.answers.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/in"
    server.shutdown()
    thread.join()
    server.server_close()


def sending(world: World, url: str, *, private: bool = True) -> Path:
    """Make a workspace with a webhook out."""
    workspace = world.directory / "one"
    workspace.mkdir()
    secret = workspace / "alerts.secret"
    secret.touch(0o600)
    secret.write_text("whsec_" + base64.b64encode(SECRET).decode())
    (workspace / "conductor.toml").write_text(
        f'[pack.sidekick.webhooks_out.alerts]\nurl = "{url}"\nsecret_file = "alerts.secret"\n'
        f"allow_private = {str(private).lower()}\n"
    )
    return workspace


def is_genuine(headers: dict[str, str], body: bytes) -> bool:
    text = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    mark = base64.b64encode(hmac.new(SECRET, text, hashlib.sha256).digest()).decode()
    return f"v1,{mark}" in headers["webhook-signature"].split()


def test_a_message_is_signed_tried_again_and_outlives_a_kill(world: World, receiver: str) -> None:
    workspace = sending(world, receiver)
    sidecar = world.loopback("one", *QUIET)
    Receiver.answers += [503]
    answer = socket_door(sidecar).call(
        "channel:send", {"channel": "ops", "content": "down", "provider": "alerts"}
    )
    until(lambda: Receiver.got, "a first try")
    sidecar.kill()
    sidecar = world.loopback("one", *QUIET)
    until(lambda: len(Receiver.got) >= 2, "a second try")
    assert socket_door(sidecar).call("channel:receive").json["data"]["count"] == 0

    assert all(is_genuine(headers, body) for headers, body in Receiver.got)
    assert len({headers["webhook-id"] for headers, _ in Receiver.got}) == 1
    assert len({body for _, body in Receiver.got}) == 1
    assert b"down" in Receiver.got[0][1]
    assert not answer.json["success"]
    failure = json.dumps(answer.json)
    assert "retryable" in failure
    audit = (workspace / ".sidekick/audit/events.jsonl").read_text()
    assert "alerts" in audit
    assert "down" not in audit


def test_a_final_refusal_is_not_tried_again(world: World, receiver: str) -> None:
    sending(world, receiver)
    sidecar = world.loopback("one", *QUIET)
    Receiver.answers += [400]
    door = socket_door(sidecar)
    refused = door.call("channel:send", {"content": "x", "provider": "alerts"})
    sent = door.call("channel:send", {"content": "y", "provider": "alerts"})

    assert (refused.code, sent.code) == ("INTEGRATION_PROVIDER_SEND_FAILED", "ok")
    assert "terminal" in str(refused.json)
    assert len(Receiver.got) == 2
    unknown = door.call("channel:send", {"content": "x", "provider": "slack"})
    assert unknown.code == "INTEGRATION_PROVIDER_NOT_REGISTERED"
    assert "slack" in unknown.json["error"]["message"]


@pytest.mark.parametrize("url", [
    "https://127.0.0.1:1/in", "https://localhost/in", "https://169.254.169.254/latest",
    "https://[::1]/in",
])  # fmt: skip
def test_no_address_of_this_network_is_reached_unless_it_may(world: World, url: str) -> None:
    workspace = sending(world, url, private=False)
    done = tool_call(world, workspace, "channel:send", {"content": "x", "provider": "alerts"})

    assert done.code == 1
    assert done.json["error"]["code"] == "INTEGRATION_PROVIDER_SEND_FAILED"
    assert "not in the open internet" in done.json["error"]["message"]
    assert calls(world, workspace) == [
        ("channel:send", "failure", "INTEGRATION_PROVIDER_SEND_FAILED")
    ]


def test_a_secret_that_others_can_read_is_not_used(world: World, receiver: str) -> None:
    workspace = sending(world, receiver)
    os.chmod(workspace / "alerts.secret", 0o644)  # noqa: PTH101
    done = tool_call(world, workspace, "channel:send", {"content": "x", "provider": "alerts"})

    assert done.code != 0
    assert Receiver.got == []
    assert "Traceback" not in done.err
