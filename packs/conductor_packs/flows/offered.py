"""A tool for each flow: its name, what it takes, and what it may.

Promise: a flow that can be loaded is listed as it is now, with the schema of its port; one that
cannot, or whose name is taken, is left out with the reason, and the others are there all the same.
Refusal: no listing waits for a module for ever, and nothing is run but the modules.

    flows:orders           the flow named `orders`
    flows:orders.refund    its entrypoint `refund`, by trigger or path, where there are several
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

from pydantic import ValidationError

from conductor_flows.ir.terms import Effects
from conductor_packs.flows import library
from conductor_packs.flows.errors import FlowBroken
from conductor_packs.flows.library import Loaded, Place
from conductor_packs.flows.taking import Taking, labelled
from conductor_packs.flows.toolset import RUN_ANSWER, WAIT_MAX_S, manifests, reach
from conductor_sdk.errors import ConductorError
from conductor_sdk.manifest_tools import NetworkScope, ToolManifest
from conductor_sdk.pack import ToolLeftOut

LIST_WAIT_S: Final = 60.0
"""For all flows together; one that takes longer to load is left out."""
LOOP_WAIT_S: Final = 2.0
"""The same on an event loop, where everything else would wait too; hosts ask in a thread."""
_ENTRY: Final = "conductor_packs.flows.typed:"
_PREFIX: Final = "flows:"


def offered(config: Mapping[str, Any], workspace: Path) -> list[ToolManifest | ToolLeftOut]:
    """Return the tools of the flows that a configuration names, sorted by these.

    Args:
        config: The pack's section.
        workspace: Its root.
    """
    specs: object = config.get("flows")
    if not isinstance(specs, Mapping):
        return []  # the pack is refused for it
    root = workspace.resolve()
    named = cast("Mapping[object, object]", specs)
    places = [Place(root, str(name), str(named[name])) for name in sorted(named, key=str)]
    waited_s = _load(places)
    taken = {tool.name for tool in manifests(config)}
    return [each for place in places for each in _of_flow(place, taken, reach(config), waited_s)]


def _load(places: list[Place]) -> float:
    """Load what is not loaded, in a thread that is left behind where a module does not end.

    Returns how long that is waited for.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        wait_s = LIST_WAIT_S
    else:
        wait_s = LOOP_WAIT_S
    missing = [place for place in places if library.known(place) is None]
    if missing:
        thread = threading.Thread(
            target=lambda: [library.loaded(place) for place in missing], name="flows.list",
            daemon=True,
        )  # fmt: skip
        thread.start()
        thread.join(wait_s)
    return wait_s


def _of_flow(
    place: Place, taken: set[str], outside: NetworkScope, waited_s: float
) -> Iterator[ToolManifest | ToolLeftOut]:
    name, found = f"{_PREFIX}{place.name}", library.known(place)
    if name in taken:
        yield ToolLeftOut(name, "the pack itself has a tool of that name: rename the flow")
    elif found is None:
        yield ToolLeftOut(name, f"not loaded within {waited_s:g} s: ask again, or conductor reload")
    elif isinstance(found, FlowBroken):
        yield ToolLeftOut(name, found.detail)
    else:
        for label, way in labelled(found).items():
            yield _tool(f"{name}.{label}" if label else name, found, way, outside)


def _tool(
    name: str, loaded: Loaded, entrypoint: str | None, outside: NetworkScope
) -> ToolManifest | ToolLeftOut:
    flow, reads = loaded.flow, loaded.effects.rank <= Effects.READ_ONLY.rank
    try:
        return ToolManifest(
            name=name, title=f"Run {name.removeprefix(_PREFIX)}",
            description=flow.summary or f"Runs the flow {loaded.name}.",
            entry=f"{_ENTRY}{'ask' if reads else 'run'}", permission="read" if reads else "write",
            required_scopes=[outside], deadline_s=WAIT_MAX_S + 60, idempotent=reads,
            input_schema=Taking.of(loaded, entrypoint).schema, input_check="tool",
            output_schema=RUN_ANSWER,
        )  # fmt: skip
    except ConductorError as error:
        return ToolLeftOut(name, error.message)
    except ValidationError:
        return ToolLeftOut(name, "it cannot be a tool's name: call it by flows:run")
