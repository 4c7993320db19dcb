"""`conductor log`: read and verify the journal, with or without a daemon.

Promise: `verify` says which of five things is wrong and where, and exits 4 when anything is.
Refusal: no command changes an entry; only `replay --write` changes tables, and only derived ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conductor_sidecar.cli.log_export import anchor, export, parse_anchor
from conductor_sidecar.cli.log_print import print_entry, print_verdict
from conductor_sidecar.cli.log_prove import (
    checkpoint,
    key,
    prove,
    prove_consistency,
    verifier,
    witness,
)
from conductor_sidecar.cli.log_query import (
    diff,
    history,
    replay,
    session_summary,
    session_timeline,
    sessions,
    show,
    task_timeline,
)
from conductor_sidecar.cli.options import json_option, workspace_option

if TYPE_CHECKING:
    from conductor_sdk.chain.entry import Head
    from conductor_sdk.chain.verdict import Verdict

_FOLLOW_S = 0.3
_BATCH = 500


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
@click.option(
    "--original",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Verify a log of the original planning tool (chain version 0) instead.",
)
def verify(
    workspace: Path, anchors: tuple[tuple[int, str], ...], original: Path | None, *, as_json: bool
) -> int:
    """Check every entry, every link, and the tables that are derived from them.

    Exits 0 when nothing is wrong, 4 when something is, 3 when there is no journal.
    """
    import asyncio

    from conductor_sdk.chain.entry import Head
    from conductor_sdk.errors import Exit

    heads = [Head(size, digest) for size, digest in anchors]
    if original is None:
        verdict = asyncio.run(_verify(workspace, heads))
    else:
        from conductor_state.journal_original import verify_original_file

        verdict = verify_original_file(original, heads)
    if as_json:
        from conductor_terminal.printing import print_json

        print_json(verdict)
    else:
        print_verdict(verdict)
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
    from conductor_sidecar.cli.log_stores import opened_journal, projections
    from conductor_state.journal_replay import audit

    async with opened_journal(workspace) as journal:
        return await audit(journal, projections(), anchors)


async def _tail(workspace: Path, limit: int, *, follow: bool, as_json: bool) -> None:
    import asyncio

    from conductor_sidecar.cli.log_stores import opened_journal

    async with opened_journal(workspace) as journal:
        entries = await journal.latest(limit)
        after = 0
        while True:
            for entry in entries:
                print_entry(entry, as_json=as_json)
                after = entry.sequence
            if not follow:
                return
            if not entries:
                await asyncio.sleep(_FOLLOW_S)
            entries = await journal.tail(after, _BATCH)


for _command in (
    export, anchor, checkpoint, prove, prove_consistency, witness, verifier, key, sessions,
    session_timeline, session_summary, task_timeline, history, show, diff, replay,
):  # fmt: skip
    log.add_command(_command)
