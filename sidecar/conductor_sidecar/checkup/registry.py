"""Every check, in the order in which it is printed.

Promise: ids and names are unique, and `docs/reference/doctor.md` is drawn from here. Refusal:
nothing is looked at here.
"""

from __future__ import annotations

from conductor_sidecar.checkup import (
    credentials,
    daemon,
    disk,
    files,
    link,
    machine,
    packs,
    records,
    service,
    settings,
    stores,
    tools,
)
from conductor_sidecar.checkup.finding import Check

CHECKS: tuple[Check, ...] = (
    *machine.CHECKS, *disk.CHECKS, *files.CHECKS, *settings.CHECKS, *credentials.CHECKS,
    *stores.CHECKS, *records.CHECKS, *packs.CHECKS, *link.CHECKS, *tools.CHECKS, *service.CHECKS,
    *daemon.CHECKS,
)  # fmt: skip
