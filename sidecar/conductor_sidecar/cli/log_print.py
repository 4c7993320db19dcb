"""How `conductor log` shows verdicts and entries.

Promise: whole, in 80 columns, and nothing in the data drives the terminal. Refusal: nothing is
read or decided here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from conductor_sdk.chain.entry import Entry
    from conductor_sdk.chain.verdict import Verdict

_WIDTH = 80
_INDENT = 8


def print_verdict(verdict: Verdict) -> None:
    """Print a verdict as a short table."""
    import textwrap

    if verdict.source == "MISSING":
        click.echo("source        MISSING  there is no journal in this workspace")
        return
    unanchored = "  give --anchor SIZE:HASH to detect a cut tail"
    rows = [
        ("source", verdict.source),
        ("chain", verdict.chain),
        ("completeness", verdict.completeness
         + (unanchored if verdict.completeness == "UNANCHORED" else "")),
        ("state", verdict.state + ("  no tables to compare" if verdict.state == "ABSENT" else "")),
        ("entries", str(verdict.size)),
        ("log", verdict.log_id or "-"),
        ("head", verdict.head or "-"),
    ]  # fmt: skip
    if verdict.reason:
        bad = "-" if verdict.first_bad is None else str(verdict.first_bad)
        rows[4:4] = [("first bad", bad), ("reason", verdict.reason)]
    for name, value in rows:
        click.echo(f"{name:<14}{shown(value)}")
    for line in textwrap.wrap(shown(verdict.detail), _WIDTH - 14):
        click.echo(f"{'':<14}{line}")


def print_entry(entry: Entry, *, as_json: bool) -> None:
    """Print an entry, with its payload as an object where programs read it."""
    if as_json:
        from conductor_terminal.printing import print_line

        print_line(entry_json(entry))
        return
    about = [entry.event_type, entry.actor]
    about += [f"session {entry.session_id}"] if entry.session_id else []
    about += [f"task {entry.task_id}"] if entry.task_id else []
    heading = shown(f"{entry.sequence:>6}  {entry.time}  " + "  ".join(about))
    click.echo(heading[:_WIDTH])
    for line in [*_cut(heading[_WIDTH:]), *_cut(shown(entry.payload))]:
        click.echo(f"{'':<{_INDENT}}{line}")


def entry_json(entry: Entry) -> dict[str, Any]:
    """Return an entry for programs, its payload as an object; None where it is damaged."""
    import msgspec

    fields = msgspec.structs.asdict(entry)
    try:
        fields["payload"] = msgspec.json.decode(entry.payload)
    except (msgspec.DecodeError, UnicodeEncodeError):
        fields["payload"] = None  # damaged; `verify` says where
    return {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in fields.items()
    }


def print_field(name: str, value: object) -> None:
    """Print a named value, wrapped within the width."""
    text = shown(str(value))
    room = _WIDTH - 14
    for at in range(0, max(1, len(text)), room):
        click.echo(f"{name if at == 0 else '':<14}{text[at : at + room]}".rstrip())


def shown(text: str) -> str:
    """Escape what would drive a terminal."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text
    )


def _cut(text: str) -> list[str]:
    """Cut text into pieces that leave room for the indent; nothing of it is lost."""
    room = _WIDTH - _INDENT
    return [text[at : at + room] for at in range(0, len(text), room)]
