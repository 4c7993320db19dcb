"""What the system tools take.

Promise: each model is the whole input of one tool. Refusal: none of them names a file.
"""

from __future__ import annotations

from pydantic import Field

from conductor_packs.sidekick.inputs.fields import DryRun, Input


class SidekickInit(Input):
    """`sidekick:init`."""

    dry_run: DryRun = False


class SidekickStatus(Input):
    """`sidekick:status`."""


class SidekickExport(Input):
    """`sidekick:export`."""

    include_audit: bool = Field(default=True, description="With the audit trail.")
