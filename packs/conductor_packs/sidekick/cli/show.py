"""How the commands print: tables and records for people, JSON for programs.

Promise: the same bytes in a pipe as on a terminal but for colour, within 80 columns, and nothing
that was stored can drive the terminal. Refusal: nothing is fetched or decided here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import click

from conductor_sdk.terminal_text import clean
from conductor_terminal.printing import print_table, wrapped


def shown(value: object) -> str:
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
    return clean(text.replace("\n", " "))


def print_rows(
    headings: Sequence[str], rows: Sequence[Sequence[object]], *, nothing: str = "nothing"
) -> None:
    """Print aligned columns; the last one wraps."""
    if not rows:
        click.echo(nothing)
        return
    print_table(headings, [[shown(cell) for cell in row] for row in rows])


def print_record(record: Mapping[str, Any], *, first: Sequence[str] = ("id",)) -> None:
    """Print a record as lines of name and value, the named fields first."""
    names = [*(name for name in first if name in record), *(n for n in record if n not in first)]
    names = [name for name in names if record[name] not in (None, [], {}, "")]
    indent = max((len(name) for name in names), default=0) + 2
    for name in names:
        first, then = f"{name:<{indent}}", " " * indent
        click.echo(wrapped(shown(record[name]), first=first, then=then, whole_words=False))
