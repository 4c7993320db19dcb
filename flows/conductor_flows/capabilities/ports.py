"""What nodes may use, as protocols.

Promise: one meaning for each call, whatever is behind it; the contract suites hold every provider
to it. Refusal: no provider is named here, and none repeats a call by itself: repetition is the
scheduler's.

Keys are text without meaning to a provider; values are bytes. `ttl_s` counts from the call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

SqlValue: TypeAlias = str | int | float | bytes | None


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpRead(Protocol):
    """Requests that change nothing."""

    async def send(self, request: Request) -> Response:
        """Send a GET, HEAD or OPTIONS; any status is an answer.

        Raises:
            CapabilityMisused: Another method.
            CapabilityTimedOut: No answer within the timeout.
            CapabilityUnreachable: No answer at all.
        """
        ...


class HttpWrite(Protocol):
    """Requests of any method."""

    async def send(self, request: Request) -> Response:
        """Send a request; any status is an answer. Raises as `HttpRead.send`."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A value and what is known of it."""

    key: str
    value: bytes | None
    """None in listings that leave values out."""
    metadata: Any = None
    """JSON."""
    expires_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, keys in the order of their code points."""

    entries: tuple[Entry, ...]
    cursor: str | None
    """For the next page; None: this is the last. It means nothing to anybody else."""


@dataclass(frozen=True, slots=True)
class KeyValueInfo:
    """What a provider can do."""

    ttl: Literal["none", "namespace_default", "per_write"]
    consistency: Literal["eventual", "strong"]


class KeyValue(Protocol):
    """Values under keys."""

    info: KeyValueInfo

    async def get(self, key: str) -> bytes | None:
        """Return a value; None: there is none, or it has expired."""
        ...

    async def entry(self, key: str) -> Entry | None:
        """Return a value with its metadata."""
        ...

    async def put(
        self, key: str, value: bytes, *, ttl_s: float | None = None,
        expires_at_ms: int | None = None, metadata: Any = None,
    ) -> None:  # fmt: skip
        """Keep a value; durable when this returns, where the provider is durable.

        Raises:
            CapabilityMisused: Both times are given, or a time is not in the future, or the key is
                empty.
        """
        ...

    async def delete(self, key: str) -> None:
        """Forget a key; KeyMissing where there is none."""
        ...

    async def list(
        self, prefix: str = "", *, cursor: str | None = None, limit: int = 100,
        values: bool = False,
    ) -> Page:  # fmt: skip
        """Return keys that begin with `prefix`, with their metadata, in pages."""
        ...


class BlobStore(Protocol):
    """Bytes under keys, of any size that fits in memory."""

    async def get(self, key: str) -> bytes | None:
        """Return the bytes; None: there are none."""
        ...

    async def put(self, key: str, data: bytes) -> None:
        """Keep bytes; durable when this returns, where the provider is durable."""
        ...

    async def delete(self, key: str) -> None:
        """Forget a key; KeyMissing where there is none."""
        ...


class Queue(Protocol):
    """First in, first out; each message is handed out once."""

    async def enqueue(self, message: bytes) -> None:
        """Append a message."""
        ...

    async def dequeue(self) -> bytes | None:
        """Take the oldest message; None: there is none."""
        ...


class DbRead(Protocol):
    """Questions to an SQL database."""

    async def query(self, sql: str, parameters: Sequence[SqlValue] = ()) -> list[dict[str, Any]]:
        """Return the rows by column name.

        Raises:
            CapabilityMisused: The statement is wrong, or would change something.
        """
        ...


class DbWrite(Protocol):
    """Changes to an SQL database."""

    async def execute(
        self, sql: str, parameters: Sequence[SqlValue] = (), *, key: str | None = None
    ) -> int | None:
        """Run one statement in a transaction of its own; returns the number of changed rows.

        Args:
            sql: One statement.
            parameters: For its question marks.
            key: The effect's idempotency key (`ctx.idempotency_key`): it is committed together
                with the change, and a second call with it changes nothing and returns None.

        Raises:
            CapabilityMisused: The statement is wrong.
        """
        ...


class DedupeStore(Protocol):
    """Remembers keys for a while."""

    async def put_if_absent(self, key: str, ttl_s: float) -> bool:
        """Remember a key; False: it is remembered already. Atomic between callers."""
        ...

    async def forget(self, key: str) -> None:
        """Forget a key, so that it may come again. Nothing happens where there is none."""
        ...


class Cache(Protocol):
    """Values that may be gone at any time."""

    async def get(self, key: str) -> bytes | None:
        """Return a value that is still kept."""
        ...

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        """Keep a value as long as there is room."""
        ...

    async def remove(self, key: str) -> None:
        """Forget a key."""
        ...


class Rng(Protocol):
    """Chance."""

    def random(self) -> float:
        """Return a number from 0 to below 1."""
        ...

    def bytes(self, count: int) -> bytes:
        """Return that many bytes. Not for keys and secrets where it is seeded."""
        ...
