"""`conductor flows` as the command line finds it.

Promise: naming the command imports no more than the sdk. Refusal: no command is defined here.
"""

from __future__ import annotations

from typing import Any

from conductor_sdk.command import PackCommand


def _load() -> Any:
    from conductor_flows.cli.main import flows

    return flows


command = PackCommand("Check, picture, run, serve and resume typed flows.", _load)
