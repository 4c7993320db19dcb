"""Calls one tool over HTTP again and again, on connections that stay open.

`python -m benchmarks.clients.caller PORT TOKEN TOOL CALLS AT_ONCE` prints the seconds of each call
and of all of them. An empty TOKEN (`-`) sends none.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.client import HTTPConnection

from benchmarks.peer import say

_WARM = 50


def call_many(port: int, headers: dict[str, str], path: str, calls: int) -> list[float]:
    """Call `calls` times on one connection; returns the seconds of each."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    body = json.dumps({"input": {"text": "x" * 200}}).encode()
    took: list[float] = []
    for _ in range(calls):
        began = time.perf_counter()
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        took.append(time.perf_counter() - began)
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {content[:300]!r}")
    connection.close()
    return took


def main() -> None:
    """Warm up, then measure."""
    port, token, tool, calls, at_once = sys.argv[1:]
    headers = {"Content-Type": "application/json"}
    if token != "-":
        headers["Authorization"] = f"Bearer {token}"
    path = f"/tools/{tool}"
    call_many(int(port), headers, path, _WARM)
    took: list[list[float]] = []

    def work() -> None:
        took.append(call_many(int(port), headers, path, int(calls) // int(at_once)))

    threads = [threading.Thread(target=work) for _ in range(int(at_once))]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended = time.perf_counter()
    say(latencies=[second for one in took for second in one], took_s=ended - began)


if __name__ == "__main__":
    main()
