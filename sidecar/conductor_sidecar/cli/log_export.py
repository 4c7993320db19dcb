"""`conductor log export` and `anchor`: the journal for others to keep.

Promise: an export holds every field that is hashed, as it is hashed, so that it can be verified
without us; an anchor file only ever grows. Refusal: neither judges the log before it prints.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conductor_sidecar.cli.options import json_option, workspace_option

if TYPE_CHECKING:
    from conductor_sdk.chain.verdict import Verdict

_PAGE = 1000
_DIGEST_DIGITS = 64


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


@click.command()
@workspace_option
@click.option("--after", type=click.IntRange(min=0), default=0, show_default=True, metavar="SEQ",
              help="Begin behind this entry: how an export is resumed.")  # fmt: skip
def export(workspace: Path, after: int) -> None:
    """Print all entries as JSON lines, with their payloads as the hashed text.

    Verify a whole export anywhere: conductor log verifier > verify.py, then
    python verify.py --export FILE.
    """
    import asyncio

    asyncio.run(_export(workspace, after))


@click.command()
@workspace_option
@json_option
@click.option(
    "--write",
    "written",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Append the anchor to a file, kept on another machine.",
)
@click.option(
    "--compare",
    "compared",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="First verify the log against every anchor in a file.",
)
def anchor(workspace: Path, written: Path | None, compared: Path | None, *, as_json: bool) -> int:
    """Print the head of the log as SIZE:HASH, to be kept elsewhere.

    Exits 4 when the log does not reach the anchors it is compared with, 3 without a journal.
    """
    import asyncio

    from conductor_sdk.errors import Exit

    if compared is not None:
        from conductor_sidecar.cli.log_print import print_verdict
        from conductor_terminal.printing import print_json

        verdict = asyncio.run(_compare(workspace, compared))
        if not verdict.intact or verdict.source == "MISSING":
            print_json(verdict) if as_json else print_verdict(verdict)
            missing = verdict.source == "MISSING"
            return int(Exit.NOT_FOUND if missing else Exit.INTEGRITY)
    size, digest = asyncio.run(_head(workspace))
    if written is not None:
        _append(written, f"{size}:{digest}\n")
    if as_json:
        from conductor_terminal.printing import print_json

        print_json({"size": size, "hash": digest, "anchor": f"{size}:{digest}"})
    else:
        click.echo(f"{size}:{digest}")
    return int(Exit.OK)


async def _export(workspace: Path, after: int) -> None:
    import json

    import msgspec

    from conductor_sidecar.cli.log_stores import opened_journal

    async with opened_journal(workspace) as journal:
        while entries := await journal.tail(after, _PAGE):
            # ASCII, so that damaged text is carried too: the verifier shall see it.
            lines = [json.dumps(msgspec.structs.asdict(entry)) for entry in entries]
            sys.stdout.write("\n".join(lines) + "\n")
            after = entries[-1].sequence
    sys.stdout.flush()


async def _head(workspace: Path) -> tuple[int, str]:
    from conductor_sidecar.cli.log_stores import opened_journal

    async with opened_journal(workspace) as journal:
        return await journal.head()


async def _compare(workspace: Path, path: Path) -> Verdict:
    from conductor_sdk.chain.entry import Head
    from conductor_sidecar.cli.log_stores import opened_journal, read_text

    lines = [line for line in read_text(path).splitlines() if line.strip()]
    heads = [Head(*parse_anchor(line.strip())) for line in lines]
    async with opened_journal(workspace) as journal:
        return await journal.verify(heads)


def _append(path: Path, line: str) -> None:
    """Add a line to a file, durably."""
    import os

    from conductor_sidecar.cli.log_stores import LogFileUnreadable

    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise LogFileUnreadable(f"{path}: {error.strerror}") from None
