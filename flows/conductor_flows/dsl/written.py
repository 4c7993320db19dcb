"""What an author writes, held against what is expected.

Promise: whatever is something else is refused at its line, by naming what is expected. Refusal:
nothing is converted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from conductor_flows.dsl.errors import FlowRefused


def pointer(found: object, what: str) -> str:
    """Return a JSON Pointer; refuse anything else."""
    if not isinstance(found, str):
        _refuse(f"{what}: a JSON Pointer is a text, not {found!r}")
    if found and not found.startswith("/"):
        _refuse(f"{what}: a JSON Pointer begins with a slash: {found!r}")
    return found


def text(found: object, what: str) -> str:
    """Return a text that is not empty; refuse anything else."""
    if not isinstance(found, str) or not found:
        _refuse(f"{what} is a text, not {found!r}")
    return found


def positive(found: object, what: str) -> int:
    """Return a whole number above 0; refuse anything else, naming what is expected."""
    if isinstance(found, bool) or not isinstance(found, int) or found <= 0:
        _refuse(f"{what} is a whole number above 0, not {found!r}")
    return found


def only(given: Mapping[str, object], what: str, *known: str) -> None:
    """Refuse options that are not known, naming those that are; the first is needed."""
    for key in given:
        if key not in known:
            names = ", ".join(f"`{name}`" for name in known)
            _refuse(f"{what}: unknown `{key}`; expected {names}")
    if known[0] not in given:
        _refuse(f"{what}: expected `{known[0]}`")


def _refuse(detail: str) -> NoReturn:
    raise FlowRefused(detail)


def nearest(word: object, known: Sequence[str]) -> str | None:
    """Return the advice to write a word that is much like what was written; None: there is none."""
    from difflib import get_close_matches

    near = get_close_matches(str(word), known, n=1)
    return f"did you mean {near[0]!r}?" if near else None
