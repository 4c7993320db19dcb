"""Who runs the chain, and what each keeps while it does.

Promise: only what keeps the same is put against each other: nothing, or every step. Refusal: no
number stands here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contender:
    """One way of running the chain."""

    key: str
    label: str
    module: str
    mode: str
    items: int
    """Of one round in the full run; chosen so that it takes a fraction of a second."""
    keeps: str
    """What it guarantees, and what it does not."""
    peer: str = ""
    """The package that it comes from; empty: this project's environment has it."""
    durable: bool = False
    rounds: int = 5


_OURS, _BARE = "benchmarks.flows.chain_ours", "benchmarks.flows.chain_bare"
_PEERS = "benchmarks.flows.peers"

CONTENDERS = (
    Contender(
        "bare_calls", "ten awaits in a loop", _BARE, "calls", 40_000,
        "nothing: no task, no queue, no bound; the floor of what ten coroutines cost",
    ),
    Contender(
        "bare_stream", "bare tasks and queues, one pipeline", _BARE, "stream", 20_000,
        "order and bounded queues, so back-pressure; no types, no error of a node told, no retry, "
        "no cancellation of what runs, no deadline",
    ),
    Contender(
        "ours_stream", "flow, one long instance", _OURS, "stream", 10_000,
        "order, bounded edges and bounded results outstanding, payloads checked against the type "
        "of the trigger, failures told by node and kind, cancellation, metrics where a recorder is "
        "given; nothing written",
    ),
    Contender(
        "bare_run", "bare tasks and queues for each item", _BARE, "run", 3_000,
        "as the pipeline, made anew for each item",
    ),
    Contender(
        "ours_run", "flow, a run for each item", _OURS, "run", 2_000,
        "as the instance, with a run id, a deadline where one is set, and an end that leaves "
        "nothing running; the payload goes along the chain in the task that asked, so there is no "
        "queue to bound (ADR 0018); nothing written",
    ),
    Contender(
        "hamilton_run", "Hamilton, asynchronous driver", f"{_PEERS}.hamilton_chain", "run", 1_000,
        "types of ports checked when the DAG is built, a task for each node; no bound, no retry, "
        "nothing written",
        peer="sf-hamilton",
    ),
    Contender(
        "langgraph_run", "LangGraph, no checkpointer", f"{_PEERS}.langgraph_chain", "run", 150,
        "a state with a channel for each field, updated between super-steps; nothing written",
        peer="langgraph",
    ),
    Contender(
        "ours_strong", "flow, `strong` on SQLite", _OURS, "strong", 40,
        "nothing begins before what led to it is on disk (rollback journal, `synchronous=FULL`), "
        "under a lease that keeps a second worker out; a killed run goes on from its last node; "
        "the record goes when the answer is given",
        durable=True,
    ),
    Contender(
        "langgraph_strong", "LangGraph, `AsyncSqliteSaver`", f"{_PEERS}.langgraph_chain",
        "strong", 40,
        'a checkpoint of the state at every super-step, written before the next '
        '(`durability="sync"`), WAL and SQLite\'s default `synchronous=FULL`; every checkpoint is '
        "kept; no lease: two processes may resume the same thread",
        peer="langgraph", durable=True,
    ),
    Contender(
        "dbos_strong", "DBOS, SQLite", f"{_PEERS}.dbos_chain", "strong", 25,
        "the workflow's input and the result of each step in a row of its own before the next "
        "begins, rollback journal at SQLite's default `synchronous=FULL`; history is kept; "
        "workflows are recovered at start, by the executor that had them",
        peer="dbos", durable=True,
    ),
    Contender(
        "prefect_states", "Prefect, its own local server", f"{_PEERS}.prefect_chain", "states", 2,
        "states of the flow over HTTP and of tasks as events, to a server process that keeps them "
        "in SQLite (WAL, `synchronous=NORMAL`), which shares the two cores; results are not kept, "
        "so a run that is killed begins again: it watches rather than resumes",
        peer="prefect", durable=True, rounds=3,
    ),
    Contender(
        "temporal_strong", "Temporal, development server", f"{_PEERS}.temporal_chain", "strong",
        10, "every activity's result in the history of the server, in memory with this server",
        peer="temporalio", durable=True,
    ),
)  # fmt: skip
