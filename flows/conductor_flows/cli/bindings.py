"""`flows bindings`: what flows are bound to, as a file that is released with them.

Promise: the same flow and bindings give the same bytes, and what is written can be read. Refusal:
no provider is opened.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from conductor_flows.cli.options import bind_option, json_option, read_file, spec_argument

if TYPE_CHECKING:
    from conductor_flows.capabilities.bindings.spec import Binding
    from conductor_flows.ir.model import FlowIR

NOT_GENERATED: Final = "1970-01-01T00:00:00Z"
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})")


@click.group()
def bindings() -> None:
    """Write and check the lock of what flows are bound to.

    A binding says what stands behind a capability: HINT=PROVIDER or HINT=PROVIDER:ARGUMENT. Secrets
    have no place in it.

    \b
      kv, blob            memory, filesystem:DIR, sqlite:FILE
      queue, db, dedupe   memory, sqlite:FILE
      cache               memory
      http                httpx2; also http_read and http_write by themselves
      clock               system, pinned:TIME
      rng                 system, seeded:NUMBER
      checkpoint_store    memory, filesystem:DIR, sqlite:FILE

    A hint stands for all below it: kv is short for resource::kv, so it binds resource::kv::read and
    resource::kv::write. The longest one that is bound wins.
    """


@bindings.group()
def lock() -> None:
    """Write or check bindings.lock.json."""


def _when(_: click.Context, _param: click.Parameter, text: str) -> str:
    if not _TIME.fullmatch(text):
        raise click.BadParameter(f"{text!r} is no moment like {NOT_GENERATED}")
    return text


@lock.command()
@spec_argument(many=True)
@bind_option
@click.option("--generated-at", default=NOT_GENERATED, show_default=True, callback=_when,
              metavar="TIME", help="Fixed, so that equal input gives equal files.")  # fmt: skip
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Write a file instead of standard output.")  # fmt: skip
def generate(
    specs: tuple[str, ...], binds: tuple[str, ...], generated_at: str, out: Path | None
) -> None:
    """Write a lock that gives every SPEC these bindings.

    \b
      flows bindings lock generate flow.py --bind kv=memory --out lock.json
      flows run local flow.py --bindings-lock lock.json

    Exit codes: 0, 1 something that a flow asks for is not bound (CAP101), 2 a wrong binding.
    """
    from conductor_flows.capabilities.bindings.lock import write
    from conductor_flows.cli.printing import write_whole
    from conductor_flows.cli.provided import typed
    from conductor_flows.cli.specs import document_of

    bound = typed(binds)
    flows = [document_of(spec) for spec in specs]
    for spec, flow in zip(specs, flows, strict=True):
        _all_bound(spec, flow, bound)
    data = write([flow.id for flow in flows], bound, generated_at=generated_at)
    if out is None:
        click.echo(data.decode(), nl=False)
    else:
        write_whole(out, data)
        click.echo(f"wrote {out}", err=True)


@lock.command()
@spec_argument(many=True)
@click.option("--bindings-lock", "file", type=read_file(),
              default=Path("bindings.lock.json"), show_default=True, metavar="FILE",
              help="The lock.")  # fmt: skip
@json_option
def check(specs: tuple[str, ...], file: Path, *, as_json: bool) -> None:
    """Check that a lock is whole and binds all that every SPEC asks for.

    Exit codes: 0, 1 something is not bound (CAP101), 4 the lock was changed, or a flow is not in
    it.
    """
    from conductor_flows.cli.provided import bindings_for
    from conductor_flows.cli.specs import document_of
    from conductor_sdk.terminal_text import clean
    from conductor_terminal.printing import print_json

    found: list[dict[str, object]] = []
    for spec in specs:
        flow = document_of(spec)
        bound = bindings_for(flow, spec, (), file)
        _all_bound(spec, flow, bound)
        use = {each.hint: each.provider_kind for each in bound}
        found.append({"flow": flow.name, "version": flow.version, "id": flow.id, "use": use})
    if as_json:
        print_json({"status": "ok", "flows": found})
        return
    for each in found:
        told = ", ".join(f"{hint}={kind}" for hint, kind in dict(each["use"]).items())  # type: ignore[call-overload]  # set above
        click.echo(clean(f"OK  {each['flow']} {each['version']}: {told or 'nothing bound'}"))


def _all_bound(spec: str, flow: FlowIR, bound: tuple[Binding, ...]) -> None:
    from conductor_flows.capabilities.bindings.bound import Capabilities, preflight
    from conductor_flows.cli.failing import explained
    from conductor_flows.execute.errors import CapabilitiesMissing

    try:
        preflight(flow, Capabilities({each.hint: each for each in bound}))
    except CapabilitiesMissing as error:
        explained(error, spec, flow, as_json=True)
        raise
