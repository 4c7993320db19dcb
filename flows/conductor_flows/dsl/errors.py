"""What building a flow refuses.

Promise: a refusal carries the code of the registry of diagnostics where that has one, and the place
in the document that was being built. Refusal: nothing is caught here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conductor_flows.validate.diagnostic import Diagnostic
from conductor_sdk.errors import ConductorError, Exit


class FlowRefused(ConductorError):
    """The flow cannot be built like this."""

    code = "FLOW_REFUSED"
    default_hint = "look at the line that it names"
    exit_code = Exit.USAGE

    def __init__(
        self, detail: str, *, code: str = "", location: str = "", hint: str | None = None
    ) -> None:
        """Say what is wrong and where.

        Args:
            detail: What is wrong, with names.
            code: A diagnostic's, as `DAG206`; `FLOW_REFUSED` where there is none.
            location: A JSON Pointer into the document that was being built; "" is the whole of it.
            hint: What to do, where the code's own advice is not the best one.
        """
        super().__init__(detail, hint=hint, data={"location": location})
        self.advised = hint is not None
        """Whether the hint is of this refusal, not of its code."""
        self.location = location
        if code:
            # The code is a diagnostic's and therefore each refusal's own, not the class's.
            vars(self)["code"] = code


class FlowInvalid(ConductorError):
    """The flow breaks rules."""

    code = "FLOW_INVALID"
    default_hint = "see all of it: flows graph check SPEC"
    exit_code = Exit.USAGE

    def __init__(self, name: str, diagnostics: Sequence[Diagnostic]) -> None:
        """List what is wrong.

        Args:
            name: Of the flow.
            diagnostics: All of them, warnings too; the text names those that fail the flow.
        """
        failing = [each for each in diagnostics if each.severity.fails]
        text = "; ".join(f"{each.code} {each.location} {each.message}" for each in failing)
        super().__init__(f"{name}: {text}", data={"diagnostics": [_json(d) for d in diagnostics]})
        self.diagnostics = tuple(diagnostics)


def _json(diagnostic: Diagnostic) -> dict[str, Any]:
    return {
        "code": diagnostic.code, "severity": str(diagnostic.severity),
        "message": diagnostic.message, "location": diagnostic.location, "hint": diagnostic.hint,
    }  # fmt: skip
