"""Webhooks that come in: no bearer, whole bytes, and only where a pack declares them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from conductor_sdk.context import PackContext
from conductor_sdk.testing.harness import PackHarness
from conductor_sdk.webhook import WebhookAnswer
from conductor_sidecar.http.hooks import PREFIX, Hooks, hook_routes
from files_pack import PACK
from tool_server import BODY_MAX, Answer, ToolServer


class Receiver:
    def __init__(self) -> None:
        self.seen: list[tuple[str, Mapping[str, str], bytes]] = []
        self.answer: Any = WebhookAnswer(
            202, {"ok": True}, {"Retry-After": "3", "Content-Length": "9"}
        )

    async def __call__(
        self, name: str, headers: Mapping[str, str], body: bytes, ctx: PackContext
    ) -> WebhookAnswer:
        self.seen.append((name, headers, body))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def server(tmp_path: Path, receiver: Receiver) -> Iterator[ToolServer]:
    context = PackHarness(PACK, workspace=tmp_path).context
    hooks = {"demo": Hooks({"news": receiver}, context), "all": Hooks({"*": receiver}, context),
             "none": Hooks({}, context)}  # fmt: skip
    surface = {"routes": hook_routes(hooks), "signed": (PREFIX,)}
    with ToolServer(tmp_path, surface=surface) as running:
        yield running


def post(server: ToolServer, path: str, body: bytes = b"raw \xff", *more: str) -> Answer:
    head = server.head("POST", path, f"Content-Length: {len(body)}", *more, bearer=False)
    return server.exchange(head + b"\r\n" + body)


def test_a_receiver_gets_the_bytes_and_its_answer_is_sent(
    server: ToolServer, receiver: Receiver
) -> None:
    answer = post(server, "/hooks/demo/news", b"raw \xff", "X-Signature: s", "Cookie: c")

    [(name, headers, body)] = receiver.seen
    assert ("news", b"raw \xff", "s") == (name, body, headers["x-signature"])
    assert not {"authorization", "cookie"} & headers.keys()
    assert (202, {"ok": True}, "3") == (answer.status, answer.json, answer.headers["retry-after"])


UNKNOWN = ("demo/other", "other/news", "none/news", "demo", "demo/news/x")


@pytest.mark.parametrize("path", [f"/hooks/{rest}" for rest in UNKNOWN])
def test_what_no_pack_declares_is_404(server: ToolServer, receiver: Receiver, path: str) -> None:
    assert (404, "ROUTE_NOT_FOUND") == ((answer := post(server, path)).status, answer.code)
    assert [] == receiver.seen


def test_a_star_takes_every_name(server: ToolServer, receiver: Receiver) -> None:
    post(server, "/hooks/all/a%20b")

    assert ["a b"] == [name for name, _, _ in receiver.seen]


def test_a_receiver_that_fails_is_500_without_a_word(
    server: ToolServer, receiver: Receiver
) -> None:
    receiver.answer = RuntimeError("secret-canary")
    answer = post(server, "/hooks/demo/news")

    assert (500, "INTERNAL_ERROR") == (answer.status, answer.code)
    assert b"canary" not in answer.body


def test_host_origin_and_size_hold_for_hooks_too(server: ToolServer, receiver: Receiver) -> None:
    assert 403 == post(server, "/hooks/demo/news", b"", "Origin: https://evil.example").status
    assert 421 == post(server, "/hooks/demo/news", b"", "Host: evil.example").status
    assert 413 == post(server, "/hooks/demo/news", b"x" * (BODY_MAX + 1)).status
    assert [] == receiver.seen


@pytest.mark.parametrize(
    "path", ["/hooks/../tools", "/hooks/%2e%2e/tools", "/tools", "/hooksx/demo/news", "/hooks"]
)
def test_nothing_else_is_open_without_a_token(server: ToolServer, path: str) -> None:
    head = server.head("GET", path, bearer=False)

    assert server.exchange(head + b"\r\n").status in {401, 404, 405}


def test_without_receivers_there_is_no_route() -> None:
    assert [] == hook_routes({})
