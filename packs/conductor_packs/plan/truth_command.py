"""`conductor truth` as the command line finds it.

Promise: naming the command imports no more than the sdk. Refusal: no command is defined here.
"""

from __future__ import annotations

from typing import Any

from conductor_sdk.command import PackCommand


def _load() -> Any:
    from conductor_packs.plan.cli.truth import truth

    return truth


command = PackCommand("Say what is true now, and how old each reading is.", _load)
