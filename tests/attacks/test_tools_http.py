"""Attacks on the tools over TCP: none gets through, and the journal accounts for each.

The server is real, with real sockets; its tool host is a twin that remembers what reached it.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from conductor_sdk.clock import SystemClock
from conductor_sidecar.http.credential_file import (
    add_credential,
    make_credential,
    new_token,
    remove_credential,
)
from conductor_sidecar.settings import HttpSettings
from http_attacks import Attack, attacks, chunked, get, request
from tool_server import ScriptedTools, ToolServer, read_answer

MIB = 1024 * 1024
CASES = list(attacks())


class Target:
    """The server, the host behind it, and the tokens that an attacker may have."""

    def __init__(self, server: ToolServer, tools: ScriptedTools) -> None:
        self.server = server
        self.tools = tools
        token = server.token
        self.words = {
            "port": str(server.port), "token": token, "short": token[:-1],
            "swapped": token.swapcase(), "reversed": token[::-1],
            "digest": hashlib.sha256(token.encode()).hexdigest(),
            "narrow": self._credential("narrow", "task:list"),
            "expired": self._credential("expired", "*", ends=True),
            "revoked": self._credential("revoked", "*"),
        }  # fmt: skip
        remove_credential(server.workspace, "revoked")

    def _credential(self, name: str, tool: str, *, ends: bool = False) -> str:
        token, now = new_token(), SystemClock().now()
        made, until = (now - timedelta(days=2), now - timedelta(days=1)) if ends else (now, None)
        stored = make_credential(name, [tool], token=token, now=made, expires_at=until)
        add_credential(self.server.workspace, stored)
        return token.reveal()

    def bytes_of(self, text: str) -> bytes:
        return text.format(**self.words).encode("latin-1")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    tools = ScriptedTools("task:create", "task:list", "task:secret")
    settings = HttpSettings(
        listen="127.0.0.1:0", allow_tools=["task:create", "task:list"], body_max_bytes=MIB,
        allowed_origins=["https://app.example"],
    )  # fmt: skip
    with ToolServer(tmp_path_factory.mktemp("attacked"), tools, settings) as server:
        yield Target(server, tools)


def test_there_are_enough_attacks_and_no_two_are_the_same() -> None:
    assert len(CASES) >= 200
    assert len(CASES) == len({(case.parts, case.pause_s) for case in CASES})


@pytest.mark.parametrize("attack", CASES, ids=str)
def test_an_attack_is_refused_reaches_no_tool_and_is_in_the_journal(
    target: Target, attack: Attack
) -> None:
    reached, accounted = len(target.tools.calls), target.server.denied(attack.reason)
    answer = target.server.exchange(*map(target.bytes_of, attack.parts), pause_s=attack.pause_s)

    assert (attack.status, reached) == (answer.status, len(target.tools.calls))
    if answer.body:
        assert (False, attack.reason) == (answer.json["success"], answer.code)
    assert not [name for name in answer.headers if name.startswith("access-control")]
    target.server.wait_denied(attack.reason, accounted)


FAIR = {
    "as it should be": request(),
    "localhost": request(host="localhost:{port}"),
    "LOCALHOST": request(host="LOCALHOST:{port}"),
    "the IPv6 loopback": request(host="[::1]:{port}"),
    "bearer": request(bearer="bearer {token}"),
    "a charset": request(type="Content-Type: Application/JSON; Charset=UTF-8"),
    "chunks": chunked("2\r\n{{}}\r\n0\r\n\r\n"),
    "a chunk extension": request(
        "Transfer-Encoding: Chunked", length=None, body="2;a=b\r\n{{}}\r\n0\r\n\r\n"
    ),
    "an allowed origin": request("Origin: https://app.example"),
    "fetched by a person": request("Sec-Fetch-Site: none"),
    "63 levels": request(body='{{"input":' + "[" * 63 + "]" * 63 + "}}"),
    "brackets in a string": request(body='{{"input":{{"s":"' + "[" * 9_000 + '"}}}}'),
    "commas in a string": request(body='{{"input":{{"s":"' + "," * 300_000 + '"}}}}'),
    "a pair of surrogates": request(body='{{"input":{{"s":"\\ud83d\\ude00"}}}}'),
    "2^53 - 1": request(body='{{"input":{{"n":9007199254740991}}}}'),
    "a float": request(body='{{"input":{{"n":1e300}}}}'),
    "a keep-alive of 1.0": request(version="HTTP/1.0"),
    "a query": request(target="/tools/task:create?a=b"),
    "an encoded name": request(target="/tools/task%3Acreate"),
    "a key": request("Idempotency-Key: k"),
}


@pytest.mark.parametrize("name", FAIR)
def test_a_fair_request_that_looks_like_an_attack_gets_through(target: Target, name: str) -> None:
    reached = len(target.tools.calls)
    answer = target.server.exchange(target.bytes_of(FAIR[name]))

    assert (200, reached + 1) == (answer.status, len(target.tools.calls))


def test_a_second_request_on_a_connection_is_looked_at_as_the_first(target: Target) -> None:
    first, second = request(body="{{}}"), request(host="evil.example")
    reached = len(target.tools.calls)
    with socket.create_connection(("127.0.0.1", target.server.port), 10) as client:
        client.sendall(target.bytes_of(first + second))
        answers = []
        stream = b""
        while stream.count(b"HTTP/1.1 ") < 2:
            chunk = client.recv(65536)
            assert chunk
            stream += chunk
    answers = [int(part[:3]) for part in stream.split(b"HTTP/1.1 ")[1:]]
    assert ([200, 421], reached + 1) == (answers, len(target.tools.calls))


def test_what_follows_a_refused_request_is_never_a_request(target: Target) -> None:
    """The body of a request that is refused could be read as the next request: smuggling."""
    smuggled = request()
    outer = request(host="evil.example", body=smuggled, length=str(len(target.bytes_of(smuggled))))
    reached = len(target.tools.calls)
    answer = target.server.exchange(target.bytes_of(outer))

    assert (421, True, reached) == (answer.status, answer.closed, len(target.tools.calls))


def test_guessing_a_token_from_its_beginning_fails_at_every_length(target: Target) -> None:
    token = target.words["token"]
    accounted = target.server.denied("UNAUTHORIZED")
    for length in range(1, len(token)):
        for guess in (token[:length], token[:length] + "A" * (len(token) - length)):
            if guess != token:
                asked = get(bearer=f"Bearer {guess}")
                assert 401 == target.server.exchange(target.bytes_of(asked)).status
    guesses = 2 * (len(token) - 1) - (1 if token[-1] == "A" else 0)
    target.server.wait_denied("UNAUTHORIZED", accounted + guesses - 1)


def test_a_client_that_says_nothing_is_let_go(target: Target) -> None:
    with socket.create_connection(("127.0.0.1", target.server.port), 10) as client:
        assert b"" == client.recv(1)


def test_a_client_that_goes_away_leaves_the_server_alone(target: Target) -> None:
    half = target.bytes_of(request(length="50"))
    for cut in (1, 20, 100, len(half)):
        with socket.create_connection(("127.0.0.1", target.server.port), 10) as client:
            client.sendall(half[:cut])
    assert 200 == target.server.exchange(target.bytes_of(request())).status


def test_no_header_and_no_body_is_in_the_journal(target: Target) -> None:
    canary = "canary-4711"
    texts = [request(host=canary), request(f"Origin: {canary}"), request(bearer=f"Bearer {canary}"),
             request(type=f"Content-Type: {canary}"), request(body=canary),
             get(f"X-A: {canary}\x01"),
             get(target=f"/{canary}"), request(target=f"/tools/{canary}")]  # fmt: skip
    for text in texts:
        assert target.server.exchange(target.bytes_of(text)).status >= 400
    assert target.server.denials
    assert canary not in repr(target.server.denials)


def test_many_connections_cannot_keep_others_out_for_long(tmp_path: Path) -> None:
    from conductor_sidecar.http.strict import Bounds

    tools = ScriptedTools()
    surface = {"bounds": Bounds(connections=8, head_s=0.3)}
    with ToolServer(tmp_path, tools, surface=surface) as server:
        idle = [socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(12)]
        server.wait_denied("TOO_MANY_CONNECTIONS", 0)
        for client in idle:
            assert 0 == read_answer(client).status
            client.close()
        assert 200 == server.ask("GET", "/tools").status
