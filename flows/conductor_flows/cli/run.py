"""`flows run`: a flow in this process, once or behind HTTP.

Promise: options are checked before the flow is loaded. Refusal: nothing runs here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from conductor_flows.cli.groups import FlowGroup
from conductor_flows.cli.options import (
    binding_options,
    checked_ends,
    checkpoint_dir_option,
    end_options,
    json_option,
    read_file,
    spec_argument,
)

STORES: Final = ("memory", "filesystem", "fs", "sqlite")
BURST_MAX: Final = 10_000
PORT_MAX: Final = 65_535
Address = tuple[str, int]


def checkpoint_options(function: Any) -> Any:
    """Add `--checkpoint-store` and `--checkpoint-dir`; the first parameter is `store`."""
    return click.option(
        "--checkpoint-store", "store", type=click.Choice(STORES), metavar="KIND",
        help="memory, filesystem (fs) or sqlite; default: filesystem, where the flow waits.",
    )(checkpoint_dir_option(function))  # fmt: skip


@click.group(cls=FlowGroup, usual="local")
def run() -> None:
    """Run a flow here, or serve flows over HTTP."""


@run.command()
@spec_argument()
@click.option("--payload", metavar="JSON", help="The payload; - reads standard input.")
@click.option("--payload-file", type=read_file(dash=True), metavar="FILE",
              help="The payload from a file; - is standard input.")  # fmt: skip
@click.option("--stream", is_flag=True, help="Print piece after piece, a line each, as they come.")
@json_option
@click.option("--burst", type=click.IntRange(1, BURST_MAX), default=1, show_default=True,
              metavar="N", help="So many runs at once; prints the list of answers.")  # fmt: skip
@binding_options
@checkpoint_options
@end_options
@click.option("--deadline", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
              help="Cancel the run after so long, over what the entrypoint says.")  # fmt: skip
@click.option("--metadata", multiple=True, metavar="NAME=VALUE",
              help="A label that nodes see; may be repeated.")  # fmt: skip
@click.option("--metrics", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Write what was measured, for Prometheus.")  # fmt: skip
def local(**given: Any) -> None:
    """Run a flow once. The answer is on standard output, a summary on standard error.

    Without a payload it is null. A flow that waits is kept in .flow/checkpoints, and what is
    printed then names the command that lets it go on. With --burst each payload that is an object
    gets its number as lf_burst_index. Ctrl-C cancels the run.

    \b
      flows run local my_flows:flow --payload '{"value": " HeLLo "}'
      echo '{"id": 7}' | flows run local flow.py --payload -
      flows run local flow.py --stream --payload '{"site": "a"}' | head -3
      flows run local flow.py --bind kv=sqlite:kv.db --bind http=httpx2

    Exit codes: 0 answered or waiting, 1 a node failed, 2 a wrong option, payload or flow, 130
    interrupted.
    """
    if given["stream"] and given["burst"] > 1:
        raise click.UsageError("--stream and --burst exclude each other")
    ends = checked_ends(given["trigger"], given["capture"])
    from conductor_flows.cli.local import Order, run_local
    from conductor_flows.cli.payloads import labels_of, payload_of

    run_local(Order(
        spec=given["spec"], payload=payload_of(given["payload"], given["payload_file"]),
        stream=given["stream"], as_json=given["as_json"], burst=given["burst"],
        binds=given["binds"], lock=given["lock"], store=given["store"],
        path=given["checkpoint_dir"], ends=ends, deadline_s=given["deadline"],
        labels=labels_of(given["metadata"]), metrics=given["metrics"],
    ))  # fmt: skip


def _address(_: click.Context, _param: click.Parameter, text: str | None) -> Address | None:
    if text is None:
        return None
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not bare or not port.isdecimal() or int(port) > PORT_MAX:
        raise click.BadParameter(f"{text!r} is not HOST:PORT")
    return bare, int(port)


@run.command()
@spec_argument(many=True)
@click.option("--addr", default="127.0.0.1:8080", show_default=True, metavar="HOST:PORT",
              help="Where; port 0 takes one that is free.")  # fmt: skip
@binding_options
@checkpoint_options
@click.option("--deadline", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
              help="Of every run, over what entrypoints say.")  # fmt: skip
@click.option("--concurrency", type=click.IntRange(1), metavar="N",
              help="Runs at once, for each route.  [default: 256]")  # fmt: skip
@click.option("--max-body", type=click.IntRange(0), metavar="BYTES",
              help="The largest payload.  [default: 1048576]")  # fmt: skip
@click.option("--resumable", type=click.FloatRange(0), metavar="SECONDS",
              help="How long a stream's run outlives its connection.  [default: 0]")  # fmt: skip
@click.option("--drain", type=click.FloatRange(0), default=10.0, show_default=True,
              metavar="SECONDS", help="How long requests have when it stops.")  # fmt: skip
@click.option("--metrics-addr", metavar="HOST:PORT", callback=_address,
              help="Serve /metrics for Prometheus there.")  # fmt: skip
@click.option("--trust-auth-user", is_flag=True,
              help="Believe X-Auth-User: only behind a proxy that sets it.")  # fmt: skip
@click.option("--hide-errors", is_flag=True, help="Tell clients nothing of what nodes raise.")
@json_option
def serve(**given: Any) -> None:
    """Serve flows over HTTP until Ctrl-C or SIGTERM.

    Each entrypoint of a SPEC is a route: POST /<flow name> where it names none. A stream is
    answered as server-sent events; a run that waits is 202, and its timers fire while this runs.
    There is neither authentication nor TLS. --json prints one line when requests are accepted.

    \b
      flows run serve my_flows:flow
      flows run serve orders.py stock.py --addr 127.0.0.1:0 --bind kv=sqlite:kv.db
      curl -d '{"value": " HeLLo "}' -H 'content-type: application/json' \\
        http://127.0.0.1:8080/echo

    Exit codes: 0 stopped, 1 a flow failed to load, 2 a wrong option, flow or route, 69 the address
    cannot be served on.
    """
    from conductor_flows.cli.server import Offer
    from conductor_flows.cli.server import serve as serving
    from conductor_flows.host.web.site import Choices

    limits = {
        "deadline_s": given["deadline"], "concurrency": given["concurrency"],
        "max_body_bytes": given["max_body"], "resumable_s": given["resumable"],
    }  # fmt: skip
    serving(Offer(
        specs=given["specs"], addr=given["addr"], metrics=given["metrics_addr"],
        binds=given["binds"], lock=given["lock"],
        store=given["store"], path=given["checkpoint_dir"], as_json=given["as_json"],
        limits={name: limit for name, limit in limits.items() if limit is not None},
        choices=Choices(
            trust_auth_user=given["trust_auth_user"], reveal=not given["hide_errors"],
            drain_s=given["drain"],
        ),
    ))  # fmt: skip
