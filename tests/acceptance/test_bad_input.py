"""Issue 2, "Bad input": handlers and callers of the control socket at their worst."""

from __future__ import annotations

import collections
import json
import os
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from conductor_sdk.workspace import connect_control_socket, resolve_workspace
from real_world import QUEUED, RECOVERY, Sidecar, World, until

DEEDS = {
    "raise": "HANDLER_FAILED", "raise_unprintable": "HANDLER_FAILED",
    "raise_torn": "HANDLER_FAILED", "raise_group": "HANDLER_FAILED",
    "raise_cancelled": "HANDLER_FAILED", "exit": "HANDLER_FAILED", "stop": "HANDLER_FAILED",
    "hang": "HANDLER_TIMEOUT", "stubborn_once": "HANDLER_TIMEOUT",
    "none": "HANDLER_NONSENSE", "text": "HANDLER_NONSENSE",
    "handled_number": "HANDLER_NONSENSE", "handled_nothing": "HANDLER_NONSENSE",
    "reject_nothing": "HANDLER_NONSENSE", "retry_nan": "HANDLER_NONSENSE",
    "retry_never": "HANDLER_NONSENSE", "retry_far": "HANDLER_NONSENSE",
    "retry_text": "HANDLER_NONSENSE", "retry_nothing": "HANDLER_NONSENSE",
    "reject": "EVENT_REJECTED", "retry": "RETRY",
}  # fmt: skip
HASTY = (
    "--set", "dispatch.max_attempts=2", "--set", "dispatch.retry_first_s=0.01",
    "--set", "dispatch.deadline_s=0.3", "--set", "drain.deadline_s=0.5",
)  # fmt: skip


def rough(world: World) -> Sidecar:
    world.with_packs({"rough": "rough_pack:pack"})
    return world.loopback("one", *HASTY)


def test_whatever_a_handler_does_ends_in_retry_and_dead_letter_and_others_go_on(
    world: World,
) -> None:
    sidecar = rough(world)
    ids = {sidecar.send("rough:act", {"do": deed, "lane": deed}): deed for deed in DEEDS}
    ids[sidecar.send("rough:plain")] = "plain"
    ids[sidecar.send("rough:typed", {"do": 7})] = "typed"
    ids[sidecar.send("rough:typed", {"do": "burst"})] = "burst"
    for number in range(10):
        sidecar.send("rough:act", {"do": "handle", "lane": f"good-{number}"})
    sidecar.send("rough:act", {"do": "handled_torn", "lane": "torn"})
    sidecar.until("rough:act", delivered=11, dead_lettered=len(DEEDS), buffered=0)
    until(lambda: len(sidecar.letters()) == len(DEEDS) + 3, "every deed is buried")
    letters = {ids[of["event_id"]]: of for of in sidecar.letters()}

    assert {deed: letters[deed]["error_code"] for deed in DEEDS} == DEEDS
    assert letters["plain"]["error_code"] == letters["burst"]["error_code"] == "HANDLER_FAILED"
    assert letters["typed"]["error_code"] == "PAYLOAD_INVALID"
    attempts = {deed: of["attempts"] for deed, of in letters.items()}
    once = {"reject", "typed"}
    assert {deed: 1 if deed in once else 2 for deed in attempts} == attempts
    assert sidecar.status()["balanced"] is True
    assert sidecar.stop() == 0
    assert "Traceback" not in sidecar.running.printed


def test_a_handler_that_swallows_its_cancellation_cannot_hold_up_a_stop(world: World) -> None:
    sidecar = rough(world)
    sidecar.send("rough:act", {"do": "stubborn", "lane": "a"})
    until(lambda: sidecar.status()["lanes"]["running"] == 1, "it runs")
    sidecar.send("rough:act", {"do": "handle", "lane": "b"})
    sidecar.until("rough:act", delivered=1)

    assert sidecar.stop() == 1
    assert "stop_forced" in sidecar.running.printed
    again = world.loopback("one", *HASTY)  # the event comes back
    until(lambda: again.status()["lanes"]["running"] == 1, "it runs again")
    again.running.end(signal.SIGKILL)


