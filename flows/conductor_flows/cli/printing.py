"""How commands print: tables for people, JSON for programs.

Promise: the same bytes in a pipe as on a terminal but for colour, whole in 80 columns, safe from
control characters in data. Refusal: nothing is fetched or decided here.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

WIDTH: Final = 80
_UNSAFE = r"\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
"""What moves a cursor or turns text around without being below a space."""
_CONTROL: Final = re.compile(f"[\x00-\x1f{_UNSAFE}]")
_ESCAPED: Final = re.compile(f"[{_UNSAFE}]")


def print_json(value: object) -> None:
    """Print a value as indented JSON."""
    click.echo(json_text(value, indent=2))


def print_line(value: object) -> None:
    """Print a value as one line of JSON, at once.

    Raises:
        BrokenPipeError: Nobody reads any more; what is printed after this goes nowhere.
    """
    try:
        click.echo(json_text(value))
        if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison]  # by `>&-`
            sys.stdout.flush()
    except BrokenPipeError:
        hush()  # what the user's code prints while it is being closed must not fail too
        raise


def hush() -> None:
    """Let standard output go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def json_text(value: object, *, indent: int | None = None) -> str:
    """Return a value as JSON that is safe on a terminal."""
    import msgspec

    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        # A path may be bytes that are no text: the standard library escapes them.
        import json

        return json.dumps(msgspec.to_builtins(value), indent=indent)
    text = (msgspec.json.format(encoded, indent=indent) if indent else encoded).decode()
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def clean(text: str) -> str:
    """Replace control characters: data must not drive the terminal."""
    return _CONTROL.sub("�", text)


def printable(text: str) -> str:
    """Return a text that standard output can print: ASCII pictures where it is not UTF-8."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    return text.encode(encoding, "replace").decode(encoding)


def wrapped(text: str, *, first: str = "", then: str = "") -> str:
    """Return a text in lines of at most 80 columns."""
    return textwrap.fill(
        clean(text), WIDTH, initial_indent=first, subsequent_indent=then,
        break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip


def headline(code: str, severity: str, rest: str, *, fails: bool) -> str:
    """Return the first line of a diagnostic, its code in colour."""
    name = f"{code} {severity}"
    styled = click.style(name, fg="red" if fails else "yellow", bold=True)
    return wrapped(f"{name} {rest}", then="  ").replace(name, styled, 1)


def print_table(
    headings: Sequence[str], rows: Sequence[Sequence[Any]], *, err: bool = False
) -> None:
    """Print aligned columns; numbers to the right, the last column wraps within the width."""
    cells = [[clean("" if cell is None else str(cell)) for cell in row] for row in rows]
    widths = [
        max([len(heading), *(len(row[i]) for row in cells)]) for i, heading in enumerate(headings)
    ]
    right = [
        bool(rows) and all(isinstance(row[i], int | float) for row in rows)
        for i in range(len(headings))
    ]
    click.echo(click.style(_line(headings, widths, right), bold=True), err=err)
    indent = sum(widths[:-1]) + 2 * (len(widths) - 1)
    room = max(24, WIDTH - indent)
    for row in cells:
        first, *more = textwrap.wrap(row[-1], room, break_on_hyphens=False) or [""]
        click.echo(_line([*row[:-1], first.rjust(widths[-1]) if right[-1] else first],
                         widths, right), err=err)  # fmt: skip
        for chunk in more:
            click.echo(" " * (indent if indent + room <= WIDTH else 4) + chunk, err=err)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = [
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    ]
    return "  ".join(parts).rstrip()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is never seen half; one that is there is replaced.

    Raises:
        OSError: The file system refused; the file is as it was.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)  # a device or a pipe, as /dev/stdout
        return
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(path.parent))
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
