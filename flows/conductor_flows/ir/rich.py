"""The records that only rich documents know, and that the validator and the executor obey.

Promise: every field of the rich schema has a place here or in `model`. Refusal: as `model`.
Durations are ISO 8601 texts, as the rich dialect writes them; `durations` gives milliseconds.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from conductor_flows.ir.terms import Determinism


class Span(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A place in a source file; lines and columns count from 1."""

    file: str | None = None
    line: int | None = None
    column: int | None = None


class NodeOrigin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a node was written."""

    module: str | None = None
    span: Span | None = None


class SurfaceOrigin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """By what a surface was written."""

    macro: str | None = None
    span: Span | None = None


class SurfaceLint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to advise where a surface is missing."""

    required_for: list[str] | None = None
    suggestion: str | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many items a node takes at once."""

    mode: Literal["none", "fixed", "adaptive"]
    size: int | None = None
    max_latency: str | None = None


class RetryBackoff(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How long to wait between attempts."""

    strategy: Literal["none", "linear", "exponential", "fixed"] | None = None
    base: str | None = None
    max: str | None = None
    jitter: float | None = None
    """0 to 1, of the delay."""
    max_attempts: int | None = None
    """Attempts in all; the small dialect's own, rich documents have no place for it."""


class Schedule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a node is run. Durations are ISO 8601 texts, as `PT5M`."""

    concurrency: int | None = None
    batch: Batch | None = None
    timeout: str | None = None
    priority: Literal["low", "normal", "high"] | None = None
    retry_backoff: RetryBackoff | None = None


class KeyField(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One ingredient of a key."""

    path: str
    description: str | None = None
    determinism: Determinism | None = None
    optional: bool | None = None


class KeySpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key in full."""

    encoding: Literal["cbor_canonical", "json_canonical", "other"]
    hash: Literal["blake3", "sha256", "other"]
    fields: list[KeyField]
    scope: Literal["node", "edge", "partition"] | None = None


class StateModel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """State that a node keeps; `none` says that it keeps none."""

    consistency: Literal["none", "local", "global"]
    ttl: str | None = None
    schema_version: str | None = None


class Currency(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Money."""

    amount: float | None = None
    unit: str | None = None
    basis: Literal["per_item", "per_batch", "per_run"] | None = None


class CostEstimate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a node is expected to use."""

    cpu_ms: float | None = None
    mem_mb: float | None = None
    storage_bytes: float | None = None
    tokens: float | None = None
    currency: Currency | None = None
    confidence: float | None = None


class CacheSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where results are kept."""

    key: KeySpec
    tier: Literal["memory", "disk", "remote"]
    ttl: str | None = None
    invalidate_on: list[str] | None = None


class Compensation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What undoes a node's effect."""

    target: str
    timeout: str | None = None
    policy: Literal["on_failure", "always", "manual_only"] | None = None


class CapabilityBinding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A capability that a node needs."""

    name: str
    version: str | None = None
    max_version: str | None = None
    scopes: list[str] | None = None
    modes: list[str] | None = None


class NodeDocs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Words about a node beside its summary."""

    details: str | None = None
    examples: list[str] | None = None
    links: list[str] | None = None


class PartitionKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """By what an edge is parted."""

    expression: str
    determinism: Determinism
    docs: str | None = None


class Condition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When an edge is taken."""

    type: Literal["case", "predicate", "error", "loop"] | None = None
    label: str | None = None
    expression: str | None = None
    on: str | None = None


class EdgeMetrics(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an edge is called in metrics."""

    id: str | None = None


class View(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What people see at a checkpoint."""

    component: str | None = None
    params: dict[str, Any] | None = None


class Escalation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happens when nobody answers."""

    after: str | None = None
    policy: Literal["auto_reject", "notify", "fallback"] | None = None


class RateLimit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A token bucket for the whole flow."""

    qps: int | None = None
    burst: int | None = None


class Budget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a flow may cost."""

    currency: str | None = None
    amount: float | None = None
    period: Literal["per_run", "per_hour", "per_day", "per_month"] | None = None


class PartitionTopology(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a flow is parted."""

    strategy: Literal["none", "keyed", "sharded"] | None = None
    keys: list[PartitionKey] | None = None
