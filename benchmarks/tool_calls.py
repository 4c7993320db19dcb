"""`POST /tools/{name}` of the sidecar against a bare Starlette handler on the same HTTP stack.

The tool does nothing, so what is measured is the host: guard, scopes, policy, schemas, two journal
entries, an outbox row, and the commits that make them durable before and after the tool runs.
"""

from __future__ import annotations

import shutil
import socket
import statistics
from collections.abc import Sequence

from benchmarks.bench import Bench
from benchmarks.daemon import NOBODY, Sidecar, make_workspace
from benchmarks.processes import Child, python

TOOL = "bench:echo"
CALLS = 2_000
AT_ONCE = 16
ROUNDS = 5


def measure(bench: Bench, *, calls: int = CALLS, rounds: int = ROUNDS) -> None:
    """Measure both in interleaved rounds, one caller and several at once."""
    for number in range(rounds):
        bench.part(f"tool calls over HTTP, round {number + 1} of {rounds}")
        with python("benchmarks.clients.bare") as bare:
            port = bare.hear("port")
            _note(bench, "bare", port, "-", 1, calls)
            _note(bench, "bare", port, "-", AT_ONCE, calls)
        governed(bench, calls)


def governed(bench: Bench, calls: int = CALLS) -> None:
    """Call a tool of the bench pack in a real sidecar over TCP."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = f'\n[http]\nlisten = "127.0.0.1:{port}"\nallow_tools = ["{TOOL}"]\n'
    workspace = make_workspace(bench.directory, bench.name("calls"), NOBODY, config=config)
    with Sidecar(bench.directory, workspace) as sidecar:
        sidecar.until("the tools are served", "running", equals=True)
        token = workspace.http_token.read_text(encoding="utf-8").strip()
        _note(bench, "governed", port, token, 1, calls)
        _note(bench, "governed", port, token, AT_ONCE, calls)
    shutil.rmtree(workspace.root)


def _note(bench: Bench, name: str, port: int, token: str, at_once: int, calls: int) -> None:
    client: Child
    with python("benchmarks.clients.caller", port, token, TOOL, calls, at_once) as client:
        said = client.hear_all("latencies")
    took: Sequence[float] = sorted(said["latencies"])
    suffix = "" if at_once == 1 else f"_{at_once}"
    bench.add(f"{name}_call{suffix}_p50", "ms", 1000 * statistics.median(took))
    bench.add(f"{name}_call{suffix}_p99", "ms", 1000 * took[int(len(took) * 0.99)])
    bench.add(f"{name}_call{suffix}_rate", "calls/s", len(took) / said["took_s"])
