"""The shapes of a conductor's history records, given by whoever reads them.

Promise: a history returns the caller's own record types. Refusal: it does not import them; the
layer that owns them stands above this one and hands in their constructors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar


class AnchorShape(Protocol):
    """A workspace's journal head as it was seen at a time."""

    @property
    def workspace(self) -> str:
        """Whose journal."""
        ...

    @property
    def size(self) -> int:
        """Number of entries."""
        ...

    @property
    def hash(self) -> str:
        """Hash of the last entry."""
        ...

    @property
    def at_ms(self) -> int:
        """When it was seen."""
        ...


class TokenShape(Protocol):
    """An issued token, without the token."""

    @property
    def token_id(self) -> str:
        """The name under which it is listed and revoked."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of the token, in hex."""
        ...

    @property
    def purpose(self) -> str:
        """`enrollment` or `credential`."""
        ...

    @property
    def workspace(self) -> str:
        """For which workspace."""
        ...

    @property
    def issued_ms(self) -> int:
        """When it was issued."""
        ...

    @property
    def expires_ms(self) -> int | None:
        """When it ends; None: never."""
        ...

    @property
    def revoked_ms(self) -> int | None:
        """When it was revoked."""
        ...

    @property
    def used_ms(self) -> int | None:
        """When it was first used."""
        ...


EventT = TypeVar("EventT")
AnchorT = TypeVar("AnchorT", bound=AnchorShape)
TokenT = TypeVar("TokenT", bound=TokenShape)


@dataclass(frozen=True, slots=True)
class HistoryRecords(Generic[EventT, AnchorT, TokenT]):
    """The constructors, called with the fields in the order of the shapes."""

    event: Callable[[int, str, str, bytes, int], EventT]
    """(sequence, event id, kind, body, time in ms)."""
    anchor: Callable[[str, int, str, int], AnchorT]
    """(workspace, size, hash, time in ms)."""
    token: Callable[[str, str, Any, str, int, int | None, int | None, int | None], TokenT]
    """(token id, digest, purpose, workspace, issued, expires, revoked, used)."""
