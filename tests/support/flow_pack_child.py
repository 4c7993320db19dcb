"""A sidecar with flows as a process of its own, which dies at a named point, once.

python flow_pack_child.py WORKSPACE POINT, where POINT is `CLASS.METHOD.before`, `.after`, or a
place of a flow as `flow_desk.maybe_die` takes it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from conductor_packs.flows.carrying import Carrier
from conductor_packs.flows.held import HeldStore
from conductor_packs.flows.storage import Runs
from conductor_packs.flows.telling import Teller
from conductor_sidecar.cli.main import main
from flow_pack_world import config

PLACES: dict[str, type[Any]] = {
    "Carrier": Carrier, "HeldStore": HeldStore, "Runs": Runs, "Teller": Teller,
}  # fmt: skip


def mortal(method: Callable[..., Awaitable[Any]], when: str) -> Callable[..., Awaitable[Any]]:
    async def call(*given: Any, **named: Any) -> Any:
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = await method(*given, **named)
        os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return call


def toml(section: dict[str, Any]) -> str:
    flows = "\n".join(f'{name} = "{spec}"' for name, spec in section["flows"].items())
    return f'[pack.flows]\nbind = ["{section["bind"][0]}"]\n[pack.flows.flows]\n{flows}\n'


if __name__ == "__main__":
    workspace, point = Path(sys.argv[1]), sys.argv[2]
    (workspace / "conductor.toml").write_text(toml(config()))
    if "." in point:
        place, name, when = point.split(".")
        setattr(PLACES[place], name, mortal(getattr(PLACES[place], name), when))
    elif point:
        (workspace / "die").write_text(point)
    sys.argv = ["conductor", "sidecar", "-w", str(workspace)]
    main()
