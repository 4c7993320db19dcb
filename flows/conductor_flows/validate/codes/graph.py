"""Codes of the graph: aliases, edges, triggers, entrypoints and what authoring refuses.

Promise: a code is never used again for something else, and each says how to mend what it names.
Refusal: nothing is judged here: a code is given by the rule that `rules` has for it.
"""

from __future__ import annotations

from typing import Final

from conductor_flows.validate.codes.entry import entry
from conductor_flows.validate.diagnostic import Code, Severity

GRAPH: Final[tuple[Code, ...]] = (
    entry(
        "DAG001",
        "A port has no type",
        when="A node's function is not `async`, does not take exactly one input, or has no "
        "annotation for its input or its result.",
        example="@node()\nasync def price(order): ...",
        hint="annotate the input and the result of the async function",
        subsystem="macros",
        status="dsl",
    ),
    entry(
        "DAG002",
        "Parameters have no schema",
        when="The type of a node's parameters has no JSON Schema.",
        example="@node(params=threading.Lock)",
        hint="use a pydantic model, a dataclass or a msgspec Struct for the parameters",
        subsystem="macros",
        status="dsl",
    ),
    entry(
        "DAG003",
        "An unknown attribute, kind or resource",
        when="A decorator or a flow is given a word that it does not know.",
        example='Flow("s1_echo_flow", "1.0.0", profile="mainframe")',
        hint="use one of the words that the message lists",
        subsystem="macros",
        status="dsl",
    ),
    entry(
        "DAG101",
        "A trigger leads nowhere",
        when="A trigger has no outgoing edge and no entrypoint names it as its own capture.",
        example='{"nodes": [{"alias": "take", "kind": "trigger"}, {"alias": "a"}], "edges": []}',
        hint="connect the trigger: flow.connect(trigger, node)",
    ),
    entry(
        "DAG102",
        "The profile cannot answer in this way",
        when="An entrypoint's `respond` is `stream` in the profile queue or temporal, or is "
        "none of immediate, on_last, explicit and stream.",
        example='{"profile": "queue", "metadata": {"entrypoints": [{"respond": "stream"}]}}',
        hint="answer with on_last, or use the profile web",
    ),
    entry(
        "DAG103",
        "Two entrypoints share a route",
        when="Two entrypoints have the same method and path; `route_aliases` count, and names of "
        "path parameters do not.",
        example='[{"method": "POST", "route_path": "/echo"}, '
        '{"method": "POST", "route_path": "/echo"}]',
        hint="give one of them another path or another method",
    ),
    entry(
        "DAG104",
        "Several triggers",
        when="There is more than one trigger and `policies.lint.allow_multiple_triggers` is not "
        "true.",
        example='{"nodes": [{"kind": "trigger"}, {"kind": "trigger"}]}',
        hint="keep one trigger, or set policies.lint.allow_multiple_triggers",
    ),
    entry(
        "DAG200",
        "The graph has a cycle",
        when="An edge leads back to a node before it. Edges whose condition is of type `loop` and "
        "the back edge of a `loop` surface do not count. One per flow.",
        example='[{"from": "a", "to": "b"}, {"from": "b", "to": "a"}]',
        hint="remove the edge, or declare a loop surface",
    ),
    entry(
        "DAG201",
        "Two ports do not fit",
        when="Both ends of an edge have named types, the names differ, and the edge has no "
        "`transform` of kind `into`.",
        example='{"from": "a", "to": "b"}, where a gives Order and b takes Invoice',
        hint="change one type, or convert: flow.connect(a, b, into=True)",
    ),
    entry(
        "DAG202",
        "An undefined reference",
        when="An edge, a checkpoint or a compensation names an alias that no node has.",
        example='{"from": "take", "to": "nowhere"}',
        hint="correct the alias, or add the node",
    ),
    entry(
        "DAG204",
        "Nobody answers",
        when="In the profile web, the capture of an entrypoint cannot be reached from its trigger.",
        example='{"trigger_alias": "take", "capture_alias": "unconnected"}',
        hint="connect the trigger to the capture, or name a capture that it reaches",
    ),
    entry(
        "DAG205",
        "An alias is used twice",
        when="Two nodes have the same alias.",
        example='{"nodes": [{"alias": "a"}, {"alias": "a"}]}',
        hint='give one of them another alias: flow.add(node, alias="…")',
    ),
    entry(
        "DAG206",
        "A setting for an edge that does not exist",
        when="A timeout, delivery, buffer, spill, `if_` or `switch` is set between nodes that "
        "nothing connects.",
        example="flow.timeout(a, b, ms=1000)  # without flow.connect(a, b)",
        hint="connect the nodes first: flow.connect(a, b)",
        subsystem="macros",
        status="dsl",
    ),
    entry(
        "DAG207",
        "A setting is made twice",
        when="A node has both an `if` and a `switch`; when authoring, also the same setting twice "
        "for one edge.",
        example='[{"kind": "if", "targets": ["a", "b", "c"]}, '
        '{"kind": "switch", "targets": ["a", "b"]}]',
        hint="keep one of the two",
        subsystem="macros",
    ),
    entry(
        "TRIG001",
        "An entrypoint names no trigger or no capture",
        when="`trigger_alias` is not the alias of a trigger, or `capture_alias` of no node.",
        example='{"trigger_alias": "normalize", "capture_alias": "reply"}',
        hint="name a node of kind trigger, and a node of this flow as the capture",
    ),
    entry(
        "TRIG002",
        "A schedule cannot be read",
        when="A trigger by time has an expression that is no schedule.",
        example='{"schedule": "every full moon"}',
        hint="write a cron expression of five fields",
        status="reserved",
    ),
    entry(
        "TRIG003",
        "The time zone of a schedule is unknown",
        when="A trigger by time names a zone that the time zone database does not have.",
        example='{"schedule": "0 6 * * *", "timezone": "Mars/Olympus"}',
        hint="use a name of the IANA database, as Europe/Vienna",
        status="reserved",
    ),
    entry(
        "TRIG004",
        "The profile has no such trigger",
        when="A trigger is of a kind that the flow's profile does not start runs by.",
        example='{"profile": "web", "trigger": "schedule"}',
        hint="use another profile, or another trigger",
        status="reserved",
    ),
    entry(
        "TYPE001",
        "An inner node passes JSON without a type",
        when="Both ports of a node that is neither a trigger nor an end of the flow are opaque, "
        "and it lacks the hint `policy::json_boundary`.",
        example='{"in_schema": {"kind": "opaque"}, "out_schema": {"kind": "opaque"}}',
        hint="give the node typed ports, or add the effect hint policy::json_boundary",
        severity=Severity.WARN,
    ),
    entry(
        "DAG340",
        "A variable hides another",
        when="A flow variable has the name of one in an outer scope.",
        example='{"vars": {"region": "eu"}, "nodes": [{"vars": {"region": "us"}}]}',
        hint="rename one of them",
        status="reserved",
    ),
    entry(
        "DAG341",
        "A variable has the wrong type",
        when="A flow variable is given a value of another type than it was declared with.",
        example='{"vars": {"retries": {"type": "integer", "value": "three"}}}',
        hint="change the value or the declared type",
        status="reserved",
    ),
)
