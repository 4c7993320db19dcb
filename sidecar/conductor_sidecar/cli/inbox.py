"""`conductor inbox`: what reached the kernel's inbox file, and events for a loopback sidecar.

Promise: shows exactly what the kernel's own inbox shows, and works without a daemon. Refusal:
only `--send` needs a running sidecar, and nothing but a receipt is ever written here.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conductor_sdk.terminal_text import clean
from conductor_sidecar.cli.options import json_option, traceparent_option, workspace_option
from conductor_terminal.printing import print_json, print_line

if TYPE_CHECKING:
    from conductor_sdk.workspace import Workspace
    from conductor_server.signals import Signal

_POLL_S = 0.2
_TIMEOUT_S = 30.0
_AGO = re.compile(r"(\d{1,9})([smhd])\Z", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _since(ctx: click.Context, param: click.Parameter, text: str | None) -> datetime | None:
    """Turn `30m`, `2h`, `1d` before now, or a date, into an aware moment."""
    from conductor_sdk.clock import SystemClock

    if text is None:
        return None
    try:
        if match := _AGO.match(text):
            return SystemClock().now() - timedelta(**{_UNITS[match[2]]: int(match[1])})
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        said = f"{text!r} is neither like 30m, 2h or 1d nor a date"
        raise click.BadParameter(said, ctx, param) from None
    return moment if moment.tzinfo else moment.astimezone()


@click.command()
@workspace_option
@click.option("--wu", "wu_id", metavar="WU-N", help="Only signals of this work unit.")
@click.option("--lane", "-l", metavar="LANE", help="Only signals of this lane.")
@click.option("--since", "-s", callback=_since, metavar="WHEN",
              help="Only newer ones: 30m, 2h, 1d or a date.")  # fmt: skip
@click.option("--watch", is_flag=True, help="Go on with new ones, until Ctrl-C.")
@click.option("--no-mark", is_flag=True, help="Leave them unread.")
@click.option("--count", "-c", is_flag=True, help="Print how many are unread, and mark none.")
@click.option("--quiet", "-q", is_flag=True, help="One line each, and nothing when there is none.")
@click.option("--send", "kind", metavar="KIND", help="Send an event down to the loopback sidecar.")
@click.option("--payload", default="{}", metavar="JSON", help="With --send: an object.")
@click.option("--key", metavar="K", help="With --send: the same kind and key give the same id.")
@traceparent_option
@json_option
def inbox(
    workspace: Path, wu_id: str | None, lane: str | None, since: datetime | None,
    kind: str | None, payload: str, key: str | None, traceparent: str | None, *,
    watch: bool, no_mark: bool, count: bool, quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Show unread signals and mark them read.

    With the memory adapter this is the other end of the link: what packs push arrives here, and
    --send makes the sidecar receive an event.
    """
    from conductor_sdk.workspace import resolve_workspace

    if count and watch:
        raise click.UsageError("--count and --watch exclude each other")
    resolved = resolve_workspace(workspace)
    if kind is not None:
        _send(resolved, kind, payload, key, traceparent, as_json=as_json)
        return
    view = _View(resolved.root, wu_id, lane, since, mark=not no_mark)
    if count:
        _count(len(view.unread()), as_json=as_json)
    else:
        view.show(as_json=as_json, quiet=quiet or watch)
    if watch:
        view.watch(as_json=as_json)


class _View:
    def __init__(
        self, root: Path, wu_id: str | None, lane: str | None, since: datetime | None, *, mark: bool
    ) -> None:
        self._root = root
        self._filter = {"wu_id": wu_id, "lane": lane, "since": since}
        self._mark = mark
        self._shown: set[str] = set()

    def unread(self) -> list[Signal]:
        from conductor_server.inbox import read_signals

        return read_signals(self._root, unread_only=True, **self._filter)  # type: ignore[arg-type]  # the names and types are those of the constructor

    def show(self, *, as_json: bool, quiet: bool) -> None:
        """Print what is unread and was not shown yet, then mark it."""
        from conductor_sdk.clock import SystemClock
        from conductor_server.inbox import mark_read

        fresh = [signal for signal in self.unread() if signal.id not in self._shown]
        self._shown |= {signal.id for signal in fresh}
        for signal in fresh:
            _print(signal, as_json=as_json, short=quiet)
        if not fresh and not quiet and not as_json:
            click.echo("No signals found")
        if self._mark and fresh:
            mark_read(self._root, [signal.id for signal in fresh], SystemClock())

    def watch(self, *, as_json: bool) -> None:
        """Follow the file until Ctrl-C."""
        import contextlib
        import time

        from conductor_server.signals import SIGNALS

        path, seen = self._root / SIGNALS, None
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                with contextlib.suppress(FileNotFoundError):
                    facts = path.stat()
                    if seen != (facts.st_size, facts.st_mtime_ns):
                        seen = (facts.st_size, facts.st_mtime_ns)
                        self.show(as_json=as_json, quiet=True)
                time.sleep(_POLL_S)


def _send(
    workspace: Workspace, kind: str, payload: str, key: str | None, traceparent: str | None, *,
    as_json: bool,
) -> None:  # fmt: skip
    import msgspec

    from conductor_sdk.client import ask

    try:
        fields = msgspec.json.decode(payload, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise click.BadParameter(f"not a JSON object: {error}", param_hint="--payload") from None
    body = msgspec.json.encode(
        {"kind": kind, "payload": fields, "idempotency_key": key, "traceparent": traceparent}
    )
    answer = ask(workspace, "POST", "/v1/loopback/send", body, timeout_s=_TIMEOUT_S)
    sent = msgspec.json.decode(answer, type=dict[str, Any])
    if as_json:
        print_json(sent)
    else:
        click.echo(f"{sent['sequence']}  {clean(str(sent['event_id']))}")


def _count(unread: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"unread": unread})
    else:
        click.echo(f"{unread} unread signal(s)")


def _print(signal: Signal, *, as_json: bool, short: bool) -> None:
    if as_json:
        print_line(signal)
        return
    about = " | ".join(filter(None, (signal.wu_id, signal.lane)))
    scope = f" [{clean(about)}]" if about else ""
    said = f"{signal.id}: {clean(signal.message)}"
    if signal.remote_id != signal.id:
        said += f"  {clean(signal.remote_id)}"
    when = _local(signal.created_at)
    click.echo(f"{when}{scope}  {said}" if short else f"{when}{scope}\n  {said}")


def _local(text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return clean(text)
