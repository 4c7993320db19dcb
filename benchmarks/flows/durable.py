"""What it costs to write a run down, to take it up again, and to let items leave memory.

Promise: against SQLite alone: as many commits of rows as large, in a file made by the same code, so
with the same journal mode; and against files alone, as many and as large, as durable. Refusal:
nothing of a run is left out of its time but what is said.
"""

from __future__ import annotations

from benchmarks.flows.session import Answering, Session, answering
from benchmarks.processes import MeasurementFailed

RUNS, LONG_NODES, RESUMED_NODES, SPILLED = 40, 1_000, 1_000, 200
QUICK_RUNS, QUICK_NODES, QUICK_SPILLED = 2, 20, 5


def measure(session: Session) -> None:
    """Ask for each, round by round."""
    quick = session.quick
    runs, spilled = (QUICK_RUNS, QUICK_SPILLED) if quick else (RUNS, SPILLED)
    nodes = QUICK_NODES if quick else RESUMED_NODES
    rounds = min(3, session.sizes.rounds)
    with answering(session, "benchmarks.flows.durable_runs") as process:
        session.notes["journal mode"] = process.ready["journal_mode"]
        for number in range(rounds):
            session.part(f"durability, round {number + 1} of {rounds}")
            for mode in ("alone", "together"):
                told = process.ask(mode, runs)
                records, commits = told["records"], told["jobs"]
                session.add(f"checkpoints_{mode}", "checkpoints/s", records / told["took_s"])
                if mode == "alone":
                    raw = process.ask("commits", commits)
                    session.add("jobs_each", "commits a run", commits / runs)
                    session.add("strong_time", "s", told["took_s"])
                    session.add("commits_time", "s", raw["took_s"])
                    session.add("commits_rate", "commits/s", commits / raw["took_s"])
            told = process.ask("resume", nodes)
            session.add("resume", "ms", told["took_s"] * 1000)
            session.add("resume_record", "KB", told["record_kb"])
            _spill(session, process, spilled)
        session.part("durability, a long run")
        told = process.ask("long", nodes if quick else LONG_NODES)
        session.add("long_checkpoint", "ms", told["took_s"] / told["records"] * 1000)


def _spill(session: Session, process: Answering, items: int) -> None:
    for mode in ("spill_files", "spill_sqlite"):
        told = process.ask(mode, items)
        if told["spilled"] < items:
            raise MeasurementFailed(f"{told['spilled']} of {items} items have spilled")
        session.add(mode, "items/s", items / told["took_s"])
        session.add(f"{mode}_puts", "puts an item", told["spilled"] / items)
    for mode in ("spill_memory", "files", "synced_files"):
        session.add(mode, "items/s", items / process.ask(mode, items)["took_s"])
