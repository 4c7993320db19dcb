"""How commands print: tables for people, JSON for programs.

Promise: the same bytes in a pipe as on a terminal but for colour, whole in 80 columns, safe from
control characters in data. Refusal: nothing is fetched or decided here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any

import click

_UNSAFE = r"\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
"""What moves a cursor or turns text around without being below a space."""
_CONTROL = re.compile(f"[\x00-\x1f{_UNSAFE}]")
_ESCAPED = re.compile(f"[{_UNSAFE}]")
WIDTH = 80


def print_json(value: object) -> None:
    """Print a value as indented JSON."""
    click.echo(_json(value, indent=2))


def print_line(value: object) -> None:
    """Print a value as one line of JSON, at once."""
    click.echo(one_line(value))
    sys.stdout.flush()


def one_line(value: object) -> str:
    """Return a value as one line of JSON that is safe on a terminal."""
    return _json(value, indent=None)


def _json(value: object, *, indent: int | None) -> str:
    import msgspec

    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        # A path may be bytes that are no text: the standard library escapes them.
        import json

        return json.dumps(msgspec.to_builtins(value), indent=indent)
    return _escaped((msgspec.json.format(encoded, indent=indent) if indent else encoded).decode())


def _escaped(text: str) -> str:
    """Escape, inside of JSON, what JSON allows and a terminal would obey."""
    return text if text.isascii() and "\x7f" not in text else _ESCAPED.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def clean(text: str) -> str:
    """Replace control characters: data must not drive the terminal."""
    return _CONTROL.sub("�", text)


def print_table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print aligned columns; numbers to the right, the last column wraps within the width."""
    cells = [[clean("" if cell is None else str(cell)) for cell in row] for row in rows]
    widths = [
        max(len(heading), *(len(row[i]) for row in cells)) if cells else len(heading)
        for i, heading in enumerate(headings)
    ]
    right = [
        bool(rows) and all(isinstance(row[i], int | float) for row in rows)
        for i in range(len(headings))
    ]
    click.echo(click.style(_line(headings, widths, right), bold=True))
    for row in cells:
        _print_row(row, widths, right)


def _print_row(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> None:
    indent = sum(widths[:-1]) + 2 * (len(widths) - 1)
    room = max(24, WIDTH - indent)
    last = row[-1] if row else ""
    chunks = _wrap(last, room)
    click.echo(_line([*row[:-1], chunks[0]], widths, right))
    for chunk in chunks[1:]:
        click.echo(" " * (indent if indent + room <= WIDTH else 4) + chunk)


def _wrap(text: str, room: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, room, break_on_hyphens=False) or [""]


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = [
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    ]
    return "  ".join(parts).rstrip()


def age(seconds: float | None) -> str:
    """Return a duration for people: `3 s`, `5 min`, `2 h`, `4 d`."""
    if seconds is None:
        return "-"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 or seconds == 0 else f"{seconds * 1000:.0f} ms"


def size(count: int) -> str:
    """Return a number of bytes for people."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:  # noqa: PLR2004  the binary step
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"
