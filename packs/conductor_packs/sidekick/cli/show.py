"""How the commands print: tables and records for people, JSON for programs.

Promise: the same bytes in a pipe as on a terminal but for colour, within 80 columns, and nothing
that was stored can drive the terminal. Refusal: nothing is fetched or decided here.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, cast

import click

WIDTH = 80
_LEAST = 24
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(value: object) -> str:
    """Return a value as one line that is safe on a terminal."""
    match value:
        case None:
            text = ""
        case bool():
            text = "yes" if value else "no"
        case list() | tuple():
            text = ", ".join(str(part) for part in cast("Sequence[object]", value))
        case dict():
            text = json.dumps(value, ensure_ascii=False, sort_keys=True)
        case _:
            text = str(value)
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\n", " "))


def print_json(value: object) -> None:
    """Print a value as indented JSON, in ASCII so that no terminal obeys it."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=True))


def print_rows(
    headings: Sequence[str], rows: Sequence[Sequence[object]], *, nothing: str = "nothing"
) -> None:
    """Print aligned columns; the last one wraps."""
    if not rows:
        click.echo(nothing)
        return
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(headings, *cells, strict=True)]
    click.echo(click.style(_line(headings, widths), bold=True))
    for row in cells:
        _print_row(row, widths)


def print_record(record: Mapping[str, Any], *, first: Sequence[str] = ("id",)) -> None:
    """Print a record as lines of name and value, the named fields first."""
    names = [*(name for name in first if name in record), *(n for n in record if n not in first)]
    shown = [name for name in names if record[name] not in (None, [], {}, "")]
    indent = max((len(name) for name in shown), default=0) + 2
    for name in shown:
        wrapped(clean(record[name]), f"{name:<{indent}}", " " * indent)


def wrapped(text: str, first: str = "", rest: str = "") -> None:
    """Print a text within the width."""
    lines = textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )
    for line in lines or [first.rstrip()]:
        click.echo(line)


def _print_row(row: Sequence[str], widths: Sequence[int]) -> None:
    indent = sum(widths[:-1]) + 2 * (len(widths) - 1)
    room = max(_LEAST, WIDTH - indent)
    chunks = textwrap.wrap(row[-1], room, break_on_hyphens=False) or [""]
    if indent + room > WIDTH:  # the other columns alone are too wide
        click.echo(_line(row[:-1], widths[:-1])[:WIDTH])
        for chunk in textwrap.wrap(row[-1], WIDTH - 4, break_on_hyphens=False):
            click.echo(f"    {chunk}")
        return
    click.echo(_line([*row[:-1], chunks[0]], widths))
    for chunk in chunks[1:]:
        click.echo(" " * indent + chunk)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join([*padded[:-1], padded[-1]]).rstrip()
