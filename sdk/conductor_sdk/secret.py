"""A string that never prints itself.

Promise: `repr`, `str`, `format`, pickling and JSON encoding give no character of the value.
Refusal: it does not guard memory; a debugger attached to the process sees it.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import NoReturn

_FINGERPRINT = b"conductor.secret.fingerprint\x00"
"""Stands before the value, so that a fingerprint is no part of any digest stored elsewhere."""


class Secret:
    """A credential. `reveal()` is the only way to its value; grep for it to audit the uses."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value, for the one place that sends it."""
        return self._value

    def fingerprint(self) -> str:
        """Return 16 hex digits that name the value without telling it.

        For values with at least 128 random bits only: a guessable one can be guessed from it.
        """
        return hashlib.sha256(_FINGERPRINT + self._value.encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        return "Secret(…)"

    def __str__(self) -> str:
        return "…"

    def __format__(self, spec: str) -> str:
        return "…"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not serialised")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __bool__(self) -> bool:
        return bool(self._value)