def test_a_handler_that_blocks_the_process_cannot_hold_up_a_stop(world: World) -> None:
    sidecar = rough(world)
    sidecar.send("rough:act", {"do": "block", "seconds": 60, "lane": "a"})
    sidecar.running.wait_for('"event": "blocking"')

    assert sidecar.stop() == 1
    again = world.command("status", "--json", "-w", str(sidecar.workspace)).json
    assert again["inbound"]["rough:act"]["buffered"] == 1


def test_a_second_sigterm_ends_the_process_at_once_and_loses_nothing(world: World) -> None:
    world.with_packs({"rough": "rough_pack:pack"})
    sidecar = world.loopback("one", "--set", "drain.deadline_s=60")
    sidecar.send("rough:act", {"do": "hang", "lane": "a"})
    until(lambda: sidecar.status()["lanes"]["running"] == 1, "it runs")
    os.kill(sidecar.running.pid, signal.SIGTERM)
    sidecar.running.wait_for("draining")

    assert sidecar.stop(signal.SIGTERM) == 130
    again = world.command("status", "--json", "-w", str(sidecar.workspace)).json
    assert again["inbound"]["rough:act"]["buffered"] == 1


def test_a_packs_corrupt_database_costs_its_own_events_only(world: World) -> None:
    sidecar = world.loopback("one", *HASTY)
    sidecar.send(RECOVERY, {"wu_id": "acme-job-1"})
    sidecar.until(RECOVERY, delivered=1)
    sidecar.stop()
    (sidecar.workspace / ".lumenflow/state/packs/acme-demo.db").write_bytes(b"nonsense" * 1000)
    again = world.loopback("one", *HASTY)
    again.send(RECOVERY, {"wu_id": "acme-job-2"})
    again.until(RECOVERY, delivered=1, dead_lettered=1)

    assert "storage could not be read" in again.letters()[0]["error"]
    assert again.stop() == 0


# The control socket.


@pytest.fixture(scope="module")
def sidecar(shared: World) -> Iterator[Sidecar]:
    sidecar = shared.loopback("socket")
    yield sidecar
    assert sidecar.status()["running"] is True
    assert sidecar.stop() == 0
    assert "Traceback" not in sidecar.running.printed


def raw(sidecar: Sidecar, data: bytes) -> bytes:
    """Send bytes, then read whatever is answered."""
    with connect_control_socket(resolve_workspace(sidecar.workspace), timeout_s=10) as client:
        answer = b""
        try:
            client.sendall(data)
        except OSError:
            answer = b""  # it answered and hung up before it had read everything
        try:
            while chunk := client.recv(65536):
                answer += chunk
        except OSError:
            return answer
    return answer


