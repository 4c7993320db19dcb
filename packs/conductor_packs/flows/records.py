"""One run, as the pack remembers it, and the ways in which it can stand still.

Promise: frozen; closed. Refusal: nothing is stored or run here.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import msgspec

from conductor_packs.flows.requests import RunRequest
from conductor_sdk.errors import ConductorError

State = Literal["queued", "running", "halted", "completed", "failed"]
ENDED: Final = frozenset({"completed", "failed"})
_SPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "conductor:flows:run")


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a run failed, or was refused."""

    code: str
    message: str
    hint: str = ""
    retryable: bool = False
    """Whether the same request may succeed later without a change."""
    details: dict[str, Any] = {}


class Waiting(msgspec.Struct, frozen=True, omit_defaults=True):
    """A place at which a run waits; without the token, which is kept nowhere."""

    id: str
    alias: str
    kind: Literal["timer", "callback", "approval"]
    payload: Any = None
    until_ms: int | None = None
    """When a timer fires, or the wait is given up."""


@dataclass(frozen=True, slots=True)
class Completed:
    """The flow answered."""

    result: bytes
    """JSON."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class Halted:
    """It waits for something from outside."""

    checkpoint_id: str
    waits: tuple[Waiting, ...]

    @property
    def due_ms(self) -> int | None:
        """The earliest time at which it goes on by itself."""
        return min((each.until_ms for each in self.waits if each.until_ms is not None),
                   default=None)  # fmt: skip


Outcome: TypeAlias = Completed | Failed | Halted


class Run(msgspec.Struct, frozen=True, array_like=True):
    """A row."""

    run_id: str
    flow: str
    """Its name in the configuration."""
    state: State
    request: bytes
    request_hash: str
    event_id: str
    """What asked for it."""
    version: str
    """Of the flow, once it has begun."""
    code_hash: str
    checkpoint_id: str | None
    due_ms: int | None
    attempts: int
    """Since it last came to rest."""
    starts: int
    halts: int
    outcome: bytes | None
    """JSON: the result, a `Fault`, or a list of `Waiting`."""
    nodes: bytes
    told: bool
    took_ms: int
    created_ms: int
    changed_ms: int

    @property
    def asked(self) -> RunRequest:
        """What was asked."""
        return msgspec.json.decode(self.request, type=RunRequest)

    @property
    def fault(self) -> Fault:
        """Why it failed."""
        return msgspec.json.decode(self.outcome or b"{}", type=Fault)

    @property
    def waits(self) -> list[Waiting]:
        """Where it waits."""
        return msgspec.json.decode(self.outcome or b"[]", type=list[Waiting])


def run_id_of(request: RunRequest, asked_by: str) -> str:
    """Return the id of the run that a request is: the same for the same key, else the same event.

    Args:
        request: The request.
        asked_by: The event's id, or the call's.
    """
    key = request.idempotency_key
    words = ("event", asked_by) if key is None else ("key", request.flow, key)
    return f"run-{uuid.uuid5(_SPACE, msgspec.json.encode(words).decode())}"


def fault_of(error: BaseException) -> Fault:
    """Say how an error is told; one that nobody thought of without its text."""
    if isinstance(error, ConductorError):
        details = msgspec.to_builtins(error.data, str_keys=True, enc_hook=str)
        return Fault(error.code, _cut(error.message), error.hint, error.retryable, details)
    from conductor_packs.flows.errors import RunFailed

    unknown = RunFailed(type(error).__name__)
    return Fault(unknown.code, unknown.message, unknown.hint)


def _cut(text: str) -> str:
    return text if len(text) <= 2000 else text[:1999] + "…"  # noqa: PLR2004  # a page
