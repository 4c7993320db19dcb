"""A Flow IR document in memory: one model for both dialects.

Promise: everything that either dialect can say has a place here, so nothing is lost by reading a
document and writing it again; the records are frozen and compare by value. Refusal: nothing is
checked here beyond types (`conductor_flows.validate` does), and nothing is read or written
(`small`, `rich_writer`).

Keys are spelled as in the small dialect, which the product writes: snake case but for `ttlMs`,
`effectHints` and `determinismHints`. Fields that only rich documents know are optional and left
out of small documents where they are not set.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from conductor_flows.ir.rich import (
    Budget,
    CacheSpec,
    CapabilityBinding,
    Compensation,
    Condition,
    CostEstimate,
    EdgeMetrics,
    Escalation,
    KeySpec,
    NodeDocs,
    NodeOrigin,
    PartitionKey,
    PartitionTopology,
    RateLimit,
    Schedule,
    StateModel,
    SurfaceLint,
    SurfaceOrigin,
    View,
)
from conductor_flows.ir.terms import (
    Delivery,
    Determinism,
    DurabilityMode,
    Effects,
    IdempotencyScope,
    NodeKind,
    Ordering,
    Profile,
    RetryOwner,
    SurfaceKind,
)

U32 = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
U64 = Annotated[int, msgspec.Meta(ge=0)]
Millis = U64
"""Milliseconds."""


class Opaque(msgspec.Struct, frozen=True, tag_field="kind", tag="opaque"):
    """A port whose type is not told."""


class Named(msgspec.Struct, frozen=True, tag_field="kind", tag="named", omit_defaults=True):
    """A port with a type of that name."""

    name: str
    version: str | None = None
    """Of the type, semver; rich documents require it."""


SchemaRef = Opaque | Named


class Artifact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file that belongs to a flow."""

    kind: str
    path: str
    format: str | None = None


