"""Codes of schedules, documentation, capabilities, data and cost.

Promise: a code is never used again for something else, and each says how to mend what it names.
Refusal: nothing is judged here: a code is given by the rule that `rules` has for it.
"""

from __future__ import annotations

from typing import Final

from conductor_flows.validate.codes.entry import entry
from conductor_flows.validate.diagnostic import Code, Severity

GOVERNANCE: Final[tuple[Code, ...]] = (
    entry(
        "DAG005",
        "Concurrency out of range",
        when="`schedule.concurrency` is below 1 or above what the profile allows: web 256, queue "
        "64, temporal 1000, wasm 1, dev 1024.",
        example='{"schedule": {"concurrency": 0}}',
        hint="choose a number from 1 to the profile's maximum",
    ),
    entry(
        "DAG006",
        "A batch that contradicts itself",
        when="The mode is fixed without a size of at least 1, none with a size, or a batch is set "
        "at a capture whose entrypoint streams.",
        example='{"schedule": {"batch": {"mode": "fixed"}}}',
        hint="set mode and size together, and no batch where the answer is a stream",
    ),
    entry(
        "DAG203",
        "Credentials are not bound",
        when="A capability asks for scopes and `metadata.secrets` is empty.",
        example='{"capabilities": [{"name": "mail", "scopes": ["mail.send"]}]}',
        hint="list the secret in metadata.secrets",
    ),
    entry(
        "DAG330",
        "A provider has no credentials",
        when="The provider of a connector is not set up.",
        example="provider acme: no account",
        hint="set up the provider's credentials",
        status="reserved",
    ),
    entry(
        "DAG331",
        "A capability is not permitted",
        when="`policies.capability_guards` is a list, and a node asks for a capability that is not "
        "in it.",
        example='{"policies": {"capability_guards": ["KvRead"]}}, a node asks for HttpWrite',
        hint="remove the capability, or add it to policies.capability_guards",
    ),
    entry(
        "DAG350",
        "A node without a summary",
        when="A node has no summary, or an empty one.",
        example='{"alias": "normalize"}',
        hint='say in a line what the node does: @node(summary="…")',
        subsystem="lint",
        severity=Severity.WARN,
    ),
    entry(
        "WFLOW010",
        "Inline code that a workflow cannot replay",
        when="In the profile temporal, an inline node is not both pure and strict.",
        example='{"profile": "temporal", "nodes": [{"kind": "inline", "effects": "read_only"}]}',
        hint="make the node an activity, or pure and strict",
        subsystem="lowering",
    ),
    entry(
        "DATA101",
        "Data without a class",
        when="A flow with the tag `regulated` has a typed port whose fields have no data classes.",
        example='{"in_schema": {"kind": "named", "name": "Person"}}, no in_data_classes',
        hint='classify the fields, as {"/email": "pii.email"}',
    ),
    entry(
        "EGRESS101",
        "No host may be reached",
        when="`policies.egress` is an empty list and a node has a hint under `resource::http`.",
        example='{"policies": {"egress": []}}',
        hint="list the hosts in policies.egress, or drop the HTTP resource",
    ),
    entry(
        "SECR201",
        "More is granted than is asked for",
        when="`metadata.capabilities` grants a scope that no node asks for under that name.",
        example='{"metadata": {"capabilities": [{"name": "mail", "scopes": ["mail.admin"]}]}}',
        hint="remove the scope from metadata.capabilities",
    ),
    entry(
        "CAPV101",
        "A capability of the wrong version",
        when="The version that `metadata.capabilities` grants is below `version` or above "
        "`max_version` of a node, or is no version.",
        example='{"name": "kv", "version": "2.0.0"} granted, {"name": "kv", "max_version": '
        '"1.9.0"} needed',
        hint="grant a version within the range",
    ),
    entry(
        "COST101",
        "A run costs more than was estimated",
        when="The cost of a run is above the estimate by more than the policy allows.",
        example="estimated 0.10 USD, actual 0.25 USD",
        hint="correct the estimate, or look at the node that is dearer than it says",
        status="reserved",
    ),
    entry(
        "HTTP002",
        "A generic HTTP node without a contract",
        when="A generic HTTP node does not say which answers it expects.",
        example='{"identifier": "std.http.request", "params": {"url": "https://acme.test"}}',
        hint="describe the answers, or use a connector",
        status="reserved",
    ),
    entry(
        "HTTP003",
        "A generic HTTP node breaks its contract",
        when="The method of a generic HTTP node does not go with its effects.",
        example='{"params": {"method": "DELETE"}, "effects": "read_only"}',
        hint="declare the effects that the method has",
        status="reserved",
    ),
)
