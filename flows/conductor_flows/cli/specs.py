"""From what was typed to a document: a module, a file of Python, a file of JSON, standard input.

Promise: whatever is wrong with it is told as the person's mistake, with its place. Refusal: no node
runs; a module does, as on any import.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import click

from conductor_flows.cli.aside import aside
from conductor_flows.cli.payloads import piped
from conductor_flows.dsl.errors import FlowInvalid, FlowRefused
from conductor_flows.execute.program import Program
from conductor_flows.host.errors import FlowNotFound, LoadFailed
from conductor_flows.host.loading import load, load_document
from conductor_flows.ir.model import FlowIR
from conductor_flows.ir.read import read_flow
from conductor_flows.validate.diagnostic import Diagnostic
from conductor_flows.validate.registry import CODES

T = TypeVar("T")
RELATIVE: Final = "attempted relative import"
"""What Python says of a file that belongs to a package and was loaded by itself."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found under a name."""

    name: str
    flow: FlowIR | None
    """None: it could not even be built."""
    refused: tuple[Diagnostic, ...] = ()
    """Why not."""


def program_of(spec: str) -> Program:
    """Load what can be run; raises as `load`."""
    if is_document(spec):
        raise click.UsageError(f"{spec} is a document: only flows in Python can be run")
    return _hinted(load, spec)


def document_of(spec: str | None, document: Path | None = None) -> FlowIR:
    """Load a document, whether or not it breaks rules.

    Args:
        spec: A flow in Python, or a file that ends in .json.
        document: A file, or `-`.

    Raises:
        click.UsageError: Both, or neither and nothing is piped in.
        DocumentInvalid: It is no document.
        LoadRefused: As `load`; FlowNotFound: There is no such file.
    """
    if spec is not None and document is not None:
        raise click.UsageError("give SPEC or --input, not both")
    if spec is not None and not is_document(spec):
        return _hinted(load_document, spec)
    source = document if spec is None else Path(spec)
    if source is None or str(source) == "-":
        closed = sys.stdin is None  # pyright: ignore[reportUnnecessaryComparison]  # by `<&-`
        if source is None and (closed or sys.stdin.isatty()):
            raise click.UsageError("give SPEC or --input, or pipe a document in")
        return read_flow(piped())
    if not source.exists():
        raise FlowNotFound(f"{source}: there is no such file")
    return read_flow(source.read_bytes())


def look(spec: str | None, document: Path | None) -> Looked:
    """Load a document; a flow that refused to be built is a diagnostic. Raises as `document_of`."""
    name = spec or ("standard input" if document is None else str(document))
    try:
        flow = document_of(spec, document)
    except FlowRefused as refused:
        code = CODES.get(refused.code)
        if code is None:
            raise
        diagnostic = Diagnostic(
            code=code.code, severity=code.severity, subsystem=code.subsystem,
            summary=code.summary, message=refused.detail, location=refused.location,
            hint=refused.hint if refused.advised else code.hint,
        )  # fmt: skip
        return Looked(name, None, (diagnostic,))
    return Looked(flow.name, flow)


def valid_document(spec: str) -> FlowIR:
    """Load a document and refuse it where it breaks rules.

    Raises:
        FlowInvalid: It does; and as `document_of`.
    """
    from conductor_flows.validate.run import validate

    flow = document_of(spec)
    found = validate(flow)
    if any(each.severity.fails for each in found):
        raise _shortened(FlowInvalid(flow.name, found), spec)
    return flow


def _shortened(error: FlowInvalid, spec: str) -> FlowInvalid:
    """Say the first breach, and where to see the others; `data` keeps all of them."""
    first, *others = [each for each in error.diagnostics if each.severity.fails]
    more = f"; and {len(others)} more" if others else ""
    error.detail = f"{spec}: {first.code}: {first.message}{more}"
    error.hint = f"see all of it: flows graph check {shlex.quote(spec)}"
    return error


def is_document(spec: str) -> bool:
    """Whether a SPEC names a Flow IR document rather than a flow in Python."""
    return spec.endswith(".json")


def _hinted(loading: Callable[[str], T], spec: str) -> T:
    """Load, and let refusals name the next command."""
    try:
        with aside():
            return loading(spec)
    except FlowInvalid as error:
        raise _shortened(error, spec) from None
    except FlowNotFound as error:
        if error.hint == error.default_hint:
            error.hint = _meant(spec) or error.hint
        raise
    except LoadFailed as error:
        if RELATIVE in error.detail:
            error.hint = f"name the module, not its file: {_dotted(spec)}"
        raise
    except FlowRefused as error:
        if error.code in CODES and not error.advised:
            error.hint = f"see what it means: flows codes {error.code}"
        raise


def _dotted(spec: str) -> str:
    place, _, name = spec.partition(":")
    parts = Path(place).with_suffix("").parts
    if Path(place).is_absolute() or ".." in parts:
        parts = ("package", parts[-1])  # it depends on where the command is typed
    return ".".join(parts) + (f":{name}" if name else "")


def _meant(spec: str) -> str | None:
    """Return the advice to name what is there; None: nothing that is like it."""
    from difflib import get_close_matches

    place, _, name = spec.partition(":")
    path, named = Path(place), f":{name}" if name else ""
    if "/" in place and Path(f"{place}.py").is_file():
        return f"name the file: {place}.py{named}"
    if path.is_file() and path.suffix == ".py":
        return None
    if path.is_file():
        return "a flow is in a file of Python (.py), a document in one of JSON (.json)"
    folder = path if path.is_dir() else path.parent
    there = sorted(each.name for each in folder.glob("*.py") if not each.name.startswith("_"))
    if path.is_dir():
        return f"name a file in it, as {folder / there[0]}" if there else None
    wanted = path.name if path.suffix == ".py" else f"{path.name}.py"
    near = get_close_matches(wanted, there, n=1)
    return f"did you mean {folder / near[0]}{named}?" if near else None
