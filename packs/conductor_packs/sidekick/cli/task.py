"""`conductor sidekick task …`.

Promise: each command is one tool call. Refusal: nothing is computed here that a tool could answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from conductor_packs.sidekick.cli.calling import Given, calls
from conductor_packs.sidekick.cli.show import print_record, print_rows

PRIORITIES = click.Choice(["P0", "P1", "P2", "P3"])
_tags = click.option("--tag", "tags", multiple=True, metavar="TAG", help="May be given again.")
_limit = click.option("--limit", type=int, metavar="N", help="At most so many.")


@click.group()
def task() -> None:
    """Make, list and finish tasks."""


def _one(data: Mapping[str, Any]) -> None:
    print_record(data["task"], first=("id", "title", "status", "priority"))
    for name in ("unblocked", "dependents"):
        if data.get(name):
            click.echo(f"{name}: {', '.join(data[name])}")


def _many(data: Mapping[str, Any]) -> None:
    print_rows(
        ["id", "pri", "status", "due", "title"],
        [
            (item["id"], item["priority"], item["status"], _due(item), item["title"])
            for item in data["items"]
        ],
        nothing="no tasks",
    )


def _due(item: Mapping[str, Any]) -> str:
    due = item.get("due_at") or item.get("next_due_at") or ""
    return str(due).replace(".000Z", "Z")


@task.command()
@click.argument("title")
@click.option("--description", metavar="TEXT", help="More about it.")
@click.option("--priority", type=PRIORITIES, help="P0 is the most urgent; default P2.")
@click.option("--due", "due_at", metavar="TIME", help="For example 2026-03-01T09:00:00Z.")
@_tags
@click.option("--defer", "defer_until", metavar="TIME", help="Not ready before then.")
@click.option("--after", "depends_on", multiple=True, metavar="ID", help="A task that comes first.")
@calls("task:create", _one, changes=True)
def create(**given: Any) -> Given:
    """Add a task called TITLE."""
    return given


@task.command("list")
@click.option("--status", type=click.Choice(["pending", "done", "canceled"]))
@click.option("--priority", type=PRIORITIES)
@_tags
@click.option("--search", metavar="WORDS", help="In title and description.")
@click.option("--due-before", metavar="TIME", help="Due strictly earlier.")
@click.option("--view", type=click.Choice(["ready", "blocked", "due", "overdue", "deferred"]))
@_limit
@calls("task:list", _many)
def list_(**given: Any) -> Given:
    """List tasks, last changed first."""
    return given


@task.command()
@_tags
@_limit
@calls("task:list", _many)
def ready(**given: Any) -> Given:
    """List the tasks that nothing stands in the way of."""
    return {**given, "view": "ready"}


@task.command()
@click.argument("task_id", metavar="ID")
@click.option("--note", metavar="TEXT", help="Kept on the task.")
@calls("task:complete", _one, changes=True)
def complete(task_id: str, note: str | None) -> Given:
    """Mark a task done."""
    return {"id": task_id, "note": note}


@task.command()
@click.argument("task_id", metavar="ID")
@click.option("--due", "due_at", metavar="TIME", help="When it is due.")
@click.option("--cron", metavar="EXPR", help="When it is due again and again, in UTC.")
@click.option("--defer", "defer_until", metavar="TIME", help="Not ready before then.")
@calls("task:schedule", _one, changes=True)
def schedule(task_id: str, **given: Any) -> Given:
    """Set when a task is due."""
    return {"id": task_id, **given}


@task.command()
@click.argument("task_id", metavar="ID")
@click.option("--reason", metavar="TEXT", help="Kept on the task.")
@calls("task:cancel", _one, changes=True)
def cancel(task_id: str, reason: str | None) -> Given:
    """End a task without its being done; needs an approval."""
    return {"id": task_id, "reason": reason}


@task.command()
@click.argument("task_id", metavar="ID")
@click.option("--title", metavar="TEXT")
@click.option("--description", metavar="TEXT")
@click.option("--priority", type=PRIORITIES)
@click.option("--due", "due_at", metavar="TIME")
@click.option("--cron", metavar="EXPR")
@click.option("--defer", "defer_until", metavar="TIME")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Replaces all tags.")
@click.option("--after", "depends_on", multiple=True, metavar="ID", help="Replaces all.")
@click.option("--note", metavar="TEXT")
@calls("task:update", _one, changes=True)
def update(task_id: str, **given: Any) -> Given:
    """Change the named fields of a task."""
    return {"id": task_id, **given}
