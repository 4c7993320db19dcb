"""The closed vocabularies of the Flow IR, spelled as its documents spell them.

Promise: each value is the text that stands in a document, and the two lattices can be compared.
Refusal: nothing else is here.
"""

from __future__ import annotations

from enum import StrEnum


class Profile(StrEnum):
    """Which host a flow is written for."""

    WEB = "web"
    QUEUE = "queue"
    TEMPORAL = "temporal"
    WASM = "wasm"
    DEV = "dev"


class NodeKind(StrEnum):
    """What sort of node it is. `builtin` and `plugin` come from rich documents only."""

    TRIGGER = "trigger"
    INLINE = "inline"
    ACTIVITY = "activity"
    SUBFLOW = "subflow"
    BUILTIN = "builtin"
    PLUGIN = "plugin"


class Effects(StrEnum):
    """How a node touches the world; a lattice, from less to more."""

    PURE = "pure"
    READ_ONLY = "read_only"
    EFFECTFUL = "effectful"

    @property
    def rank(self) -> int:
        """The place in the lattice, from 0."""
        return _EFFECTS.index(self)


class Determinism(StrEnum):
    """What a repetition may rely on; a lattice, from strict to free."""

    STRICT = "strict"
    STABLE = "stable"
    BEST_EFFORT = "best_effort"
    NONDETERMINISTIC = "nondeterministic"

    @property
    def rank(self) -> int:
        """The place in the lattice, from 0."""
        return _DETERMINISM.index(self)


_EFFECTS = tuple(Effects)
_DETERMINISM = tuple(Determinism)


class Delivery(StrEnum):
    """How often an item of an edge may arrive."""

    AT_LEAST_ONCE = "at_least_once"
    AT_MOST_ONCE = "at_most_once"
    EXACTLY_ONCE = "exactly_once"


class Ordering(StrEnum):
    """In which order the items of an edge arrive."""

    ORDERED = "ordered"
    """First in, first out, within a partition."""
    UNORDERED = "unordered"


class IdempotencyScope(StrEnum):
    """What an idempotency key is unique within."""

    NODE = "node"
    EDGE = "edge"
    PARTITION = "partition"


class SurfaceKind(StrEnum):
    """Control surfaces. `merge`, `join` and `zip` come from rich documents and from the DSL."""

    SWITCH = "switch"
    IF = "if"
    LOOP = "loop"
    FOR_EACH = "for_each"
    WINDOW = "window"
    PARTITION = "partition"
    TIMEOUT = "timeout"
    RATE_LIMIT = "rate_limit"
    ERROR_HANDLER = "error_handler"
    MERGE = "merge"
    JOIN = "join"
    ZIP = "zip"


class DurabilityMode(StrEnum):
    """When checkpoints are written."""

    OFF = "off"
    PARTIAL = "partial"
    """At halt nodes."""
    STRONG = "strong"
    """At every node boundary."""


class RetryOwner(StrEnum):
    """Who repeats a failed call: one of them, never both."""

    CONNECTOR = "connector"
    ORCHESTRATOR = "orchestrator"
    NONE = "none"
