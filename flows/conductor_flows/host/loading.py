"""From a name on a command line to a flow that can be run.

Promise: a user's own module or file is loaded as Python would load it, and whatever is wrong with
it is said in a line, with file and line. Refusal: nothing is run but the module itself.

    my_flows              the only flow in a module          my_flows:orders    that one
    path/to/flow.py       the same of a file                 path/to/flow.py:flow
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar

from conductor_flows.dsl.flow import Flow
from conductor_flows.execute.program import Program
from conductor_flows.host.errors import FlowAmbiguous, FlowNotFound, LoadFailed, LoadRefused
from conductor_flows.ir.model import FlowIR
from conductor_sdk.errors import ConductorError

T = TypeVar("T")
FILES: Final = "conductor_flows_file_"
"""Begins the names of modules that were files with the name of another module."""
OURS: Final = str(Path(__file__).parent.parent)


def load(spec: str, *, folder: Path | None = None) -> Program:
    """Load a flow.

    Args:
        spec: `module`, `module:name`, `file.py` or `file.py:name`. The name may have dots, and
            what it names is a `Flow`, a `Program`, or a function without arguments that returns
            one. Without a name it is the module's only flow.
        folder: Where modules are looked for first, and what a path starts from; by default the
            current one.

    Raises:
        FlowNotFound: No such module, file or name; lists the flows that are there.
        FlowAmbiguous: No name, and several flows.
        LoadFailed: The module, or the function, raised; with file and line.
        LoadRefused: The spec, or what it names, is nothing of the kind.
        FlowInvalid: The flow breaks rules. FlowRefused: It cannot be built.
    """
    return _load(spec, folder, _program)


def load_document(spec: str, *, folder: Path | None = None) -> FlowIR:
    """Load the document of a flow, also of one that breaks rules; otherwise as `load`."""
    return _load(spec, folder, _document)


def _load(spec: str, folder: Path | None, made: Callable[[Flow | Program], T]) -> T:
    place, name = _split(spec)
    folder = Path.cwd() if folder is None else folder
    is_file = place.endswith(".py") or "/" in place
    if is_file:
        path = (folder / place).resolve()
        if not path.is_file():
            raise FlowNotFound(f"{place}: there is no such file")
        source, first = str(path), path.parent
    else:
        source, first = place, folder
    with _first_on_path(folder.resolve(), first), _told(source):
        module = _from_file(Path(source)) if is_file else _module(place)
        return made(_flow(_named(module, name, place), f"{place}:{name}" if name else place))


def _split(spec: str) -> tuple[str, str]:
    place, _, name = spec.strip().partition(":")
    if not place or "\0" in spec or (spec.rstrip().endswith(":")):
        raise LoadRefused(f"{spec!r} names no module")
    return place, name.strip()


@contextlib.contextmanager
def _first_on_path(*folders: Path) -> Generator[None]:
    added = [str(folder) for folder in folders]
    for each in added:
        sys.path.insert(0, each)
    importlib.invalidate_caches()  # the file may be younger than what the finders remember
    try:
        yield
    finally:
        for each in added:
            with contextlib.suppress(ValueError):
                sys.path.remove(each)


@contextlib.contextmanager
def _told(source: str) -> Generator[None]:
    """Turn what a user's code raises into a line that says where."""
    try:
        yield
    except LoadRefused:
        raise
    except ConductorError as error:
        # A refusal is told as it is, with the user's line before it.
        if at := _line(error, source):
            error.detail = f"{at}: {error.detail}"
            error.data["at"] = at
        raise
    except SyntaxError as error:
        raise LoadFailed(f"{error.filename}:{error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        at = _line(error, source) or source
        raise LoadFailed(f"{at}: {type(error).__name__}: {error}".rstrip(": ")) from error


def _line(error: BaseException, source: str) -> str:
    """Name the innermost line of the file, or else the innermost that is in no library."""
    paths = sysconfig.get_paths()
    libraries = (*(paths[key] for key in ("stdlib", "purelib", "platlib")), OURS, "<")
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(libraries)
    ]  # fmt: skip
    mine = [frame for frame in frames if frame.filename == source] or frames
    return f"{mine[-1].filename}:{mine[-1].lineno}" if mine else ""


def _module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise LoadRefused(f"{name!r} is no name of a module")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there, and misses another
        raise FlowNotFound(f"there is no module {error.name!r}") from None


def _from_file(path: Path) -> ModuleType:
    name = path.stem
    known = sys.modules.get(name)
    if name in sys.stdlib_module_names or (known is not None and not _is_a_flow_file(known)):
        name = f"{FILES}{name}"
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise LoadRefused(f"{path} is no Python file")
    module = importlib.util.module_from_spec(found)
    module.__dict__[FILES] = True
    # Annotations are looked up in the module of that name, so it has to be there.
    sys.modules[name] = module
    try:
        found.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _is_a_flow_file(module: ModuleType) -> bool:
    return FILES in vars(module)


def _named(module: ModuleType, name: str, place: str) -> Any:
    flows = {
        key: value for key, value in vars(module).items()
        if isinstance(value, Flow | Program) and not key.startswith("_")
    }  # fmt: skip
    listed = f"it has: {', '.join(flows)}" if flows else "it has none"
    if not name:
        distinct = {id(value) for value in flows.values()}
        if not flows:
            raise FlowNotFound(f"{place} has no flow at its top level", hint=_none_there(place))
        if len(distinct) > 1:
            raise FlowAmbiguous(f"{place}; {listed}", hint=f"name one: {place}:{next(iter(flows))}")
        return next(iter(flows.values()))
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            first = f"name one: {place}:{next(iter(flows))}" if flows else _none_there(place)
            raise FlowNotFound(f"{place} has no {name!r}; {listed}", hint=first)
        found = getattr(found, part)
    return found


def _none_there(place: str) -> str:
    made = 'flow = Flow("my_flow", "1.0.0")'
    return f"put one there, as: {made}; or name a function that returns one: {place}:build"


def _flow(found: Any, spec: str) -> Flow | Program:
    if not isinstance(found, Flow | Program) and callable(found):
        try:
            inspect.signature(found).bind()
        except (TypeError, ValueError):
            raise LoadRefused(
                f"{spec} is no flow, and cannot be called without arguments"
            ) from None
        found = found()
    if inspect.iscoroutine(found):
        found.close()
        raise LoadRefused(f"{spec} is asynchronous; a flow is built without waiting")
    if isinstance(found, Flow | Program):
        return found
    raise LoadRefused(f"{spec} is a {type(found).__name__}, no flow")


def _program(found: Flow | Program) -> Program:
    return found.program() if isinstance(found, Flow) else found


def _document(found: Flow | Program) -> FlowIR:
    return found.ir() if isinstance(found, Flow) else found.flow
