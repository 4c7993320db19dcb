"""What a reload did, or would do, for whoever asked.

Promise: the same record for the control socket, the journal and the log. Refusal: no value that may
be secret; `difference` has hidden them.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from conductor_sidecar.reload.difference import Change


class ReloadReport(msgspec.Struct, frozen=True):
    """A reload that was not refused."""

    outcome: Literal["unchanged", "planned", "applied"]
    """planned: a dry run."""
    changes: list[Change] = []
    restart_needed: bool = False
    """Whether some of the changes are not in force, and will not be before a restart."""
    conductor_told: bool | None = None
    """Whether the conductor knows the packs as they are now; None: nothing to tell."""


def facts(changes: list[Change]) -> dict[str, Any]:
    """Return changes as JSON values."""
    return {"changes": msgspec.to_builtins(changes)}