def request(
    sidecar: Sidecar, method: str, path: str, body: bytes = b""
) -> tuple[int, dict[str, Any]]:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    answer = raw(sidecar, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    headers, _, content = answer.partition(b"\r\n\r\n")
    return int(headers.split()[1]), json.loads(content)


def test_the_control_socket_is_private(sidecar: Sidecar) -> None:
    path = sidecar.workspace / ".lumenflow/state/conductor/control.sock"

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "data",
    [b"\x00\xff garbage\r\n\r\n", b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
     b"GET /v1/status HTTP/1.1\r\n" + b"x: y\r\n" * 50_000 + b"\r\n",
     b"POST /v1/push HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
     b"POST /v1/push HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
    ids=["bytes", "long line", "many headers", "negative length", "bad chunk"],
)  # fmt: skip
def test_garbage_is_answered_and_hurts_nobody(sidecar: Sidecar, data: bytes) -> None:
    assert raw(sidecar, data).startswith(b"HTTP/1.1 400 ")
    assert sidecar.status()["running"] is True


TORN = b'{"events":[{"kind":"acme-demo:job_queued","payload":{"a":"\\ud800"}}]}'
DEEP = (
    b'{"events":[{"kind":"acme-demo:job_queued","payload":' + b'{"a":' * 3000 + b"1" + b"}" * 3000
)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/v1/push", b"x" * 5_000_000, 413, "REQUEST_TOO_LARGE"),
        ("POST", "/v1/push", b"{", 400, "REQUEST_INVALID"),
        ("POST", "/v1/push", b"\xff\xfe", 400, "REQUEST_INVALID"),
        ("POST", "/v1/push", b'{"events":' + b"[" * 100_000, 400, "REQUEST_INVALID"),
        ("POST", "/v1/push", DEEP + b"}]}", 400, "REQUEST_INVALID"),
        ("POST", "/v1/push", b'{"events":[1]}', 400, "REQUEST_INVALID"),
        ("POST", "/v1/push", b'{"events":[],"more":1}', 400, "REQUEST_INVALID"),
        ("POST", "/v1/push", b'{"events":[{"kind":["a"]}]}', 400, "EVENT_MALFORMED"),
        ("POST", "/v1/push", TORN, 400, "REQUEST_INVALID"),
        ("POST", "/v1/dead-letters/redrive", b'{"event_ids":["nope"]}', 404,
         "DEAD_LETTER_NOT_FOUND"),
        ("POST", "/v1/dead-letters/drop", b'{"event_ids":"all"}', 400, "REQUEST_INVALID"),
        ("GET", "/v1/dead-letters?limit=" + "9" * 30, b"", 400, "REQUEST_INVALID"),
        ("GET", "/v1/dead-letters?after=-1", b"", 400, "REQUEST_INVALID"),
        ("GET", "/v1/dead-letters?limit=x", b"", 400, "REQUEST_INVALID"),
        ("GET", "/v1/explain/%00", b"", 404, "EVENT_NOT_FOUND"),
        ("GET", "/v1/explain/%ff%fe", b"", 404, "EVENT_NOT_FOUND"),
        ("GET", "/v1/explain/..%2f..%2fetc%2fpasswd", b"", 404, "EVENT_NOT_FOUND"),
        ("GET", "/v1/explain/" + "a" * 5000, b"", 404, "EVENT_NOT_FOUND"),
        ("GET", "/../../../etc/passwd", b"", 404, "NOT_FOUND"),
        ("GET", "/v1/status/", b"", 404, "NOT_FOUND"),
        ("DELETE", "/v1/status", b"", 405, "METHOD_NOT_ALLOWED"),
    ],
)  # fmt: skip
def test_a_bad_request_has_a_coded_answer(
    sidecar: Sidecar, method: str, path: str, body: bytes, status: int, code: str
) -> None:
    got, answer = request(sidecar, method, path, body)

    assert (got, answer["error"]["code"]) == (status, code)
    assert answer["error"]["hint"]


@pytest.mark.parametrize("event_id", ["a/b", "a/../b", "ü%2Fé?x=1#y", "日本", " ", "a b", "%00"])
def test_any_event_id_can_be_explained(shared: World, sidecar: Sidecar, event_id: str) -> None:
    sidecar.push({"kind": QUEUED, "event_id": event_id, "payload": {}})
    name = str(sidecar.workspace)
    done = shared.command("explain", "--json", "-w", name, "--", event_id)

    assert done.code == 0, done.err
    assert done.json["stories"][0]["event_id"] == event_id


def test_slow_callers_and_a_thousand_at_once_are_served(sidecar: Sidecar) -> None:
    workspace = resolve_workspace(sidecar.workspace)
    half = b"POST /v1/push HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    slow: list[socket.socket] = []
    for _ in range(50):
        slow.append(connect_control_socket(workspace))
        slow[-1].sendall(half)
    answers: collections.Counter[bytes] = collections.Counter()

    def one() -> None:
        answers[raw(sidecar, b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[
            :15]] += 1  # fmt: skip

    threads = [threading.Thread(target=one) for _ in range(1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for client in slow:
        client.close()

    assert answers == {b"HTTP/1.1 200 OK": 1000}
