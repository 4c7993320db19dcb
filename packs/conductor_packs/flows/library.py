"""Flows that this process has loaded, by workspace and name.

Promise: one load for whoever asks, runs and listings alike, until a file that the flow's code is
in has changed; a flow that cannot be loaded is one error with file and line, and no other flow's.
Refusal: no file outside of the workspace is loaded as a flow, and nothing is run but the modules.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

from conductor_flows.execute.binding import Bound
from conductor_flows.execute.planning.compiling import Ends
from conductor_flows.execute.program import Program
from conductor_flows.execute.runner import Runner, default_ends
from conductor_flows.host.loading import load
from conductor_flows.ir.model import FlowIR
from conductor_flows.ir.terms import Effects
from conductor_packs.flows.errors import EntrypointUnknown, FlowBroken
from conductor_packs.flows.paths import inside, is_path
from conductor_packs.flows.sources import Sources, Stamp, claim, forget, sources, stamp_of
from conductor_sdk.errors import ConductorError

AGAIN_S: Final = 5.0
"""A flow that could not be loaded is tried again after so long, though its files are the same."""
READS_MAX: Final = 5
"""How often the files of a flow are read while they change under the reader."""
FOUND_IN: Final = "name a file of the workspace below [pack.flows.flows]; then: conductor reload"


class Place(NamedTuple):
    """Which flow, and where it comes from."""

    workspace: Path
    name: str
    """In the configuration."""
    spec: str


@dataclass(frozen=True, eq=False)
class Loaded:
    """A flow that can be run; itself alone is equal to it, so that much is worked out once."""

    name: str
    spec: str
    program: Program
    code_hash: str
    """Hex SHA-256 of its files; of its document where there is no file."""

    @property
    def flow(self) -> FlowIR:
        """The document."""
        return self.program.flow

    @cached_property
    def effects(self) -> Effects:
        """The worst of what its nodes do."""
        return worst(self.program)

    @cached_property
    def _runner(self) -> Runner:
        return Runner(self.program)

    def bound(self, ends: Ends) -> Bound:
        """Return the plan between two ends, with the functions behind its nodes; made once."""
        return self._runner.bound(ends)

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

    def ways_in(self) -> list[str | None]:
        """Return what `ends` takes for each entrypoint, in their order; [None]: none is declared.

        That is the alias of its trigger, or the path of its route where others have that trigger.
        """
        found: dict[Ends, str] = {}
        declared = self.flow.metadata.entrypoints
        answers = {(each.trigger_alias, each.capture_alias) for each in declared}
        for each in declared:
            shared = sum(trigger == each.trigger_alias for trigger, _ in answers) > 1
            name = each.route_path if shared and each.route_path else each.trigger_alias
            found.setdefault(Ends(each.trigger_alias, each.capture_alias), name)
        return [*found.values()] or [None]


@dataclass(frozen=True, slots=True)
class _Tried:
    files: tuple[Path, ...]
    stamp: Stamp
    at: float
    found: Loaded | FlowBroken


_loading: Final = threading.Lock()
"""Loading changes `sys.path` and `sys.modules` for a moment."""
_tried: Final[dict[Place, _Tried]] = {}


def worst(program: Program) -> Effects:
    """Return the worst of what the nodes of a program do, flows inside it included."""
    nodes = [node.effects for node in program.flow.nodes]
    inner = [worst(each) for each in program.subflows.values()]
    return max([Effects.PURE, *nodes, *inner], key=lambda each: each.rank)


def known(place: Place) -> Loaded | FlowBroken | None:
    """Return a flow as it was loaded, if that holds; None: it is to be loaded. Never waits."""
    tried = _tried.get(place)
    if tried is None or stamp_of(tried.files) != tried.stamp:
        return None
    if isinstance(tried.found, FlowBroken) and time.monotonic() - tried.at >= AGAIN_S:
        return None
    return tried.found


def loaded(place: Place) -> Loaded | FlowBroken:
    """Return a flow as its files are now. Runs the module, however long that takes."""
    found = known(place)
    if found is not None:
        return found
    with _loading:
        found = known(place)
        if found is None:
            tried = _load(place)
            _tried[place] = tried
            found = tried.found
        return found


def _load(place: Place) -> _Tried:
    at, given = time.monotonic(), place.spec.partition(":")[0]
    files: tuple[Path, ...] = (place.workspace / given,) if is_path(place.spec) else ()
    stamp = stamp_of(files)
    try:
        if not files:
            program = load(place.spec, folder=place.workspace)
            found = Loaded(place.name, place.spec, program, _module_hash(place.spec, program))
            return _Tried(files, stamp, at, found)
        code, files, stamp = _read(inside(place.workspace, given), files)
        return _Tried(files, stamp, at, _of_file(place, code))
    except ConductorError as error:
        data = {"cause": error.code, **error.data}
        broken = FlowBroken(f"{place.name}: {error.message}", hint=error.hint, data=data)
    except OSError as error:
        said = error.strerror or type(error).__name__
        broken = FlowBroken(f"{place.name}: {given}: {said}", hint=FOUND_IN)
    return _Tried(files, stamp, at, broken)


def _of_file(place: Place, code: Sources) -> Loaded:
    attribute = place.spec.partition(":")[1:]
    forget(code)
    try:
        program = load("".join((str(code.own), *attribute)), folder=place.workspace)
    finally:
        claim(code)
    return Loaded(place.name, place.spec, program, code.code_hash)


def _read(path: Path, files: tuple[Path, ...]) -> tuple[Sources, tuple[Path, ...], Stamp]:
    """Find the files of a flow, with a stamp from before they were read.

    What changes after that is loaded again; so is a link that leads elsewhere.
    """
    first, stamp, code = files, stamp_of(files), sources(path)
    for _ in range(READS_MAX):
        if (*first, *code.files) == files:
            return code, files, stamp
        files = (*first, *code.files)
        stamp, code = stamp_of(files), sources(path)
    return code, files, ()  # they change all the time: the next one to ask looks again


def _module_hash(spec: str, program: Program) -> str:
    name = spec.partition(":")[0].strip()
    file = getattr(sys.modules.get(name), "__file__", None)
    if isinstance(file, str):
        words = tuple(name.split("."))
        own = Path(file)
        package = words if own.name == "__init__.py" else words[:-1]
        try:
            return sources(own, package).code_hash
        except OSError:
            pass  # it came from an archive: its document has to do
    return hashlib.sha256(program.flow.id.encode()).hexdigest()
