"""`flows codes`: what a diagnostic code means.

Promise: what is printed is the registry's own text, the same as in the documentation. Refusal: no
flow is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from conductor_flows.cli.options import json_option

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from conductor_flows.validate.diagnostic import Code


def _known(_: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from conductor_flows.validate.registry import CODES

    return [
        CompletionItem(name, help=code.summary)
        for name, code in CODES.items()
        if name.startswith(incomplete.upper())
    ]


@click.command()
@click.argument("code", required=False, shell_complete=_known)
@json_option
def codes(code: str | None, *, as_json: bool) -> None:
    """Explain a diagnostic code, or list all of them.

    \b
      flows codes CAP101
      flows codes | grep CTRL

    Exit codes: 0, or 3 where there is no such code.
    """
    import msgspec

    from conductor_flows.validate.registry import CODES
    from conductor_terminal.printing import print_json, print_table

    if code is not None:
        found = _found(code)
        if as_json:
            print_json(msgspec.to_builtins(found))
        else:
            _explain(found)
        return
    if as_json:
        print_json({"codes": [msgspec.to_builtins(each) for each in CODES.values()]})
        return
    rows = [(each.code, each.severity, each.status, each.summary) for each in CODES.values()]
    print_table(["code", "severity", "status", "summary"], rows)


def _found(code: str) -> Code:
    from difflib import get_close_matches

    from conductor_flows.cli.errors import CodeUnknown
    from conductor_flows.validate.registry import CODES

    found = CODES.get(code.upper())
    if found is None:
        near = get_close_matches(code.upper(), CODES, n=3)
        hint = f"did you mean: {', '.join(near)}" if near else None
        raise CodeUnknown(repr(code), hint=hint)
    return found


def _explain(code: Code) -> None:
    from conductor_flows.cli.printing import headline
    from conductor_sdk.terminal_text import clean
    from conductor_terminal.printing import wrapped

    rest = f"({code.subsystem}) {code.summary}"
    click.echo(headline(code.code, code.severity, rest, fails=code.severity.fails))
    click.echo("")
    click.echo(wrapped(code.when))
    if code.status == "reserved":
        click.echo("\nReserved: nothing says it yet.")
    click.echo("\nFor example:")
    for line in code.example.splitlines():
        click.echo(clean(f"  {line}"))
    click.echo("")
    click.echo(wrapped(code.hint, first="next: ", then="      "))
