"""S1 and a hundred streams over HTTP, against bare Starlette doing the same.

Promise: each server is a process of its own with the same uvicorn, and one client process asks both
in turn. Refusal: nothing is asked of both at the same time.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.flows.load import CONNECTIONS
from benchmarks.flows.session import Session, answering
from benchmarks.processes import ROOT, Child, python

REQUESTS = {1: 800, 16: 3_000}
STREAM_ITEMS = 60
ROUNDS, STREAM_ROUNDS = 5, 3
SIDES = ("bare", "ours")
OURS = (
    Path(sys.executable).with_name("flows"), "run", "serve",
    ROOT / "examples/flows/s1_echo/flow.py:flow", ROOT / "benchmarks/flows/web_ours.py:flow",
    "--addr", "127.0.0.1:0", "--json",
)  # fmt: skip


def measure(session: Session) -> None:
    """Ask both, round by round."""
    quick = session.quick
    rounds, stream_rounds = (1, 1) if quick else (ROUNDS, STREAM_ROUNDS)
    session.part("starting both web servers")
    with python("benchmarks.flows.web_bare") as bare, Child(OURS) as ours:
        ports = [f"bare={bare.hear('port')}", f"ours={ours.hear('url').rpartition(':')[2]}"]
        with answering(session, "benchmarks.flows.load", *ports) as client:
            for number in range(rounds):
                session.part(f"requests, round {number + 1} of {rounds}")
                for count in CONNECTIONS:
                    for side in SIDES:
                        requests = 32 if quick else REQUESTS[count]
                        told = client.ask(f"{side}_{count}", requests)
                        session.add(f"{side}_{count}_p50", "ms", told["p50"])
                        session.add(f"{side}_{count}_p95", "ms", told["p95"])
                        session.add(f"{side}_{count}_rate", "requests/s", told["rate"])
            for number in range(stream_rounds):
                session.part(f"streams, round {number + 1} of {stream_rounds}")
                for side in SIDES:
                    told = client.ask(f"{side}_streams", 5 if quick else STREAM_ITEMS)
                    for name in ("p50", "p95", "p99"):
                        session.add(f"{side}_gap_{name}", "ms", told[name])
