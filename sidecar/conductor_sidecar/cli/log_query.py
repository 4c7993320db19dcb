"""`conductor log`: questions about sessions, tasks and items, and replay of derived tables.

Promise: every answer names the entries it stands on; nothing found exits 3. Refusal: nothing but
`replay --write` writes, and that only tables that follow from the journal.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from conductor_sidecar.cli.options import json_option, workspace_option

if TYPE_CHECKING:
    from conductor_sdk.chain.entry import Entry
    from conductor_state.journal_port import AuditedJournal

Answer = TypeVar("Answer")

_session_option = click.option("--session-id", required=True, metavar="ID", help="The session.")
_SEQUENCE = click.IntRange(min=0)


@click.command()
@workspace_option
@json_option
def sessions(workspace: Path, *, as_json: bool) -> None:
    """List the sessions that the journal knows, oldest first."""
    from conductor_state import journal_audit
    from conductor_terminal.printing import print_json, print_table

    found = _asked(workspace, journal_audit.sessions)
    if as_json:
        print_json({"sessions": found})
    else:
        rows = [[s.events, s.first, s.last, s.tasks, s.actors, s.session_id] for s in found]
        print_table(["events", "first", "last", "tasks", "actors", "session"], rows)


@click.command("session-timeline")
@workspace_option
@json_option
@_session_option
def session_timeline(workspace: Path, session_id: str, *, as_json: bool) -> int:
    """Show the entries of a session, in order."""
    from conductor_state import journal_audit

    return _timeline(
        workspace, lambda journal: journal_audit.session_timeline(journal, session_id),
        as_json=as_json,
    )  # fmt: skip


@click.command("session-summary")
@workspace_option
@json_option
@_session_option
def session_summary(workspace: Path, session_id: str, *, as_json: bool) -> None:
    """Show a session in numbers."""
    from conductor_sidecar.cli.log_print import print_field
    from conductor_state import journal_audit
    from conductor_terminal.printing import print_json

    found = _asked(workspace, lambda journal: journal_audit.session_summary(journal, session_id))
    if as_json:
        print_json(found)
        return
    print_field("session", found.session_id)
    print_field("events", f"{found.events}, entries {found.first} to {found.last}")
    print_field("time", f"{found.started} to {found.ended}")
    for name, counts in (("type", found.event_types), ("actor", found.actors),
                         ("task", found.tasks)):  # fmt: skip
        for value, count in counts.items():
            print_field(name, f"{count:>6}  {value}")


@click.command("task-timeline")
@workspace_option
@json_option
@click.option("--task-id", required=True, metavar="ID", help="The task.")
def task_timeline(workspace: Path, task_id: str, *, as_json: bool) -> int:
    """Show the entries of a task, in order."""
    from conductor_state import journal_audit

    return _timeline(
        workspace, lambda journal: journal_audit.task_timeline(journal, task_id), as_json=as_json
    )


@click.command()
@workspace_option
@json_option
@click.argument("item")
def history(workspace: Path, item: str, *, as_json: bool) -> int:
    """Show the entries whose payload names ITEM, in order."""
    from conductor_state import journal_audit

    return _timeline(
        workspace, lambda journal: journal_audit.history(journal, item), as_json=as_json
    )


@click.command()
@workspace_option
@json_option
@click.option("--as-of", "sequence", type=_SEQUENCE, required=True, metavar="SEQ",
              help="After this entry; 0 is before the first.")  # fmt: skip
@click.option("--item", "only", metavar="ID", help="One item alone.")
def show(workspace: Path, sequence: int, only: str | None, *, as_json: bool) -> None:
    """Show every item as the journal tells of it up to entry SEQ."""
    from conductor_sidecar.cli.log_print import print_field
    from conductor_state import journal_audit
    from conductor_terminal.printing import print_json

    items = _asked(workspace, lambda journal: journal_audit.items_at(journal, sequence))
    chosen = [items[name] for name in sorted(items) if only in {None, name}]
    if only is not None and not chosen:
        raise journal_audit.NothingRecorded(f"item {only!a} up to entry {sequence}")
    if as_json:
        print_json({"as_of": sequence, "items": chosen})
        return
    for item in chosen:
        refused = f", {item.conflicts} refused" if item.conflicts else ""
        print_field("item", f"{item.item_id}  (entry {item.last}{refused})")
        for field in sorted(item.fields):
            print_field(f"  {field[:11]}", _text(item.fields[field]))


@click.command()
@workspace_option
@json_option
@click.argument("a", type=_SEQUENCE)
@click.argument("b", type=_SEQUENCE)
def diff(workspace: Path, a: int, b: int, *, as_json: bool) -> None:
    """Show what happened after entry A up to entry B, and what it changed of each item."""
    from conductor_sdk.chain.items import differences
    from conductor_sidecar.cli.log_print import entry_json, print_entry, print_field
    from conductor_state import journal_audit
    from conductor_terminal.printing import print_json

    if a > b:
        raise click.BadParameter(f"A {a} is beyond B {b}")
    before, after, entries = _asked(workspace, lambda journal: journal_audit.between(journal, a, b))
    changes = differences(before, after)
    if as_json:
        print_json({
            "from": a, "to": b, "changes": changes, "entries": [entry_json(e) for e in entries],
        })  # fmt: skip
        return
    for entry in entries:
        print_entry(entry, as_json=False)
    for change in changes:
        print_field("changed", f"{change.item_id}  {change.field}: "
                    f"{_text(change.before)} -> {_text(change.after)}")  # fmt: skip


@click.command()
@workspace_option
@json_option
@click.option("--write", is_flag=True, help="Replace the derived tables by the replay's.")
def replay(workspace: Path, *, write: bool, as_json: bool) -> int:
    """Replay the whole journal, and compare the tables that are derived from it.

    Exits 4 when a table is not what the journal says; --write mends that, if the chain is sound.
    """
    from conductor_sdk.errors import Exit
    from conductor_sidecar.cli.log_print import print_field
    from conductor_sidecar.cli.log_stores import replayed
    from conductor_terminal.printing import print_json

    state, detail, rows = _asked(workspace, lambda journal: replayed(journal, write=write))
    if as_json:
        print_json({"state": state, "detail": detail, "rows_written": rows})
    else:
        click.echo(f"state         {state}")
        if write:
            click.echo(f"rows written  {rows}")
        if detail:
            print_field("", detail)
    return int(Exit.INTEGRITY if state == "DRIFT" else Exit.OK)


def _asked(
    workspace: Path, question: Callable[[AuditedJournal], Coroutine[Any, Any, Answer]]
) -> Answer:
    import asyncio

    from conductor_sidecar.cli.log_stores import opened_journal

    async def ask() -> Answer:
        async with opened_journal(workspace) as journal:
            return await question(journal)

    return asyncio.run(ask())


def _timeline(
    workspace: Path, pick: Callable[[AuditedJournal], AsyncIterator[Entry]], *, as_json: bool
) -> int:
    from conductor_sdk.errors import Exit
    from conductor_sidecar.cli.log_print import print_entry

    async def show_all(journal: AuditedJournal) -> int:
        shown = 0
        async for entry in pick(journal):
            print_entry(entry, as_json=as_json)
            shown += 1
        return shown

    shown = _asked(workspace, show_all)
    if not shown and not as_json:
        click.echo("nothing recorded; list what there is: conductor log sessions", err=True)
    return int(Exit.OK if shown else Exit.NOT_FOUND)


def _text(value: object) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
