"""Payloads and other JSON that is typed, piped or read from a file.

Promise: what is no JSON is told with its source and place, and never shown. Refusal: whether it
fits a flow is not asked here.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from conductor_flows.cli.errors import PayloadUnreadable

NAME_MAX: Final = 256
"""Characters of what may be the name of a file."""


def payload_of(text: str | None, file: Path | None) -> Any:
    """Return the payload: what was typed, what a file holds, or null.

    Args:
        text: JSON; `-` for standard input.
        file: Holds JSON; `-` for standard input.

    Raises:
        click.UsageError: Both.
        PayloadUnreadable: It is no JSON, or no text.
    """
    if text is not None and file is not None:
        raise click.UsageError("give --payload or --payload-file, not both")
    if file is not None and str(file) != "-":
        return _decoded(file.read_bytes(), str(file))
    if text == "-" or file is not None:
        return _decoded(piped(), "standard input")
    try:
        return None if text is None else _decoded(text.encode(), "--payload")
    except PayloadUnreadable as error:
        error.hint = _meant(text or "") or error.hint
        raise


def _meant(text: str) -> str | None:
    """Return how to write what was probably meant; None: nobody can know."""
    named = text.removeprefix("@")
    if len(named) < NAME_MAX and named.isprintable() and Path(named).is_file():
        return f"give the file by its name: --payload-file {shlex.quote(named)}"
    if text.lstrip()[:1] in {"{", "["} and "'" in text:
        return 'JSON has its names and texts in double quotes: --payload \'{"value": "x"}\''
    if text[:1].isalpha():
        return "a text is JSON in double quotes: --payload '\"hello\"'"
    return None


def piped() -> bytes:
    """Return what is on standard input.

    Raises:
        click.UsageError: It is closed.
    """
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]  # closed by `<&-`
        raise click.UsageError("standard input is closed")
    return sys.stdin.buffer.read()


def _decoded(data: bytes, source: str) -> Any:
    import msgspec

    try:
        data.decode()
        return msgspec.json.decode(data)
    except UnicodeDecodeError as error:
        byte = data[error.start]
        detail = f"{source}: byte {error.start} (0x{byte:02x}) is not UTF-8"
        raise PayloadUnreadable(detail, hint="write it in UTF-8") from None
    except (msgspec.DecodeError, RecursionError) as error:
        text = "nothing is there" if not data.strip() else str(error)
        raise PayloadUnreadable(f"{source}: {text}") from None


def labels_of(words: Sequence[str]) -> dict[str, str]:
    """Turn `NAME=VALUE` words into labels.

    Raises:
        click.BadParameter: A word has no name or no `=`.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.strip():
            raise click.BadParameter(f"{word!r} is not NAME=VALUE", param_hint="--metadata")
        found[name.strip()] = value
    return found
