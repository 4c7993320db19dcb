"""What can go wrong while a flow runs.

Promise: errors that the registry of diagnostics knows carry its code. Refusal: nothing is caught
here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from conductor_sdk.errors import ConductorError, Exit

SAID_MAX: Final = 10_000
"""Characters that are kept of what a function said: some errors repeat the whole input."""


class Failure(StrEnum):
    """Why a node failed, as far as a repetition is concerned."""

    TRANSIENT = "transient"
    RATE_LIMITED = "rate_limited"
    AUTH = "auth"
    PERMANENT = "permanent"
    SCHEMA_MISMATCH = "schema_mismatch"
    POLICY_DENIED = "policy_denied"
    TIMEOUT = "timeout"

    @property
    def repeats(self) -> bool:
        """Whether the same call may succeed later."""
        return self in {Failure.TRANSIENT, Failure.RATE_LIMITED, Failure.TIMEOUT}


class FlowError(ConductorError):
    """A run of a flow failed."""

    code = "FLOW_FAILED"
    default_hint = "look at the node that it names"

    @property
    def details(self) -> dict[str, Any]:
        """Facts for programs."""
        return self.data


class PortRefused(FlowError):
    """A value does not fit its port."""

    code = "FLOW_PORT_REFUSED"
    default_hint = "see what it takes: flows entrypoints check SPEC --json"
    exit_code = Exit.USAGE

    def __init__(self, detail: str, *, pointer: str = "") -> None:
        """Say what is wrong and where.

        Args:
            detail: What does not fit.
            pointer: JSON Pointer into the value.
        """
        super().__init__(detail, data={"pointer": pointer})
        self.pointer = pointer


class NodeFailed(FlowError):
    """A node failed."""

    code = "FLOW_NODE_FAILED"

    def __init__(
        self, alias: str, detail: str, *, kind: str = "handler_error",
        failure: Failure = Failure.TRANSIENT,
    ) -> None:  # fmt: skip
        """Say which and how.

        Args:
            alias: The node.
            detail: What its function said.
            kind: As in the metric `executor.node_errors_total`.
            failure: Whether a repetition helps.
        """
        super().__init__(f"{alias}: {detail}", data={"node": alias, "kind": kind})
        self.alias = alias
        self.kind = kind
        self.failure = failure
        self.said = detail


class TimeBudget(NodeFailed):
    """A node or an edge took longer than it may."""

    code = "TIME015"
    default_hint = "raise the timeout that it names, or make the node faster"

    def __init__(self, alias: str, detail: str) -> None:
        super().__init__(alias, detail, kind="timeout", failure=Failure.TIMEOUT)


class KeyCollision(NodeFailed):
    """Two different inputs have the same idempotency key."""

    code = "IDEM099"
    default_hint = "let the key cover every field that the effect depends on"

    def __init__(self, alias: str, key: str) -> None:
        detail = f"the idempotency key {key[:16]}… was given to another input before"
        super().__init__(alias, detail, kind="key_collision", failure=Failure.PERMANENT)


class Unroutable(FlowError):
    """A surface cannot read what it chooses by."""

    code = "FLOW_UNROUTABLE"

    def __init__(self, detail: str, *, surface: str) -> None:
        """Say what is missing.

        Args:
            detail: For people.
            surface: Its kind.
        """
        super().__init__(detail, data={"surface": surface})
        self._kind = f"{surface}_routing_failed"

    def of_node(self, alias: str) -> NodeFailed:
        """Return the same as the failure of the node that the surface stands at."""
        failure = Failure.PERMANENT
        return NodeFailed(alias, self.detail or "", kind=self._kind, failure=failure)


class DeadlineExceeded(FlowError):
    """The run did not end before its deadline."""

    code = "FLOW_DEADLINE_EXCEEDED"
    default_hint = "give it longer: flows run local SPEC --deadline SECONDS"
    retryable = True


class Cancelled(FlowError):
    """The run was cancelled."""

    code = "FLOW_CANCELLED"
    default_hint = "see why in its details: reason"

    def __init__(self, reason: str) -> None:
        """Say why: external, stream_cancelled, deadline, node_error, switch_no_target."""
        super().__init__(reason, data={"reason": reason})
        self.reason = reason


class MissingOutput(FlowError):
    """Nothing reached the capture."""

    code = "FLOW_MISSING_OUTPUT"
    default_hint = "see the ways through it: flows graph show SPEC"


class UnknownAlias(FlowError):
    """The flow has no such node, or it is of the wrong kind."""

    code = "FLOW_UNKNOWN_ALIAS"
    default_hint = "see the nodes: flows graph show SPEC"
    exit_code = Exit.USAGE


class UnregisteredNode(FlowError):
    """There is no function behind a node."""

    code = "FLOW_UNREGISTERED_NODE"
    default_hint = "give the program a function for the node that it names"


class SurfaceUnsupported(FlowError):
    """This host does not serve a control surface."""

    code = "CTRL901"
    default_hint = "see what it means: flows codes CTRL901"


class SurfaceInvalid(FlowError):
    """The configuration of a control surface cannot be used."""

    code = "CTRL110"
    default_hint = "see what it means: flows codes CTRL110"


class IfInvalid(SurfaceInvalid):
    """The configuration of an `if` cannot be used."""

    code = "CTRL120"
    default_hint = "see what it means: flows codes CTRL120"


class CapabilitiesMissing(FlowError):
    """Nothing is bound to what the flow asks for."""

    code = "CAP101"
    default_hint = "bind what is missing, as in: flows run local SPEC --bind kv=memory"


class CapabilityUndeclared(FlowError):
    """A node used what it did not declare."""

    code = "CAP110"
    default_hint = "declare it: @node(uses=[…])"


class DurabilityMissing(FlowError):
    """The flow needs durability services that the host does not have."""

    code = "DAG-CKPT-003"
    default_hint = "name a store: flows run local SPEC --checkpoint-store filesystem"


class SpillUnsupported(FlowError):
    """There is no store for what an edge is to spill."""

    code = "FLOW_SPILL_UNSUPPORTED"
    default_hint = "give the host a blob store for the tier that the edge names"
    exit_code = Exit.USAGE


class NodeError(Exception):
    """Raised by a node's function to say how it failed. Anything else counts as transient."""

    def __init__(self, failure: Failure, message: str) -> None:
        """Classify the failure.

        Args:
            failure: Whether a repetition helps.
            message: For people; no secrets.
        """
        super().__init__(message)
        self.failure = Failure(failure)


def said_by(error: BaseException) -> str:
    """Return the text of an error, if it has one that can be read, and not too much of it."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  # it is not ours: what it cannot say must not end more than it did
        return "(its text cannot be read)"
    return text if len(text) <= SAID_MAX else f"{text[:SAID_MAX]}…"
