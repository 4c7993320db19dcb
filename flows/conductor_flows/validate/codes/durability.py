"""Codes of checkpoints, halts and resumption.

Promise: a code is never used again for something else, and each says how to mend what it names.
Refusal: nothing is judged here: a code is given by the rule that `rules` has for it.
"""

from __future__ import annotations

from typing import Final

from conductor_flows.validate.codes.entry import entry
from conductor_flows.validate.diagnostic import Code

DURABILITY: Final[tuple[Code, ...]] = (
    entry(
        "DAG-CKPT-001",
        "Strong durability, and a node without checkpoints",
        when="`policies.durability.mode` is strong and a node is not checkpointable.",
        example='{"durability": {"checkpointable": false, "replayable": true, "halts": false}}',
        hint="make the node checkpointable, or use partial",
    ),
    entry(
        "DAG-CKPT-002",
        "A halt without durability",
        when="A node halts and `policies.durability.mode` is off.",
        example='{"durability": {"checkpointable": true, "replayable": true, "halts": true}}',
        hint="use partial or strong durability",
    ),
    entry(
        "DAG-CKPT-003",
        "The host lacks what durability needs",
        when="A flow needs a checkpoint store, a resume scheduler or a signal source, and the host "
        "has none. `details.missing` lists them.",
        example='{"missing": ["checkpoint_store"]}',
        hint="name a store: flows run local SPEC --checkpoint-store filesystem",
        subsystem="runtime",
        status="runtime",
    ),
    entry(
        "DAG-CKPT-004",
        "A resumed effect could happen twice",
        when="An effectful node without an idempotency key: with strong durability anywhere, with "
        "partial at a node that halts or after one.",
        example='{"effects": "effectful", "idempotency": {}}, behind a node that halts',
        hint="give the node an idempotency key",
    ),
    entry(
        "DAG-CKPT-005",
        "Strong durability, and a node that cannot be replayed",
        when="`policies.durability.mode` is strong and a node is not replayable.",
        example='{"durability": {"checkpointable": true, "replayable": false, "halts": false}}',
        hint="make the node replayable, or use partial",
    ),
    entry(
        "DAG-CKPT-006",
        "There is no such checkpoint",
        when="A run is resumed from a checkpoint that the store does not have.",
        example="flows resume run cp-00000000",
        hint="list what can be resumed: flows resume list",
        subsystem="runtime",
        status="runtime",
    ),
    entry(
        "DAG-CKPT-007",
        "Another process resumes this run",
        when="The lease of a checkpoint is held by somebody else.",
        example="two processes resume the same checkpoint",
        hint="wait until the lease ends: flows resume show ID",
        subsystem="runtime",
        status="runtime",
    ),
    entry(
        "DAG-CKPT-008",
        "A checkpoint is damaged",
        when="The state of a checkpoint cannot be decoded, or its hash does not match.",
        example="the content hash of blob://checkpoint/cp-1/state does not match",
        hint="run the flow again from the start",
        subsystem="runtime",
        status="runtime",
    ),
    entry(
        "DAG-CKPT-009",
        "A checkpoint of another version",
        when="The record of a checkpoint has a version that this program does not know.",
        example='{"version": 99}',
        hint="resume with the version that wrote it: flows resume show ID tells it",
        subsystem="runtime",
        status="runtime",
    ),
    entry(
        "DAG300",
        "An approval in the wrong place",
        when="A checkpoint of kind hitl stands at a trigger, or at no node of the flow.",
        example='{"id": "approve", "kind": "hitl", "node": "take"}',
        hint="put the checkpoint at an inner node",
    ),
    entry(
        "DAG301",
        "A view of something that has no type",
        when="A checkpoint has a view but no payload type. When authoring, also view parameters "
        "that are no JSON.",
        example='{"id": "approve", "view": {"component": "Card"}}',
        hint="name the payload's type",
    ),
)
