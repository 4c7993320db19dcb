"""`conductor log`: read and verify the journal, with or without a daemon.

Promise: `verify` says which of four things is wrong and where, and exits 4 when anything is.
Refusal: neither command creates, repairs or changes anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conductor_sidecar.cli.options import json_option, workspace_option

if TYPE_CHECKING:
    from conductor_sdk.chain.entry import Entry, Head
    from conductor_sdk.chain.verify import Verdict

_DIGEST_DIGITS = 64
_FOLLOW_S = 0.3
_BATCH = 500
_WIDTH = 80
_INDENT = 8


def parse_anchor(text: str) -> tuple[int, str]:
    """Read `SIZE:HASH`, as a head is written elsewhere.

    Raises:
        click.BadParameter: It is something else.
    """
    size, _, digest = text.partition(":")
    digest = digest.lower()
    hexadecimal = len(digest) == _DIGEST_DIGITS and set(digest) <= set("0123456789abcdef")
    if not size.isascii() or not size.isdigit() or not hexadecimal:
        raise click.BadParameter(f"{text!r} is not SIZE:HASH with 64 hexadecimal digits")
    return int(size), digest


@click.group()
def log() -> None:
    """Read and verify the journal of a workspace."""


@log.command()
@workspace_option
@json_option
@click.option(
    "--anchor", "anchors", type=parse_anchor, multiple=True, metavar="SIZE:HASH",
    help="A head that was kept elsewhere; may be repeated. Without one, a cut tail may go unseen.",
)  # fmt: skip
def verify(workspace: Path, anchors: tuple[tuple[int, str], ...], *, as_json: bool) -> int:
    """Check every entry and every link.

    Exits 0 when nothing is wrong, 4 when something is, 3 when there is no journal.
    """
    import asyncio

    from conductor_sdk.chain.entry import Head
    from conductor_sdk.errors import Exit

    verdict = asyncio.run(_verify(workspace, [Head(size, digest) for size, digest in anchors]))
    if as_json:
        from conductor_sidecar.cli.output import print_json

        print_json(verdict)
    else:
        _print_verdict(verdict)
    if verdict.source == "MISSING":
        return int(Exit.NOT_FOUND)
    return int(Exit.OK if verdict.intact else Exit.INTEGRITY)


@log.command()
@workspace_option
@json_option
@click.option("--limit", "-n", type=click.IntRange(min=1), default=20, show_default=True,
              metavar="N", help="Entries to show.")  # fmt: skip
@click.option("--follow", "-f", is_flag=True, help="Go on with new entries, until Ctrl-C.")
def tail(workspace: Path, limit: int, *, follow: bool, as_json: bool) -> None:
    """Show the last entries, oldest first."""
    import asyncio
    import contextlib

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_tail(workspace, limit, follow=follow, as_json=as_json))


async def _verify(workspace: Path, anchors: Sequence[Head]) -> Verdict:
    from conductor_sdk.workspace import resolve_workspace
    from conductor_sidecar.app import open_journal

    journal = open_journal(resolve_workspace(workspace))
    try:
        return await journal.verify(anchors)
    finally:
        await journal.close()


async def _tail(workspace: Path, limit: int, *, follow: bool, as_json: bool) -> None:
    import asyncio

    from conductor_sdk.workspace import resolve_workspace
    from conductor_sidecar.app import open_journal

    journal = open_journal(resolve_workspace(workspace))
    try:
        entries = await journal.latest(limit)
        after = 0
        while True:
            for entry in entries:
                _print_entry(entry, as_json=as_json)
                after = entry.sequence
            if not follow:
                return
            if not entries:
                await asyncio.sleep(_FOLLOW_S)
            entries = await journal.tail(after, _BATCH)
    finally:
        await journal.close()


def _print_verdict(verdict: Verdict) -> None:
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
        ("entries", str(verdict.size)),
        ("log", verdict.log_id or "-"),
        ("head", verdict.head or "-"),
    ]  # fmt: skip
    if verdict.reason:
        rows[3:3] = [("first bad", str(verdict.first_bad)), ("reason", verdict.reason)]
    for name, value in rows:
        click.echo(f"{name:<14}{_shown(value)}")
    for line in textwrap.wrap(_shown(verdict.detail), _WIDTH - 14):
        click.echo(f"{'':<14}{line}")


def _print_entry(entry: Entry, *, as_json: bool) -> None:
    if as_json:
        from conductor_sidecar.cli.output import print_line

        print_line(_as_json(entry))
        return
    about = [entry.event_type, entry.actor]
    about += [f"session {entry.session_id}"] if entry.session_id else []
    about += [f"task {entry.task_id}"] if entry.task_id else []
    heading = _shown(f"{entry.sequence:>6}  {entry.time}  " + "  ".join(about))
    click.echo(heading[:_WIDTH])
    for line in [*_cut(heading[_WIDTH:]), *_cut(_shown(entry.payload))]:
        click.echo(f"{'':<{_INDENT}}{line}")


def _as_json(entry: Entry) -> dict[str, Any]:
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


def _cut(text: str) -> list[str]:
    """Cut text into pieces that leave room for the indent; nothing of it is lost."""
    room = _WIDTH - _INDENT
    return [text[at : at + room] for at in range(0, len(text), room)]


def _shown(text: str) -> str:
    """Escape what would drive a terminal."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text
    )
