"""Codes of a run: what a host says while a flow is running.

Promise: a code is never used again for something else, and each says how to mend what it names.
Refusal: nothing is judged here: a code is given while a flow runs.
"""

from __future__ import annotations

from typing import Final

from conductor_flows.validate.codes.entry import entry
from conductor_flows.validate.diagnostic import Code, Severity

RUNNING: Final[tuple[Code, ...]] = (
    entry(
        "CAP101",
        "Nothing is bound to what the flow asks for",
        when="A flow has a resource hint and the host has no provider for it. `details.hints` "
        "lists the hints, sorted.",
        example='{"hints": ["resource::kv::read"]}',
        hint="bind it: flows run local SPEC --bind kv=memory",
        subsystem="runtime",
        status="runtime",
    ),
    entry(
        "CAP110",
        "A node used what it did not declare",
        when="A node's function reaches for a capability that the node has no hint for.",
        example="ctx.use(KeyValue) in a node without resource::kv",
        hint="declare it: @node(uses=[…])",
        subsystem="runtime",
        status="runtime",
    ),
    entry(
        "TIME015",
        "A time budget is spent",
        when="A node or an edge took longer than its timeout.",
        example='{"from": "a", "to": "b", "timeout_ms": 250}, and b takes a second',
        hint="raise the timeout, or make the node faster",
        subsystem="runtime",
        status="runtime",
    ),
    entry(
        "RUN030",
        "A run stalls",
        when="A payload has waited for room for 30 s, or a rate limit has made every item wait for "
        "30 s on end. Told once, until there is room again.",
        example="capture::store: a payload has waited 30 s for room",
        hint="raise the concurrency of the slow node, its rate, or spill",
        subsystem="runtime",
        severity=Severity.WARN,
        status="runtime",
    ),
    entry(
        "RUN040",
        "An item was spilled",
        when="An edge has written an item to its spill tier; the notice carries its size.",
        example="parse->store: 65536 bytes left memory",
        hint="nothing to do; raise max_items where it happens all the time",
        subsystem="runtime",
        severity=Severity.INFO,
        status="runtime",
    ),
    entry(
        "RUN050",
        "A run holds more memory than it may",
        when="What waits in a run is above a hard limit in bytes. Reserved: a run is bounded by "
        "the number of items that its edges hold, and values between nodes of one type are not "
        "encoded, so nobody knows their size.",
        example="512 MiB held, 256 MiB allowed",
        hint="bound the buffers, or spill",
        subsystem="runtime",
        status="reserved",
    ),
    entry(
        "SLO101",
        "The scheduler is late",
        when="The scheduler's lag is above its objective for three windows on end.",
        example="p95 lag 900 ms, objective 300 ms",
        hint="give the host more workers, or the flow less work",
        subsystem="runtime",
        severity=Severity.WARN,
        status="reserved",
    ),
    entry(
        "METRIC201",
        "A metric has too many label values",
        when="A label took more than 100 values within five minutes; further ones are counted "
        "under `_other`. Told once for each metric.",
        example="latticeflow.host.http_requests_total, label route: more than 100 values",
        hint="label by templates, not by values",
        subsystem="runtime",
        severity=Severity.WARN,
        status="runtime",
    ),
    entry(
        "WEB201",
        "The client went away",
        when="The client of a web entrypoint closed the connection before the answer, or the end "
        "of its stream, came; the run is cancelled.",
        example="POST /echo: connection closed after 40 ms",
        hint="nothing to do; make the route faster where it happens often",
        subsystem="runtime",
        severity=Severity.INFO,
        status="runtime",
    ),
)
