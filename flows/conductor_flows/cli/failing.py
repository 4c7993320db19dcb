"""What is said of a run that failed, over what the error says itself.

Promise: the line of the user's own code that raised, and the next command. Refusal: nothing is
printed but the line that names missing bindings.
"""

from __future__ import annotations

import shlex
import traceback
from pathlib import Path
from typing import Final

import click

from conductor_flows.capabilities.bindings.spec import ALIASES
from conductor_flows.execute.errors import (
    CapabilitiesMissing,
    DeadlineExceeded,
    NodeFailed,
    PortRefused,
    SpillUnsupported,
    SurfaceUnsupported,
    UnknownAlias,
)
from conductor_flows.ir.model import FlowIR
from conductor_flows.ir.terms import DurabilityMode
from conductor_sdk.errors import ConductorError

_OURS: Final = str(Path(__file__).parent.parent)
_SHORT: Final = {hint: name for name, hint in ALIASES.items()}
_EXAMPLE: Final = {"http": "httpx2", "clock": "system", "rng": "system"}


def explained(
    error: ConductorError, spec: str, flow: FlowIR, *, as_json: bool, where: str = ""
) -> None:
    """Give an error the next command, unless it has one, and a node's failure its line.

    Args:
        error: What is changed.
        spec: The flow as it was named.
        flow: The same.
        as_json: Nothing may be printed.
        where: The option that leads to its checkpoints.
    """
    known = error.hint if error.hint != error.default_hint else None
    _explain(error, shlex.quote(spec), flow, where, as_json=as_json)
    error.hint = known or error.hint


def _explain(
    error: ConductorError, quoted: str, flow: FlowIR, where: str, *, as_json: bool
) -> None:
    match error:
        case CapabilitiesMissing():
            hints = [str(hint) for hint in _listed(error.data.get("hints"))]
            if not as_json:
                click.echo(f"[{error.code}] not bound: {', '.join(hints)}", err=True)
            error.hint = "add " + " ".join(dict.fromkeys(_bind(hint) for hint in hints))
        case NodeFailed():
            if at := _line(error):
                error.detail = f"{error.detail} ({at})"
                error.data["at"] = at
            strong = flow.policies.durability.mode is DurabilityMode.STRONG
            error.hint = (
                f"put it right, then go on from where it failed: flows resume list{where}" if strong
                else "see more: set CONDUCTOR_TRACEBACK=1 and run the command again"
            )  # fmt: skip
        case PortRefused():
            if error.pointer and error.pointer not in error.detail:
                error.detail = f"{error.pointer}: {error.detail}"
            error.hint = f"see what it takes: flows entrypoints check {quoted} --json"
        case UnknownAlias():
            error.hint = f"see the nodes: flows graph show {quoted}"
        case DeadlineExceeded():
            error.hint = "give it longer: --deadline SECONDS"
        case SpillUnsupported():
            error.hint = "add --bind blob=filesystem:DIR"
        case SurfaceUnsupported():
            error.hint = f"see what it means: flows codes {error.code}"
        case _:
            pass


def _listed(found: object) -> list[object]:
    return list(found) if isinstance(found, list) else []  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # JSON in an error


def _bind(hint: str) -> str:
    short = _SHORT.get("::".join(hint.split("::")[:2]))
    family = hint.split("::")[1] if "::" in hint else hint
    return f"--bind {short or hint}={_EXAMPLE.get(family, 'memory')}"


def _line(error: BaseException) -> str:
    """Name the innermost line of the user's code that led to an error."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    # What a library raised may be the cause of what was raised where the user called it.
    for each in reversed(causes):
        mine = [
            frame for frame in traceback.extract_tb(each.__traceback__)
            if not frame.filename.startswith((_OURS, "<")) and "/lib/python" not in frame.filename
        ]  # fmt: skip
        if mine:
            return f"{Path(mine[-1].filename).name}:{mine[-1].lineno}"
    return ""