class Idempotency(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a repetition of a node's effect is recognised."""

    key: str | None = None
    """An opaque key expression, as `customer_id:window_start`."""
    scope: IdempotencyScope | None = None
    ttl_ms: Millis | None = msgspec.field(default=None, name="ttlMs")
    ttl: str | None = None
    """The ISO 8601 text of `ttl_ms`, where the document had one."""
    key_spec: KeySpec | None = None
    """The key in full; `key` is then its fields joined by colons."""

    @property
    def keyed(self) -> bool:
        """Whether there is a key, in whichever form."""
        return bool(self.key) or self.key_spec is not None


class NodeDurability(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint may rely on at this node."""

    checkpointable: bool = True
    replayable: bool = True
    halts: bool = False


class NodeIR(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One node."""

    id: str
    """`<flow id>::<alias>`; rich documents have their own."""
    alias: str
    """Unique within the flow; edges name it."""
    identifier: str
    """Under which the handler is found: `module::function`, `subflow::<id>::<entry>`."""
    name: str
    kind: NodeKind
    in_schema: SchemaRef
    out_schema: SchemaRef
    effects: Effects
    determinism: Determinism
    summary: str | None = None
    idempotency: Idempotency = Idempotency()
    durability: NodeDurability = NodeDurability()
    determinism_hints: list[str] = msgspec.field(default_factory=list[str], name="determinismHints")
    effect_hints: list[str] = msgspec.field(default_factory=list[str], name="effectHints")
    subflow_ir: FlowIR | None = None
    """For analysis; only where `kind` is `subflow`."""
    schedule: Schedule | None = None
    retry_owner: RetryOwner | None = None
    state: StateModel | None = None
    cost: CostEstimate | None = None
    cache: CacheSpec | None = None
    compensate: Compensation | None = None
    params: dict[str, Any] | None = None
    capabilities: list[CapabilityBinding] | None = None
    docs: NodeDocs | None = None
    labels: list[str] | None = None
    origin: NodeOrigin | None = None
    in_data_classes: dict[str, str] | None = None
    """Data class of each field of the input, by JSON Pointer, as `{"/email": "pii.email"}`."""
    out_data_classes: dict[str, str] | None = None
    """The same of the output."""


class Buffer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What may wait on an edge."""

    max_items: U32 | None = None
    spill_threshold_bytes: U64 | None = None
    spill_tier: str | None = None
    on_drop: str | None = None
    """backpressure, drop_oldest, drop_newest or dead_letter."""
    max_bytes: U64 | None = None


class Transform(msgspec.Struct, frozen=True):
    """A conversion between the ports of an edge."""

    kind: Literal["into"]


class EdgeIR(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One edge, between aliases."""

    source: str = msgspec.field(name="from")
    to: str
    delivery: Delivery
    ordering: Ordering
    buffer: Buffer
    partition_key: str | None = None
    timeout_ms: Millis | None = None
    transform: Transform | None = None
    timeout: str | None = None
    """The ISO 8601 text of `timeout_ms`, where the document had one."""
    id: str | None = None
    partition: PartitionKey | None = None
    """The partition in full; `partition_key` is then its expression."""
    condition: Condition | None = None
    metrics: EdgeMetrics | None = None


class SurfaceIR(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One control surface."""

    id: str
    """`<kind>:<source alias>:<n>`."""
    kind: SurfaceKind
    targets: list[str]
    """Aliases: the source, then each distinct target in the order of declaration."""
    config: Any = None
    """By kind, with `v: 1`; docs/reference/flow-ir.md tables them."""
    origin: SurfaceOrigin | None = None
    lint: SurfaceLint | None = None


class CheckpointIR(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A place where a run may wait."""

    id: str
    summary: str | None = None
    node: str | None = None
    kind: str | None = None
    """hitl, timer or signal."""
    ttl_ms: Millis | None = None
    ttl: str | None = None
    """The ISO 8601 text of `ttl_ms`, where the document had one."""
    payload: Named | None = None
    view: View | None = None
    escalation: Escalation | None = None


class LintPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much is asked of the author."""

    require_control_hints: bool = False
    allow_multiple_triggers: bool | None = None


class DurabilityPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When checkpoints are written and how long they live. Times in milliseconds."""

    mode: DurabilityMode = DurabilityMode.PARTIAL
    checkpoint_interval: Millis | None = None
    blob_threshold_bytes: U64 | None = None
    lease_ttl: Millis | None = None
    checkpoint_ttl: Millis | None = None
    retain_completed_for: Millis | None = None
    retry_on_lease_conflict: bool | None = None
    max_resume_attempts: U32 | None = None


class Policies(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What holds for the whole flow."""

    lint: LintPolicy = LintPolicy()
    durability: DurabilityPolicy = DurabilityPolicy()
    rate_limit: RateLimit | None = None
    budget: Budget | None = None
    egress: list[str] | None = None
    """Hosts that the flow may reach."""
    capability_guards: list[str] | None = None


class Entrypoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A way in and the node whose output is the answer."""

    trigger_alias: str
    capture_alias: str
    route_path: str | None = None
    method: str | None = None
    route_aliases: list[str] = msgspec.field(default_factory=list[str])
    deadline_ms: Millis | None = None
    respond: str | None = None
    """immediate, on_last, explicit or stream."""


class Metadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of the flow besides."""

    tags: list[str] = msgspec.field(default_factory=list[str])
    entrypoints: list[Entrypoint] = msgspec.field(default_factory=list[Entrypoint])
    effects_summary: str | None = None
    determinism_summary: str | None = None
    capabilities: list[CapabilityBinding] | None = None
    secrets: list[str] | None = None
    idempotency_coverage: dict[str, str] | None = None
    partition_topology: PartitionTopology | None = None
    derived_artifacts: list[Artifact] | None = None


class FlowIR(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One flow."""

    id: str
    """A UUIDv5 of name and version, see `identity`; rich documents have their own."""
    name: str
    """snake_case."""
    version: str
    """Of the flow, semver; documents carry no version of the schema."""
    profile: Profile
    summary: str | None = None
    nodes: list[NodeIR] = msgspec.field(default_factory=list[NodeIR])
    edges: list[EdgeIR] = msgspec.field(default_factory=list[EdgeIR])
    control_surfaces: list[SurfaceIR] = msgspec.field(default_factory=list[SurfaceIR])
    checkpoints: list[CheckpointIR] = msgspec.field(default_factory=list[CheckpointIR])
    policies: Policies = Policies()
    metadata: Metadata = Metadata()
    artifacts: list[Artifact] = msgspec.field(default_factory=list[Artifact])
