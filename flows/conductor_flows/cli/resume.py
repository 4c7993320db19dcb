"""`flows resume`: runs that wait, that failed, and those that were interrupted.

Promise: `list` and `show` change no checkpoint; a run that goes on is the same run. Refusal:
nothing goes on that was not named, or asked for by --due; what failed goes on only by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from conductor_flows.cli.options import (
    binding_options,
    checkpoint_dir_option,
    json_option,
    read_file,
    spec_argument,
)

if TYPE_CHECKING:
    from conductor_flows.cli.resuming import Going

STATUSES: Final = ("active", "failed", "completed", "expired")


@click.group()
def resume() -> None:
    """List, show and go on with runs that wait, failed or were interrupted.

    A flow that waits (for a time, a call or an approval) leaves a checkpoint, and so does every
    run of a flow whose durability is strong. A run that failed goes on from where it failed:
    what had ended does not run again, and effects keep their keys. Checkpoints are in
    .flow/checkpoints, or where --checkpoint-dir says: a folder, or an SQLite file.
    """


def _filters(function: Any) -> Any:
    for decorate in (
        json_option,
        checkpoint_dir_option,
        click.option("--run", metavar="ID", help="Only of this run."),
        click.option("--flow", metavar="ID", help="Only of this flow: its id, or name@version."),
    ):
        function = decorate(function)
    return function


@resume.command(name="list")
@_filters
@click.option("--status", type=click.Choice(STATUSES), metavar="STATUS",
              help=f"Only these: {', '.join(STATUSES)}.")  # fmt: skip
@click.option("--due", is_flag=True, help="Only those that can go on by themselves; active ones.")
def list_(
    flow: str | None, run: str | None, checkpoint_dir: Path | None, status: str | None, *,
    due: bool, as_json: bool,
) -> None:  # fmt: skip
    """List checkpoints, sorted by flow, run and id; of runs that failed also when and why.

    \b
      flows resume list --due
      flows resume list --status failed
      flows resume list --flow orders@1.0.0 --json
    """
    import asyncio

    from conductor_flows.cli.checkpoints import place_of

    if due and status not in {None, "active"}:
        raise click.UsageError("--due means active ones: leave --status out")
    kept = place_of(checkpoint_dir)
    wanted = "active" if due else status
    found, held = list[Any](), dict[str, int]()
    if kept is not None:
        found, held = asyncio.run(_listed(kept, flow, run, wanted, due=due))
    _print_list(found, held, as_json=as_json)


async def _listed(kept: Any, flow: str | None, run: str | None, status: str | None, *,
                  due: bool) -> tuple[list[Any], dict[str, int]]:  # fmt: skip
    from conductor_flows.cli.checkpoints import flow_id_of, is_due, store_of, worked_on
    from conductor_flows.durable.records import Status
    from conductor_sdk.clock import epoch_ms

    async with kept.opened() as durability:
        now_ms = epoch_ms(durability.clock.now())
        only = None if status is None else Status(status)
        found = await store_of(durability).list(flow=flow_id_of(flow), run=run, status=only)
        held = await worked_on(durability, now_ms)
    if due:
        found = [each for each in found if is_due(each, now_ms) and each.checkpoint_id not in held]
    return found, held


def _print_list(found: list[Any], held: dict[str, int], *, as_json: bool) -> None:
    from conductor_flows.cli.checkpoints import rows_of, summary_json, why
    from conductor_sdk.clock import SystemClock, epoch_ms
    from conductor_terminal.printing import print_json, print_table, wrapped

    now_ms = epoch_ms(SystemClock().now())
    if as_json:
        told = [summary_json(each, now_ms, held.get(each.checkpoint_id)) for each in found]
        print_json({"checkpoints": told})
    elif not found:
        click.echo("No checkpoints.")
    else:
        headings = ["checkpoint", "status", "goes on", "waits at"]
        print_table(headings, rows_of(found, now_ms, held))
        failed = [each for each in found if each.failed is not None]
        for each in failed:
            click.echo(f"\n{each.checkpoint_id}")
            click.echo(wrapped(why(each.failed, now_ms), first="  ", then="  "))
        if failed:
            click.echo("\nnext: try one again, from where it failed: flows resume run ID SPEC")


@resume.command()
@click.argument("checkpoint_id", metavar="ID")
@_filters
def show(
    checkpoint_id: str, flow: str | None, run: str | None, checkpoint_dir: Path | None, *,
    as_json: bool,
) -> None:  # fmt: skip
    """Show one checkpoint: the whole record with --json. ID may be its beginning.

    Exit codes: 0, 2 several have this id, 3 none has, 4 it cannot be read.
    """
    import asyncio

    from conductor_flows.cli.checkpoints import certain_place_of

    kept = certain_place_of(checkpoint_dir)
    asyncio.run(_show(kept, checkpoint_id, flow, run, as_json=as_json))


async def _show(
    kept: Any, checkpoint_id: str, flow: str | None, run: str | None, *, as_json: bool
) -> None:
    from conductor_flows.cli.checkpoints import chosen, details, worked_on
    from conductor_sdk.clock import epoch_ms
    from conductor_terminal.printing import print_json

    async with kept.opened() as durability:
        found = await chosen(durability, checkpoint_id, flow=flow, run=run)
        now_ms = epoch_ms(durability.clock.now())
        until_ms = (await worked_on(durability, now_ms)).get(found.checkpoint_id)
    if as_json:
        print_json(found)
        return
    for line in details(found, now_ms, until_ms):
        click.echo(line)
    for wait in found.waits:
        click.echo(f"\nshown at {wait.alias}:")
        print_json(wait.payload)


def _going_options(function: Any) -> Any:
    payload_file = read_file(dash=True)
    for decorate in (
        json_option,
        click.option("--stream", is_flag=True, help="Print piece after piece, as they come."),
        checkpoint_dir_option,
        binding_options,
        click.option("--comment", metavar="TEXT", help="With --approve or --deny: why."),
        click.option("--as", "approver", metavar="NAME",
                     help="With --approve or --deny: who; default: your user name."),
        click.option("--deny", is_flag=True, help="Answer an approval: no."),
        click.option("--approve", is_flag=True, help="Answer an approval: yes."),
        click.option("--payload-file", type=payload_file, metavar="FILE",
                     help="The answer from a file; - is standard input."),
        click.option("--payload", metavar="JSON",
                     help="What a callback brings; - reads standard input."),
    ):  # fmt: skip
        function = decorate(function)
    return function


@resume.command(name="run")
@click.argument("names", nargs=-1, required=True, metavar="ID SPEC")
@click.option("--due", is_flag=True, help="All that are due of each SPEC; then no ID is given.")
@_going_options
def run_(names: tuple[str, ...], *, due: bool, **given: Any) -> None:
    """Let a run go on with SPEC, the flow that wrote the checkpoint; or all that are due.

    A timer needs nothing; an approval --approve or --deny; a callback --payload. Answers are
    checked, kept and only then used. With --due one line of JSON is printed for each run.

    A run that failed or was interrupted is tried again from its last checkpoint, as the same
    run: what had ended does not run again, and effects keep their idempotency keys. --due
    leaves runs alone that failed.

    \b
      flows resume run cp-7a41 flow.py
      flows resume run cp-7a41 flow.py --deny --comment "too much"
      flows resume run --due flow.py other.py:flow

    Exit codes: 0 answered or waiting again, 1 it failed, or is of another flow or version, 2 a
    wrong answer, 3 no such checkpoint, 4 it cannot be read, 6 it still waits or runs elsewhere.
    """
    from conductor_flows.cli.resuming import resume_due, resume_one

    if not due:
        if len(names) != 2:  # noqa: PLR2004  ID and SPEC
            raise click.UsageError("give ID and SPEC, or --due and one SPEC or more")
        resume_one(_going(names[1], given, checkpoint_id=names[0]))
        return
    if any(given[name] for name in ("payload", "payload_file", "approve", "deny")):
        raise click.UsageError("--due answers nobody: leave --payload, --approve and --deny out")
    click.get_current_context().exit(
        0 if resume_due([_going(spec, given) for spec in names]) else 1
    )


@resume.command()
@click.argument("token")
@spec_argument()
@_going_options
def signal(token: str, spec: str, **given: Any) -> None:
    """Answer the wait that TOKEN names, and let its run go on. A token is used once.

    \b
      flows resume signal "$TOKEN" flow.py --payload '{"paid": true}'
      flows resume signal "$TOKEN" flow.py --approve

    Exit codes: as `flows resume run`, and 77 for a token that is unknown, over or used.
    """
    from conductor_flows.cli.resuming import resume_one

    going = _going(spec, given, token=token)
    if not going.answered and going.verdict is None:
        raise click.UsageError("give --payload, --payload-file, --approve or --deny")
    resume_one(going)


def _going(
    spec: str, given: dict[str, Any], *, checkpoint_id: str = "", token: str | None = None
) -> Going:
    from conductor_flows.cli.payloads import payload_of
    from conductor_flows.cli.resuming import Going, Verdict

    answers = sum(
        given[name] not in {None, False} for name in ("payload", "payload_file", "approve", "deny")
    )
    decided = given["approve"] or given["deny"]
    if answers > 1:
        raise click.UsageError("give one of --payload, --payload-file, --approve and --deny")
    if not decided and (given["approver"] or given["comment"]):
        raise click.UsageError("--as and --comment go with --approve or --deny")
    verdict = Verdict(given["approve"], given["approver"], given["comment"]) if decided else None
    return Going(
        spec=spec, checkpoint_id=checkpoint_id, token=token, verdict=verdict,
        answered=answers > decided, answer=payload_of(given["payload"], given["payload_file"]),
        binds=given["binds"], lock=given["lock"], path=given["checkpoint_dir"],
        stream=given["stream"], as_json=given["as_json"],
    )  # fmt: skip
