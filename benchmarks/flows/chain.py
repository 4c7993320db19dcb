"""The overhead of a node: the same ten nodes in a row, by everybody.

Promise: each contender is a process of its own that is warm before it is asked; in every round each
is asked once. Refusal: who cannot start is named with the reason.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack

from benchmarks.bench import progress
from benchmarks.flows.contenders import CONTENDERS
from benchmarks.flows.peers import install
from benchmarks.flows.session import Answering, Session, answering
from benchmarks.processes import MeasurementFailed


def measure(session: Session) -> None:
    """Ask everybody, round by round."""
    with ExitStack() as stack:
        session.part("starting everybody who runs the chain")
        started = _started(session, stack)
        for number in range(session.sizes.rounds):
            session.part(f"chain, round {number + 1} of {session.sizes.rounds}")
            for contender in CONTENDERS:
                process = started.get(contender.module)
                if process is None or number >= contender.rounds:
                    continue
                items = max(2, contender.items // 50) if session.quick else contender.items
                told = process.ask(contender.mode, items)
                session.add(contender.key, "µs a run", told["took_s"] / items * 1e6)
                session.add(f"{contender.key}_cpu", "µs a run", told["cpu_s"] / items * 1e6)


def _started(session: Session, stack: ExitStack) -> dict[str, Answering]:
    found: dict[str, Answering] = {}
    for contender in CONTENDERS:
        name = contender.peer or "bare asyncio"
        if contender.module in found or name in session.notes:
            continue
        if contender.peer and not session.peers:
            session.notes[name] = "left out: the run was made with `--no-peers`"
            continue
        if contender.peer and not install.installed():
            session.notes[name] = "not installed: `python -m benchmarks.flows.peers.install`"
            continue
        python = str(install.PYTHON) if contender.peer else sys.executable
        try:
            process = stack.enter_context(answering(session, contender.module, python=python))
        except MeasurementFailed as error:
            session.notes[name] = f"could not start here: {error}"
            progress(f"  {name}: {error}")
            continue
        found[contender.module] = process
        if contender.peer:
            session.versions[contender.peer] = process.ready["version"]
    return found
