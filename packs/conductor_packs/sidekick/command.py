"""`conductor sidekick …`, as the command line finds it.

Promise: importing this costs nothing. Refusal: no command is here.
"""

from __future__ import annotations

from typing import Any

from conductor_sdk.command import PackCommand


def _load() -> Any:
    from conductor_packs.sidekick.cli.commands import sidekick

    return sidekick


command = PackCommand("Tasks, memory, channels and routines.", _load)
