"""How flows are measured, in words.

Promise: what is said here is what the code does. Refusal: no number that was measured.
"""

from __future__ import annotations

INTRODUCTION = """\
# Benchmarks of flows

`make bench-flows` measures this on your machine and writes this file anew. Both sides of a ratio
are measured in the same round of one run; a ratio is the median of its rounds, the spread is the
least and the most. Times are of this machine only.
"""

METHOD = """\
## How it is measured

- Everything is a process of its own, and is warm before it is asked. Rounds are interleaved: in
  each, everybody is asked once. What flows are compared with is installed into `.run/flows-peers`
  at the versions of [requirements.txt](flows/peers/requirements.txt), not into the project's
  environment.
- **The chain** is ten asynchronous functions in a row, each from a dict to a new dict with one
  number in it, one item after the other. A *run* is a whole execution for one item; in the
  *instance* and the *pipeline* all items go through the same nodes, eight of them between two nodes
  at most. Only what keeps the same is put against each other: see the last column. A ratio above 1
  says how many times as long the first takes. Processor time is that of the process that runs the
  chain: the server that Prefect starts has its own.
- Libraries that do more than run ten functions pay for it: LangGraph merges a state after every
  step, Prefect is made to be watched, and DBOS and Temporal are made for steps that take seconds. A
  chain of tiny steps shows what a step costs at least, not which library to choose.
- **S1** is `examples/flows/s1_echo`, served by `flows run serve`; the bare handler decodes and
  checks the same body with msgspec, does the same to it and encodes the same answer. Both are one
  uvicorn process with the same protocol implementation and no access log. One client process keeps
  its connections open, and asks on each again when the answer is there: with 16 connections the
  server is never idle, so the ratio is that of the work for a request; with one it is the time that
  one caller waits.
- **Streams**: 100 connections, each with 20 items a second, whose node gives item `k` when it is
  due: `k` periods after the stream began, however late the one before was. The gap is how late the
  client has read an item: from when it was due until its bytes were there and split, in one clock.
  It has in it what the node, the host, the kernel and the client take, and the distance between two
  writes of a stream differs from the period by no more than the larger of the two gaps.
- **Memory** is the resident size of a process that sends 1,000,000 items through one instance of
  three nodes, with eight items on an edge at most.
- **Validation** judges a flow of diamonds that uses every part of a document and breaks no rule.
- **Checkpoints**: runs of the chain with `durability="strong"` in one SQLite file, against a loop
  that replaces a row of 1,100 bytes and commits as often as those runs did work on the store, in
  the same file and the same journal mode, with `synchronous=FULL`. Runs at once share
  commits. The resumed run stands at a callback with 1,000 nodes behind it; the time is from the
  signal to the answer, with another `Runner` than the one that halted.
- **Spilling**: items of 4 KiB of a `for_each`, all over the threshold of an edge that holds eight,
  into a bound `resource::blob`; every item is written, read, compared by its checksum and removed.

A power cut cannot be tried here; what SIGKILL leaves is tried by the tests.
"""
