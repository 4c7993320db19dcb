"""`flows graph`: what a flow is, and what is wrong with it.

Promise: a flow is judged and drawn without running a node of it. Refusal: no flow is changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from conductor_flows.cli.groups import FlowGroup
from conductor_flows.cli.options import json_option, read_file, spec_argument

if TYPE_CHECKING:
    from conductor_flows.cli.specs import Looked
    from conductor_flows.validate.diagnostic import Diagnostic

FORMATS: Final = ("text", "svg", "dot", "mermaid", "json")
_BY_SUFFIX: Final = {
    ".svg": "svg", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".json": "json", ".txt": "text",
}  # fmt: skip
_input = click.option(
    "--input", "document", type=read_file(dash=True),
    metavar="FILE", help="A Flow IR document instead of SPEC; - for standard input.",
)  # fmt: skip


@click.group(cls=FlowGroup, usual="check")
def graph() -> None:
    """Check a flow against every rule, or draw it. No node of it runs."""


@graph.command()
@spec_argument(required=False)
@_input
@click.option("--strict", is_flag=True, help="Warnings fail too.")
@json_option
@click.option("--dot", "dot_file", type=click.Path(dir_okay=False, path_type=Path),
              metavar="FILE", help="Write a Graphviz picture, valid or not.")  # fmt: skip
@click.option("--emit-dot", is_flag=True, help="Print the Graphviz picture.")
@click.option("--pretty-json", is_flag=True, help="Print the document, indented.")
@click.pass_context
def check(
    ctx: click.Context, spec: str | None, document: Path | None, dot_file: Path | None, *,
    strict: bool, as_json: bool, emit_dot: bool, pretty_json: bool,
) -> None:  # fmt: skip
    """Tell everything that is wrong with a flow.

    SPEC is module:flow or file.py:flow, or a Flow IR document (*.json). Without SPEC and --input
    the document is read from standard input.

    \b
      flows graph check my_flows:flow
      flows graph check --strict --json flow.py
      flows graph show flow.py --format json | flows graph check

    Exit codes: 0 no errors (warnings pass unless --strict), 1 errors, 2 not a flow. `flows codes
    CODE` explains a code.
    """
    from conductor_flows.cli.specs import look
    from conductor_flows.validate.run import fails, validate

    if as_json and (dot_file or emit_dot or pretty_json):
        raise click.UsageError("--json goes with none of --dot, --emit-dot and --pretty-json")
    if emit_dot and pretty_json:
        raise click.UsageError("--emit-dot and --pretty-json both take standard output: give one")
    looked = look(spec, document)
    found = list(looked.refused)
    if looked.flow is not None:
        found += validate(looked.flow, strict=strict)
        _pictures(looked, dot_file, emit_dot=emit_dot, pretty_json=pretty_json)
    failed = fails(found)  # strictly, warnings have become errors
    if as_json:
        _say_json(looked, found, failed=failed)
    else:
        _say(looked, found, failed=failed, err=emit_dot or pretty_json)
    ctx.exit(int(failed))


def _pictures(looked: Looked, dot_file: Path | None, *, emit_dot: bool, pretty_json: bool) -> None:
    from conductor_flows.cli.printing import write_whole
    from conductor_flows.ir.show.text import dot
    from conductor_flows.ir.small import emit

    if looked.flow is None:
        return
    if dot_file is not None:
        write_whole(dot_file, dot(looked.flow).encode())
    if emit_dot:
        click.echo(dot(looked.flow), nl=False)
    if pretty_json:
        click.echo(emit(looked.flow).decode(), nl=False)


def _say_json(looked: Looked, found: list[Diagnostic], *, failed: bool) -> None:
    from conductor_terminal.printing import print_json

    flow = looked.flow
    print_json({
        "status": "error" if failed else "ok",
        "flow": looked.name if flow is None else flow.name,
        "version": None if flow is None else flow.version,
        "node_count": 0 if flow is None else len(flow.nodes),
        "edge_count": 0 if flow is None else len(flow.edges),
        "diagnostics": [diagnostic_json(each) for each in found],
    })  # fmt: skip


def diagnostic_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return a diagnostic as JSON values; the location is left out where it is the document."""
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(diagnostic)
    return {key: value for key, value in found.items() if key != "location" or value}


