"""ISO 8601 durations of rich documents, in milliseconds.

Promise: what has an exact number of milliseconds is converted exactly. Refusal: months and years
have no fixed length, and are refused.
"""

from __future__ import annotations

import re
from fractions import Fraction

_NUMBER = r"(\d+(?:[.,]\d+)?)"
_SHAPE = re.compile(
    rf"P(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?"
)
_UNITS = tuple(unit * 1000 for unit in (604_800, 86_400, 3_600, 60, 1))


def millis(text: str) -> int | None:
    """Return how many milliseconds a duration has; None where that is no whole number.

    Also None for a text that is no duration of weeks, days, hours, minutes and seconds.
    """
    found = _SHAPE.fullmatch(text)
    if found is None or not any(found.groups()):
        return None
    total = sum(
        (Fraction(part.replace(",", ".")) * unit
         for part, unit in zip(found.groups(), _UNITS, strict=True) if part),
        Fraction(),
    )  # fmt: skip
    return int(total) if total.denominator == 1 else None


def duration(milliseconds: int) -> str:
    """Return the shortest text in days, hours, minutes and seconds; `PT0S` for none."""
    parts: list[str] = []
    rest = milliseconds
    for unit, letter in ((86_400_000, "D"), (3_600_000, "H"), (60_000, "M")):
        count, rest = divmod(rest, unit)
        parts.append(f"{count}{letter}" if count else "")
    seconds, fraction = divmod(rest, 1000)
    if rest:
        parts.append(f"{seconds}.{fraction:03d}".rstrip("0") + "S" if fraction else f"{seconds}S")
    days, clock = parts[0], "".join(parts[1:])
    if not days and not clock:
        return "PT0S"
    return f"P{days}{'T' if clock else ''}{clock}"
