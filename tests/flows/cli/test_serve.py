from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from house import ROOT

EXAMPLES = ROOT / "examples/flows"
ECHO, SITE = str(EXAMPLES / "s1_echo/flow.py"), str(EXAMPLES / "s2_site/flow.py")
PREFLIGHT = str(EXAMPLES / "s4_preflight/flow.py")
SLOW = """
import asyncio

from conductor_flows import Flow, node, trigger


@trigger(summary="Take")
async def take(x: float) -> float:
    return x


@node(summary="Sleep")
async def sleep(x: float) -> float:
    print("inside", flush=True)
    await asyncio.sleep(x)
    return x


flow = Flow("slow_flow", "1.0.0")
flow.connect(flow.add(take), flow.add(sleep))
"""


class Server:
    """`flows run serve` in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], ready: dict[str, Any]) -> None:
        self.process = process
        self.url: str = ready["url"]
        self.metrics: str = ready.get("metrics", "")
        self.routes: list[dict[str, str]] = ready["routes"]

    def post(self, path: str, payload: Any) -> httpx2.Response:
        return httpx2.post(f"{self.url}{path}", json=payload, timeout=20)

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=20)
        return self.process.returncode, err


@contextmanager
def serving(*words: str) -> Generator[Server]:
    command = [sys.executable, "-m", "conductor_flows.cli.main", "run", "serve", *words]
    with subprocess.Popen(
        [*command, "--addr", "127.0.0.1:0", "--json"], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            yield Server(process, json.loads(process.stdout.readline()))
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def _here(folder: Path) -> None:
    (folder / "slow.py").write_text(SLOW)


def test_serve_echo() -> None:
    with serving(ECHO) as server:
        answer = server.post("/echo", {"value": " HeLLo "})
        code, err = server.stop()

    assert (200, {"value": "hello"}) == (answer.status_code, answer.json())
    assert (0, "") == (code, err)


def test_serve_streaming() -> None:
    with serving(SITE) as server:
        answer = server.post("/site/stream", {"site": "a"})

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "snapshot" in answer.text
    assert "update_" in answer.text


def test_several_flows_are_served_with_what_is_bound_to_them() -> None:
    with serving(ECHO, PREFLIGHT, "echo.py", "--bind", "kv=memory") as server:
        assert ["/echo", "/preflight", "/echo_flow"] == [
            route["url"].removeprefix(server.url) for route in server.routes
        ]
        answer = server.post("/preflight", {"key": "a"})

    assert {"key": "a", "value": None} == answer.json()


def test_what_is_not_bound_is_said_at_the_start_and_to_the_client() -> None:
    with serving(PREFLIGHT) as server:
        answer = server.post("/preflight", {"key": "a"})
        _, err = server.stop()

    assert (500, "CAP101") == (answer.status_code, answer.json()["code"])
    assert "[CAP101] s4_preflight_flow: " in err
    assert "Traceback" not in err


def test_measures_are_served_where_asked_for() -> None:
    with serving("echo.py", "--metrics-addr", "127.0.0.1:0") as server:
        assert 200 == server.post("/echo_flow", {"value": "X"}).status_code
        told = httpx2.get(server.metrics, timeout=20).text
        assert (0, "") == server.stop()

    assert (
        'latticeflow_host_http_requests_total{flow="echo_flow",host="web_starlette",'
        'route="/echo_flow",status_class="2xx"} 1.0'
    ) in told
    assert 'latticeflow_executor_node_latency_ms_count{flow="echo_flow"' in told


def test_limits_of_the_command_line_hold() -> None:
    with serving("echo.py", "slow.py", "--max-body", "30", "--deadline", "0.05") as server:
        too_large = server.post("/echo_flow", {"value": "x" * 100})
        too_slow = server.post("/slow_flow", 60)

    assert (413, 504) == (too_large.status_code, too_slow.status_code)


def test_a_run_that_waits_is_202_and_goes_on_from_the_shell(folder: Path) -> None:
    with serving("waits.py:asks") as server:
        answer = server.post("/asks_flow", {"amount": 3})
        token = answer.json()["token"]
    ran = subprocess.run(
        [sys.executable, "-m", "conductor_flows.cli.main", "resume", "signal", token,
         "waits.py:asks", "--approve", "--as", "ann"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert 202 == answer.status_code
    assert (0, "True by ann: None") == (ran.returncode, json.loads(ran.stdout))


def test_a_signal_lets_requests_finish_and_a_second_one_does_not() -> None:
    for payload, signals, expected in ((0.3, 1, 200), (600, 2, 503)):
        with serving("slow.py", "--drain", "60") as server:
            with subprocess.Popen(
                [sys.executable, "-c", CLIENT, server.url, str(payload)], text=True,
                stdout=subprocess.PIPE,
            ) as client:  # fmt: skip
                assert server.process.stderr is not None
                assert "inside\n" == server.process.stderr.readline()
                server.process.send_signal(signal.SIGINT)
                assert "letting requests finish" in server.process.stderr.readline()
                for _ in range(signals - 1):
                    server.process.send_signal(signal.SIGINT)
                answered, _ = client.communicate(timeout=20)
            server.process.communicate(timeout=20)

        assert (0, expected) == (server.process.returncode, int(answered))


CLIENT = """
import sys
import httpx2
url, payload = sys.argv[1:]
print(httpx2.post(f"{url}/slow_flow", json=float(payload), timeout=60).status_code)
"""


def test_an_address_that_is_taken_is_refused() -> None:
    with serving("echo.py") as server:
        ran = subprocess.run(
            [sys.executable, "-m", "conductor_flows.cli.main", "run", "serve", "echo.py",
             "--addr", server.url.removeprefix("http://")],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    assert 69 == ran.returncode
    assert "[FLOW_ADDRESS_REFUSED]\n  next: name another, as" in ran.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), 2),
        (("nope.py",), 3),
        (("echo.py", "--addr", "x"), 69),
        (("echo.py", "--addr", "127.0.0.1:65536"), 69),
        (("echo.py", "--metrics-addr", "x"), 2),
        (("echo.py", "--metrics-addr", "203.0.113.1:1"), 69),
        (("echo.py", "--concurrency", "0"), 2),
        (("echo.py", "echo.py"), 2),
    ],
)
def test_wrong_words_are_refused(flows: Any, words: tuple[str, ...], code: int) -> None:
    assert code == flows("run", "serve", *words).code
