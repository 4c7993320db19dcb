"""How commands print: tables for people, JSON for programs.

Promise: the same bytes in a pipe as on a terminal but for colour, whole in 80 columns, safe from
control characters in data. Refusal: nothing is fetched or decided here.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, Final

import click

from conductor_sdk.terminal_text import WIDTH, clean, columns, escaped, padded

_FOREIGN: Final = re.compile("[^\x00-\x7f]+")
_LEAST: Final = 24
"""Columns that the last column of a table has at least."""


def print_json(value: object) -> None:
    """Print a value as indented JSON."""
    click.echo(_sayable(json_text(value, indent=2)))


def print_line(value: object) -> None:
    """Print a value as one line of JSON, at once.

    Raises:
        BrokenPipeError: Nobody reads any more; what is printed after this goes nowhere.
    """
    try:
        click.echo(_sayable(json_text(value)))
        if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison]  # by `>&-`
            sys.stdout.flush()
    except BrokenPipeError:
        hush()  # what is printed while things are closed must not fail too
        raise


def hush() -> None:
    """Let standard output go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def json_text(value: object, *, indent: int | None = None) -> str:
    """Return a value as JSON that is safe on a terminal; one line where no indent is given."""
    import msgspec

    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        # A path may be bytes that are no text: the standard library escapes them.
        import json

        return json.dumps(msgspec.to_builtins(value), indent=indent)
    text = (msgspec.json.format(encoded, indent=indent) if indent else encoded).decode()
    return escaped(text)


def _sayable(text: str) -> str:
    """Escape what standard output has no bytes for: JSON can say every character in ASCII."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    if encoding.lower().replace("-", "") == "utf8":
        return text
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        import json

        return _FOREIGN.sub(lambda found: json.dumps(found[0])[1:-1], text)
    return text


def printable(text: str) -> str:
    """Return a text that standard output can print: question marks where it is not UTF-8."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    return text.encode(encoding, "replace").decode(encoding)


def wrapped(text: str, *, first: str = "", then: str = "", whole_words: bool = True) -> str:
    """Return a text in lines of at most 80 columns.

    Args:
        text: One line.
        first: Before the first line.
        then: Before the others.
        whole_words: A word that is longer than a line, as a path to be copied, stays in one
            piece; else it is cut.
    """
    return textwrap.fill(
        clean(text), WIDTH, initial_indent=first, subsequent_indent=then,
        break_on_hyphens=False, break_long_words=not whole_words,
    )  # fmt: skip


def print_table(
    headings: Sequence[str], rows: Sequence[Sequence[Any]], *, err: bool = False
) -> None:
    """Print aligned columns; numbers to the right, the last column wraps within the width."""
    cells = [[clean("" if cell is None else str(cell)) for cell in row] for row in rows]
    table = _Table(
        [max(map(columns, each)) for each in zip(headings, *cells, strict=True)],
        [
            bool(rows) and all(isinstance(row[i], int | float) for row in rows)
            for i in range(len(headings))
        ],
    )
    click.echo(click.style(table.line(headings), bold=True), err=err)
    for row in cells:
        for line in table.lines(row):
            click.echo(line, err=err)


class _Table:
    """Widths of columns, in terminal columns, and which of them are of numbers."""

    def __init__(self, widths: Sequence[int], right: Sequence[bool]) -> None:
        self._widths = widths
        self._right = right
        self._indent = sum(widths[:-1]) + 2 * (len(widths) - 1)
        self._room = max(_LEAST, WIDTH - self._indent)

    def lines(self, row: Sequence[str]) -> list[str]:
        chunks = textwrap.wrap(row[-1], self._room, break_on_hyphens=False) or [""]
        # Where the other columns take all of the width, the rest stands below them.
        indent = self._indent if self._indent + self._room <= WIDTH else 4
        return [self.line([*row[:-1], chunks[0]]), *(" " * indent + each for each in chunks[1:])]

    def line(self, cells: Sequence[str]) -> str:
        parts = [
            padded(cell, width, right=to_right)
            for cell, width, to_right in zip(cells, self._widths, self._right, strict=True)
        ]
        return "  ".join(parts).rstrip()


def age(seconds: float | None) -> str:
    """Return a duration for people: `3 s`, `5 min`, `2 h`, `4 d`."""
    if seconds is None:
        return "-"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 or seconds == 0 else f"{seconds * 1000:.0f} ms"


def size(count: int) -> str:
    """Return a number of bytes for people."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:  # noqa: PLR2004  the binary step
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"
