"""`conductor sidecar`: the daemon in the foreground.

Promise: SIGTERM and SIGINT drain; a second one stops at once, and so does a drain that a pack
holds up, a little after its deadline. Nothing is lost either way.
Refusal: it does not fork, write PID files or change directories; a supervisor does that better.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conductor_sidecar.cli.options import (
    config_option,
    parse_assignments,
    set_option,
    workspace_option,
)

if TYPE_CHECKING:
    from conductor_sdk.workspace import Workspace
    from conductor_sidecar.config import Configuration
    from conductor_sidecar.settings import Settings


@click.command()
@workspace_option
@config_option
@click.option("--adapter", metavar="NAME", help="Link adapter: websocket (default) or memory.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]),
    help="Least severe log level.",
)  # fmt: skip
@set_option
def sidecar(
    workspace: Path, config_file: Path | None, adapter: str | None, log_level: str | None,
    assignments: tuple[str, ...],
) -> None:  # fmt: skip
    """Run the daemon in the foreground.

    It needs an enrolled workspace (`conductor enroll`), except with `--adapter memory`, the
    loopback whose other end is `conductor inbox`.

    \b
    Stops on SIGTERM or Ctrl-C: running handlers are given drain.deadline_s.
    SIGHUP takes over the configuration as it is now: see conductor reload.
    Exit codes: 0 stopped, 1 failed or stopped by force,
                6 another sidecar owns the workspace,
                77 credential refused, 78 bad configuration.
    """
    from conductor_sidecar.garbage import collect_rarely

    collect_rarely()
    flags: dict[str, Any] = parse_assignments(assignments)
    if adapter is not None:
        flags["link.adapter"] = adapter
    if log_level is not None:
        flags["logs.level"] = log_level
    _run(workspace, config_file, flags)


def _run(path: Path, config_file: Path | None, flags: dict[str, Any]) -> None:
    import asyncio
    import os

    from conductor_sdk.workspace import resolve_workspace
    from conductor_sidecar.config import load_configuration
    from conductor_sidecar.logs import configure

    workspace = resolve_workspace(path)
    configuration = load_configuration(
        workspace.root, file=config_file, environ=os.environ, flags=flags
    )
    configure(configuration.settings.logs)
    if "CREDENTIALS_DIRECTORY" in os.environ:
        from conductor_sidecar.systemd.enrolling import enroll_at_start

        enroll_at_start(workspace, configuration.settings.link, os.environ)
    environ = dict(os.environ)

    def read() -> Configuration:
        return load_configuration(workspace.root, file=config_file, environ=environ, flags=flags)

    asyncio.run(_serve(workspace, configuration, read))


async def _serve(
    workspace: Workspace, configuration: Configuration, read: Callable[[], Configuration]
) -> None:
    import asyncio
    import os

    from conductor_sdk.clock import SystemClock
    from conductor_sidecar.logs import configure
    from conductor_sidecar.reload.hangup import reload_on_hangup
    from conductor_sidecar.reload.reloader import Reloading
    from conductor_sidecar.serve import Service, serve
    from conductor_sidecar.stopping import stop_on_signals
    from conductor_sidecar.systemd.herald import Herald
    from conductor_sidecar.systemd.listen_fds import take_listener

    stop = asyncio.Event()
    settings = configuration.settings
    deadline = stop_on_signals(stop, settings.drain.deadline_s)

    def applied(settings: Settings) -> None:
        configure(settings.logs)
        deadline.drain_s = settings.drain.deadline_s

    reloading = Reloading(configuration, read, applied)
    reload_on_hangup(reloading.asked, stop)
    service = Service(Herald.take(os.environ, SystemClock()), take_listener(os.environ))
    await serve(workspace, settings, stop, service=service, reloading=reloading)
