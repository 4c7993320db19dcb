"""Codes of edges, buffers and control surfaces.

Promise: a code is never used again for something else, and each says how to mend what it names.
Refusal: nothing is judged here: a code is given by the rule that `rules` has for it.
"""

from __future__ import annotations

from typing import Final

from conductor_flows.validate.codes.entry import entry
from conductor_flows.validate.diagnostic import Code, Severity

SURFACES: Final[tuple[Code, ...]] = (
    entry(
        "CTRL001",
        "A branch that no surface explains",
        when="`policies.lint.require_control_hints` is true, and a node has several outgoing "
        "edges but is the source of no control surface.",
        example='[{"from": "a", "to": "b"}, {"from": "a", "to": "c"}]',
        hint="declare the branch: flow.if_ or flow.switch",
        subsystem="lint",
        severity=Severity.WARN,
    ),
    entry(
        "CTRL101",
        "A timeout of nothing",
        when="`timeout_ms` of an edge is 0.",
        example='{"from": "a", "to": "b", "timeout_ms": 0}',
        hint="set a timeout above 0, or leave it out",
    ),
    entry(
        "CTRL102",
        "A buffer for nothing",
        when="`buffer.max_items` of an edge is 0.",
        example='{"from": "a", "to": "b", "buffer": {"max_items": 0}}',
        hint="let the buffer hold at least one item",
    ),
    entry(
        "CTRL110",
        "The configuration of a switch cannot be used",
        when="It is no object, its `v` is not 1, `source` is no alias, `selector_pointer` no JSON "
        "Pointer, `cases` no object with at least one alias, `default` no alias, or `targets` "
        "lacks one of them or names an unknown one.",
        example='{"kind": "switch", "config": {"v": 1, "source": "a", "cases": {}}}',
        hint="compare the configuration with the table in docs/reference/flow-ir.md",
    ),
    entry(
        "CTRL111",
        "A case of a switch has no edge",
        when="No edge leads from the source of a switch to a case or to the default.",
        example='{"kind": "switch", "config": {"source": "a", "cases": {"x": "b"}}}, no a -> b',
        hint="connect the source to every case: flow.connect(source, case)",
    ),
    entry(
        "CTRL112",
        "Two switches on one node",
        when="Two switches have the same source.",
        example='two surfaces {"kind": "switch", "config": {"source": "a"}}',
        hint="join their cases in one switch",
    ),
    entry(
        "CTRL120",
        "The configuration of an if cannot be used",
        when="It is no object, its `v` is not 1, `source`, `then` or `else` is no alias, "
        "`selector_pointer` no JSON Pointer, or `targets` lacks one of them or names an unknown "
        "one.",
        example='{"kind": "if", "config": {"v": 2, "source": "a"}}',
        hint="compare the configuration with the table in docs/reference/flow-ir.md",
    ),
    entry(
        "CTRL121",
        "A branch of an if has no edge",
        when="No edge leads from the source of an if to `then` or to `else`.",
        example='{"kind": "if", "config": {"source": "a", "then": "b", "else": "c"}}, no a -> c',
        hint="connect the source to both branches: flow.connect(source, branch)",
    ),
    entry(
        "CTRL122",
        "Two ifs on one node",
        when="Two ifs have the same source.",
        example='two surfaces {"kind": "if", "config": {"source": "a"}}',
        hint="use one switch, or a node between the two",
    ),
    entry(
        "CTRL130",
        "The configuration of a surface cannot be used",
        when="A field of a for_each, loop, window, partition, timeout, rate_limit, error_handler, "
        "merge, join or zip is missing, of the wrong type or out of range. `body_exit` of a loop "
        "may be left out where one edge goes back, or the body is one node.",
        example='{"kind": "rate_limit", "config": {"v": 1, "target": "a", "qps": 0, "burst": 1}}',
        hint="compare the configuration with the table in docs/reference/flow-ir.md",
    ),
    entry(
        "CTRL131",
        "A surface names an unknown node",
        when="The configuration or the targets of such a surface name an alias that no node has.",
        example='{"kind": "timeout", "config": {"scope": {"nodes": ["nobody"]}}}',
        hint="correct the alias, or add the node",
    ),
    entry(
        "CTRL132",
        "A surface acts on an edge that does not exist",
        when="There is no edge from a for_each or a loop to its body, none between the two nodes "
        "of a partition or a window, or none from a source of a merge, join or zip to its target.",
        example='{"kind": "for_each", "config": {"source": "a", "body_entry": "b"}}, no a -> b',
        hint="connect the two nodes: flow.connect(a, b)",
    ),
    entry(
        "CTRL901",
        "The host does not serve this surface",
        when="A flow has a control surface of a kind that the host or the profile lacks.",
        example='a host that serves only "if" and "switch" is given a "rate_limit"',
        hint="run the flow on the in-process host or the web host, which serve every kind",
        subsystem="runtime",
        status="runtime",
    ),
    entry(
        "SPILL001",
        "A spill without a bound",
        when="`buffer.spill_tier` is set and `buffer.max_items` is not.",
        example='{"buffer": {"spill_tier": "disk"}}',
        hint="say how many items may wait in memory: flow.buffer(a, b, max_items=…)",
    ),
    entry(
        "SPILL002",
        "A spill without a blob store",
        when="An edge has a `spill_tier`, and no node of the flow has a hint under "
        "`resource::blob`. One per flow.",
        example='{"buffer": {"max_items": 100, "spill_tier": "disk"}}',
        hint="add a hint as resource::blob::write to the node that uses the store",
    ),
    entry(
        "DAG320",
        "A rate limit that lets nothing through",
        when="`policies.rate_limit` has a `qps` or a `burst` that is not above 0.",
        example='{"policies": {"rate_limit": {"qps": 0, "burst": 10}}}',
        hint="set both above 0, or leave the limit out",
    ),
)