def _say(looked: Looked, found: list[Diagnostic], *, failed: bool, err: bool) -> None:
    from conductor_flows.cli.counting import counted, size_of
    from conductor_sdk.terminal_text import clean
    from conductor_terminal.printing import printable

    mark = printable("✗" if failed else "✓")
    mark = click.style(
        {"?": "!" if failed else "ok"}.get(mark, mark), fg="red" if failed else "green"
    )
    flow = looked.flow
    size = "" if flow is None else f": {size_of(flow)}"
    name = looked.name if flow is None else f"{flow.name} {flow.version}"
    errors = sum(each.severity.fails for each in found)
    told = f", {counted(errors, 'error')}" if errors else ""
    told += f", {counted(len(found) - errors, 'warning')}" if len(found) > errors else ""
    click.echo(f"{mark} {clean(name)}{size}{told}", err=err)
    for each in found:
        print_diagnostic(each, err=err)


def print_diagnostic(diagnostic: Diagnostic, *, err: bool = False) -> None:
    """Print a diagnostic: code, severity and subsystem, what, where, what to do."""
    from conductor_flows.cli.printing import headline
    from conductor_terminal.printing import wrapped

    each = diagnostic
    rest = f"({each.subsystem}) {each.summary}"
    click.echo("", err=err)
    click.echo(headline(each.code, each.severity, rest, fails=each.severity.fails), err=err)
    click.echo(wrapped(each.message, first="  ", then="  "), err=err)
    if each.location:
        click.echo(wrapped(each.location, first="  at ", then="     "), err=err)
    click.echo(wrapped(each.hint, first="  next: ", then="        "), err=err)


@graph.command()
@spec_argument(required=False)
@_input
@click.option("--format", "form", type=click.Choice(FORMATS), metavar="FORMAT",
              help=f"{', '.join(FORMATS)}; default: by --out's ending, else text.")  # fmt: skip
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Write a file instead of standard output.")  # fmt: skip
@click.option("--ascii", "plain", is_flag=True, help="text: draw with ASCII characters only.")
def show(
    spec: str | None, document: Path | None, form: str | None, out: Path | None, *, plain: bool
) -> None:
    """Draw a flow, also one that breaks rules.

    text is a picture for the terminal; svg is one self-contained file; dot is for Graphviz; json
    is the Flow IR document.

    \b
      flows graph show my_flows:flow
      flows graph show flow.py --out flow.svg
    """
    from conductor_flows.cli.printing import write_whole
    from conductor_flows.cli.specs import document_of

    chosen = form or _form_of(out)
    flow = document_of(spec, document)
    text = _drawn(flow, chosen, plain=plain)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_whole(out, text.encode())
        click.echo(f"wrote {out}", err=True)


def _form_of(out: Path | None) -> str:
    if out is None or not out.suffix:
        return "text"
    found = _BY_SUFFIX.get(out.suffix.lower())
    if found is None:
        known = ", ".join(_BY_SUFFIX)
        raise click.UsageError(f"{out} ends in none of {known}: say --format too")
    return found


def _drawn(flow: Any, form: str, *, plain: bool) -> str:
    match form:
        case "svg":
            from conductor_flows.ir.show.svg import svg

            return svg(flow)
        case "dot":
            from conductor_flows.ir.show.text import dot

            return dot(flow)
        case "mermaid":
            from conductor_flows.ir.show.text import mermaid

            return mermaid(flow)
        case "json":
            from conductor_flows.ir.small import emit

            return emit(flow).decode()
        case _:
            return _text(flow, plain=plain)


def _text(flow: Any, *, plain: bool) -> str:
    from conductor_flows.cli.picture import ASCII, UNICODE, picture
    from conductor_terminal.printing import printable

    drawn = "\n".join([*picture(flow, ASCII if plain else UNICODE), ""])
    if printable(drawn) != drawn:
        drawn = printable("\n".join([*picture(flow, ASCII), ""]))
    return drawn
