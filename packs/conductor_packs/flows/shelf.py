"""The flows that the configuration names, loaded when they are first asked for.

Promise: a flow that cannot be loaded is one error with file and line, and no other flow's; a file
that has changed is loaded again before the next run; each has the hash of the file that it came
from. Refusal: no file outside of the workspace is loaded as one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from conductor_flows.execute.binding import Bound
from conductor_flows.execute.planning.compiling import Ends
from conductor_flows.execute.program import Program
from conductor_flows.execute.runner import Runner, default_ends
from conductor_flows.host.loading import load
from conductor_flows.ir.model import FlowIR
from conductor_flows.ir.terms import Effects
from conductor_packs.flows.errors import EntrypointUnknown, FlowBroken, FlowUnknown
from conductor_packs.flows.paths import inside, is_path
from conductor_sdk.errors import ConductorError

AGAIN_S: Final = 5.0
"""A flow that could not be loaded is tried again after so long, though its file is the same."""
_loading: Final = threading.Lock()
"""Loading changes `sys.path` for a moment."""
Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A flow that can be run."""

    name: str
    spec: str
    program: Program
    code_hash: str
    """Hex SHA-256 of its file; of its document where there is no file."""

    @property
    def flow(self) -> FlowIR:
        """The document."""
        return self.program.flow

    @property
    def effects(self) -> Effects:
        """The worst of what its nodes do."""
        return worst(self.program)

    def bound(self, ends: Ends) -> Bound:
        """Return the plan between two ends, with the functions behind its nodes."""
        return Runner(self.program).bound(ends)

    def ends(self, entrypoint: str | None) -> Ends:
        """Return where a payload goes in and the answer comes out.

        Args:
            entrypoint: The alias of a trigger, or the path of a route.

        Raises:
            EntrypointUnknown: There is none of that name, or there are several and no name.
        """
        if entrypoint is None:
            try:
                return default_ends(self.flow)
            except ConductorError as error:
                raise EntrypointUnknown(f"{self.name}: {error.detail}") from None
        found = {
            Ends(each.trigger_alias, each.capture_alias)
            for each in self.flow.metadata.entrypoints
            if entrypoint in {each.trigger_alias, each.route_path}
        }
        if len(found) == 1:
            return found.pop()
        several = "several entrypoints are called" if found else "no entrypoint is called"
        raise EntrypointUnknown(f"{self.name}: {several} {entrypoint!r}")


@dataclass(frozen=True, slots=True)
class _Tried:
    stamp: Stamp
    at: float
    found: Loaded | FlowBroken


def worst(program: Program) -> Effects:
    """Return the worst of what the nodes of a program do, flows inside it included."""
    nodes = [node.effects for node in program.flow.nodes]
    inner = [worst(each) for each in program.subflows.values()]
    return max([Effects.PURE, *nodes, *inner], key=lambda each: each.rank)


class Shelf:
    """The flows of a workspace. Use from one event loop."""

    def __init__(self, workspace: Path, specs: Mapping[str, str]) -> None:
        self._workspace = workspace
        self._specs = dict(specs)
        self._tried: dict[str, _Tried] = {}
        self._under_way: dict[str, asyncio.Future[Loaded | FlowBroken]] = {}

    @property
    def names(self) -> list[str]:
        """The names of all flows, sorted."""
        return sorted(self._specs)

    def spec(self, name: str) -> str:
        """Return where a flow comes from."""
        return self._specs[name]

    async def get(self, name: str) -> Loaded:
        """Return a flow as it is now.

        Raises:
            FlowUnknown: The configuration names none of that name.
            FlowBroken: It cannot be loaded.
        """
        if name not in self._specs:
            raise FlowUnknown(repr(name), data={"flows": self.names})
        found = await self._current(name)
        if isinstance(found, FlowBroken):
            # A new one each time: an error that is raised again collects frames.
            raise FlowBroken(found.detail, hint=found.hint, data=found.data)
        return found

    async def _current(self, name: str) -> Loaded | FlowBroken:
        spec, loop = self._specs[name], asyncio.get_running_loop()
        tried, stamp = self._tried.get(name), _stamp(self._workspace, spec)
        if tried is not None and tried.stamp == stamp:
            fresh = loop.time() - tried.at < AGAIN_S
            if isinstance(tried.found, Loaded) or fresh:
                return tried.found
        if name not in self._under_way:
            # One thread for each flow, whoever waits for it and however long it takes.
            again = tried is not None
            loading = self._load(name, stamp, again=again)
            self._under_way[name] = loop.create_task(loading, name="flows.load")
        return await asyncio.shield(self._under_way[name])

    async def _load(self, name: str, stamp: Stamp, *, again: bool) -> Loaded | FlowBroken:
        spec = self._specs[name]
        try:
            found = await asyncio.to_thread(_load, name, spec, self._workspace, again)
            self._tried[name] = _Tried(stamp, asyncio.get_running_loop().time(), found)
            return found
        finally:
            del self._under_way[name]


def _stamp(workspace: Path, spec: str) -> Stamp:
    """What changes when a file does; None for a module."""
    if not is_path(spec):
        return None
    try:
        found = (workspace / spec.partition(":")[0]).stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _load(name: str, spec: str, workspace: Path, again: bool) -> Loaded | FlowBroken:
    try:
        with _loading:
            if not is_path(spec):
                program = load(spec, folder=workspace)
                return Loaded(name, spec, program, _module_hash(spec, program))
            place, colon, attribute = spec.partition(":")
            path = inside(workspace, place)
            if again:
                # Compiled code is told from other code by size and second: not closely enough.
                # There may be none, or Python may keep none; one that cannot be removed is no
                # reason to keep the flow from its new code, which its time nearly always tells.
                with contextlib.suppress(OSError, NotImplementedError):
                    Path(importlib.util.cache_from_source(str(path))).unlink()
            code_hash = hashlib.sha256(path.read_bytes()).hexdigest()
            program = load(f"{path}{colon}{attribute}", folder=workspace)
            return Loaded(name, spec, program, code_hash)
    except ConductorError as error:
        data = {"cause": error.code, **error.data}
        return FlowBroken(f"{name}: {error.message}", hint=error.hint, data=data)
    except OSError as error:
        return FlowBroken(f"{name}: {error.strerror or type(error).__name__}")


def _module_hash(spec: str, program: Program) -> str:
    module = sys.modules.get(spec.partition(":")[0].strip())
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        with contextlib.suppress(OSError):
            return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return hashlib.sha256(program.flow.id.encode()).hexdigest()
