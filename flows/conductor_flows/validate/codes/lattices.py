"""Codes of effects, determinism, keys, caches and repetition.

Promise: a code is never used again for something else, and each says how to mend what it names.
Refusal: nothing is judged here: a code is given by the rule that `rules` has for it.
"""

from __future__ import annotations

from typing import Final

from conductor_flows.validate.codes.entry import entry
from conductor_flows.validate.diagnostic import Code, Severity

LATTICES: Final[tuple[Code, ...]] = (
    entry(
        "EFFECT201",
        "The declared effects are too narrow",
        when="An effect hint of the node needs at least read_only or effectful, and the node "
        "declares less. When authoring, also an unknown value for effects.",
        example='{"effects": "pure", "effectHints": ["resource::http::write"]}',
        hint="raise the node's effects to the minimum, or drop the resource",
    ),
    entry(
        "EFFECT202",
        "An unknown resource hint",
        when="An effect hint begins with `resource::` and no registered hint matches it on `::` "
        "boundaries. What it needs cannot be told, so the flow is refused.",
        example='{"effectHints": ["resource::teleport::send"]}',
        hint="correct the hint, or register it with HintRegistry.with_effect",
    ),
    entry(
        "DET301",
        "A clock or a random source under strict or stable",
        when="A node that is strict or stable asks for a capability of the clock or the random "
        "family whose modes have neither `pinned` nor `seeded`. When authoring, also an unknown "
        "value for determinism.",
        example='{"determinism": "strict", "capabilities": [{"name": "Clock"}]}',
        hint="lower the node's determinism to best_effort, or pin or seed the capability",
    ),
    entry(
        "DET302",
        "The declared determinism is too strict",
        when="A determinism hint of the node allows best_effort at most, and the node declares a "
        "stricter level.",
        example='{"determinism": "strict", "determinismHints": ["resource::clock"]}',
        hint="lower the node's determinism to the minimum, or drop the resource",
    ),
    entry(
        "DAG004",
        "An idempotency declaration without a key",
        when="A node has an idempotency scope or a ttl but no key, or an empty one.",
        example='{"idempotency": {"scope": "partition", "ttlMs": 86400000}}',
        hint='add the key: @node(idempotency="…")',
    ),
    entry(
        "IDEM020",
        "A sink that cannot recognise a repetition",
        when="In the profiles queue and temporal, an effectful node without outgoing edges stands "
        "at the end of an at_least_once edge without a partition key, and has no key.",
        example='{"alias": "write", "effects": "effectful", "idempotency": {}}',
        hint="give the node an idempotency key, or the edge a partition key",
    ),
    entry(
        "IDEM025",
        "A key that changes by itself",
        when="A field of an idempotency key, or a partition expression, is neither strict nor "
        "stable.",
        example='{"key_spec": {"fields": [{"path": "now", "determinism": "best_effort"}]}}',
        hint="build the key from strict or stable values only",
    ),
    entry(
        "IDEM099",
        "Two contents under one key",
        when="A node with a key asks for it, and the same run has given it to another input: the "
        "second effect would count as done. The run ends, whatever an error handler says.",
        example="charge: the idempotency key 7f3a… was given to another input before",
        hint="look at the key's fields: they do not tell the two apart",
        subsystem="runtime",
        severity=Severity.FATAL,
        status="runtime",
    ),
    entry(
        "CACHE001",
        "A strict node without a cache",
        when="A node is strict, is no trigger and not both pure and inline, and has no cache.",
        example='{"kind": "activity", "determinism": "strict"}',
        hint="add a cache to the node, or make it a pure inline node",
        severity=Severity.WARN,
    ),
    entry(
        "CACHE002",
        "A stable node that rests on nothing",
        when="A node is stable and not pure, is no trigger, has no cache, and none of its "
        "capabilities has the mode `pinned` or `by_hash`.",
        example='{"effects": "read_only", "determinism": "stable"}',
        hint="add a cache, pin the capability, or lower the node to best_effort",
    ),
    entry(
        "RETRY010",
        "Two owners of repetition",
        when="The connector repeats, and the node also has a retry backoff or stands in the scope "
        "of an error_handler that repeats: attempts would multiply.",
        example='{"retry_owner": "connector", "schedule": {"retry_backoff": '
        '{"strategy": "exponential"}}}',
        hint="remove the backoff and the handler, or make the orchestrator the owner",
    ),
    entry(
        "RETRY011",
        "The other owner is usual for this family",
        when="Repetition belongs to the orchestrator for http, blob and llm, and to the connector "
        "for db, kv and payments; the node declares the other and lacks the label "
        "`waiver::retry_owner`.",
        example='{"retry_owner": "connector", "effectHints": ["resource::http::read"]}',
        hint="use the family's owner, or add the label waiver::retry_owner",
    ),
    entry(
        "EXACT001",
        "Exactly once without a dedupe store",
        when="The target of an exactly_once edge has no hint under `resource::dedupe`.",
        example='{"from": "a", "to": "b", "delivery": "exactly_once"}',
        hint="add the hint resource::dedupe::store to the target",
    ),
    entry(
        "EXACT002",
        "Exactly once without a key",
        when="The target of an exactly_once edge has no idempotency key.",
        example='{"from": "a", "to": "b", "delivery": "exactly_once"}',
        hint="give the target an idempotency key",
    ),
    entry(
        "EXACT003",
        "Exactly once for too short a time",
        when="The key of the target of an exactly_once edge has no ttl, or one below 300000 ms.",
        example='{"idempotency": {"key": "order_id", "ttlMs": 1000}}',
        hint="set ttlMs of the target to 300000 or more",
    ),
    entry(
        "EXACT005",
        "The sink does not say how it writes once",
        when="The connector behind the target of an exactly_once edge documents neither an upsert "
        "nor an ensure-once contract.",
        example="connector acme.table.insert: no `upsert`, no `ensure_once`",
        hint="use a connector that documents one",
        status="reserved",
    ),
    entry(
        "SAGA201",
        "A compensator takes something else",
        when="A node names a compensator whose input type has another name than the node's output "
        "type.",
        example='{"out_schema": {"kind": "named", "name": "Receipt"}, '
        '"compensate": {"target": "refund"}}, where refund takes Order',
        hint="let the compensator take what the node gives",
    ),
    entry(
        "SAGA205",
        "A compensator without a key of its own",
        when="A node that others name as their compensator has no idempotency key.",
        example='{"alias": "refund", "idempotency": {}}',
        hint="give the compensator an idempotency key",
    ),
)
