"""How many columns a text takes on a terminal, and texts made to fit.

Promise: what is returned has exactly or at most the asked width, whatever script it is in, and
moves no cursor. Refusal: no terminal is asked anything.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

WIDTH: Final = 80
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
_MORE: Final = "…"


def clean(text: str) -> str:
    """Replace what would move a cursor or turn text around."""
    return _UNSAFE.sub("�", text)


def columns(text: str) -> int:
    """Return how many columns a text takes."""
    return sum(map(_columns, text))


def fit(text: str, width: int) -> str:
    """Return a text in at most so many columns, with an ellipsis where something is missing."""
    text = clean(text)
    if columns(text) <= width:
        return text
    kept, used = "", 0
    for character in text:
        used += _columns(character)
        if used > width - 1:
            break
        kept += character
    return kept + _MORE if width > 0 else ""


def padded(text: str, width: int) -> str:
    """Return a text in exactly so many columns."""
    text = fit(text, width)
    return text + " " * (width - columns(text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
