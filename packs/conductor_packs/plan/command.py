"""`conductor plan` as the command line finds it.

Promise: naming the command imports no more than the sdk. Refusal: no command is defined here.
"""

from __future__ import annotations

from typing import Any

from conductor_sdk.command import PackCommand


def _load() -> Any:
    from conductor_packs.plan.cli.group import plan

    return plan


command = PackCommand("Share plans with other agents: items, links, claims.", _load)
