"""Texts that may be shown to people: safe on a terminal, and as wide as they are.

Promise: what is returned moves no cursor, turns no text around and hides nothing; a width is in
columns, whatever script a text is in. Refusal: no terminal is asked anything.
"""

from __future__ import annotations

import re
from typing import Final

WIDTH: Final = 80
"""Columns that everything fits into."""
REPLACED: Final = "\N{REPLACEMENT CHARACTER}"
_HIDDEN: Final = (
    r"\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
)
"""Above a space: what moves a cursor, turns text around, is not seen, or is no character."""
_LINE: Final = re.compile(f"[\x00-\x1f{_HIDDEN}]")
_LINES: Final = re.compile(f"[\x00-\x08\x0b-\x1f{_HIDDEN}]")
_JSON: Final = re.compile(f"[{_HIDDEN}]")
_MORE: Final = "…"


def clean(text: str) -> str:
    """Return a text as one line, with a mark for each character that must not be shown."""
    return text if _plain(text) else _LINE.sub(REPLACED, text)


def clean_lines(text: str) -> str:
    """As `clean`, but line ends and tabs stay."""
    return text if _plain(text) else _LINES.sub(REPLACED, text)


def escaped(json_text: str) -> str:
    """Return a JSON text that means the same, with escapes for what JSON allows to be hidden."""
    if json_text.isascii() and "\x7f" not in json_text:
        return json_text
    return _JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", json_text)


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def columns(text: str) -> int:
    """Return how many columns a text takes."""
    return len(text) if text.isascii() else sum(map(_columns, text))


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


def fixed(text: str, width: int) -> str:
    """Return a text in exactly so many columns."""
    return padded(fit(text, width), width)


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Return a text in at least so many columns; spaces go to its left where `right`."""
    room = " " * (width - columns(text))
    return room + text if right else text + room


def _columns(character: str) -> int:
    import unicodedata  # a megabyte that the daemon's log does not need

    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
