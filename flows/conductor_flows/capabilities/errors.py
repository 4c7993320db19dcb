"""What can go wrong between a node and what it uses.

Promise: a node can tell whether to ask again (`retryable`). Refusal: no secret and no body of a
request in a text.
"""

from __future__ import annotations

from conductor_sdk.errors import ConductorError, Exit


class CapabilityFailed(ConductorError):
    """A capability failed."""

    code = "CAPABILITY_FAILED"
    default_hint = "look at the binding that it names"


class KeyMissing(CapabilityFailed):
    """Nothing is kept under the key."""

    code = "CAPABILITY_NOT_FOUND"
    exit_code = Exit.NOT_FOUND


class CapabilityMisused(CapabilityFailed):
    """A capability was asked for something that it cannot do."""

    code = "CAPABILITY_MISUSED"
    exit_code = Exit.USAGE


class CapabilityUnreachable(CapabilityFailed):
    """What is behind a capability did not answer."""

    code = "CAPABILITY_UNREACHABLE"
    retryable = True
    exit_code = Exit.UNAVAILABLE


class CapabilityTimedOut(CapabilityUnreachable):
    """What is behind a capability did not answer in time."""

    code = "CAPABILITY_TIMED_OUT"


class BindingRefused(ConductorError):
    """A binding cannot be used."""

    code = "BINDING_REFUSED"
    default_hint = "write it like this: resource::kv=memory"
    exit_code = Exit.USAGE


class LockRefused(BindingRefused):
    """The bindings lock cannot be used."""

    code = "BINDINGS_LOCK_REFUSED"
    default_hint = "write it again: flows bindings lock generate SPEC --bind …"
    exit_code = Exit.INTEGRITY
