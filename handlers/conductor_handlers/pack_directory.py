"""A pack project that is not installed: found by its `pyproject.toml`, or by a `pack.py`.

Promise: the project's own modules are imported fresh from its directory, whatever else of that
name was imported before. Refusal: it shadows no module of the standard library and none of ours,
and it runs no build.
"""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterable, Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from conductor_handlers.pack_sources import GROUP, Candidate
from conductor_sdk.pack_errors import ManifestInvalid, PackImportFailed, PackNotFound

_OURS = "conductor_"


def load_directory(path: Path) -> list[Candidate]:
    """Find the packs of a project directory, without importing them.

    Args:
        path: Holds a `pyproject.toml` with entry points of the group `conductor.packs`, or else a
            `pack.py` whose `pack` is the Pack.

    Raises:
        PackNotFound: There is neither.
        ManifestInvalid: `pyproject.toml` cannot be read.
    """
    path = path.resolve()
    points = _entry_points(path / "pyproject.toml")
    if points:
        return [
            Candidate(name, str(path), partial(_import_target, path, target))
            for name, target in sorted(points.items())
        ]
    if (path / "pack.py").is_file():
        return [Candidate(path.name, str(path), partial(_import_file, path))]
    raise PackNotFound(
        f"{path} has no entry point of the group {GROUP} and no pack.py",
        value=str(path),
        hint="make one: conductor pack new NAME",
    )


def _entry_points(file: Path) -> dict[str, str]:
    try:
        project: Mapping[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ManifestInvalid(f"{file}: {error}", value=str(file)) from None
    points: object = project
    for step in ("project", "entry-points", GROUP):
        points = cast("Mapping[str, Any]", points).get(step, {})
        if not isinstance(points, Mapping):
            raise ManifestInvalid(f"{file}: {step} is not a table", value=str(file))
    named = cast("Mapping[str, Any]", points)
    return {name: str(target) for name, target in named.items()}


def _import_target(path: Path, target: str) -> object:
    module_name, _, attribute = target.partition("[")[0].strip().partition(":")
    top = module_name.split(".", 1)[0]
    if top in sys.stdlib_module_names:
        raise PackImportFailed(f"{top} is a module of the standard library", value=top)
    roots = [root for root in (path / "src", path) if root.is_dir()]
    if not top.startswith(_OURS):
        _forget([top])
    module = _import(module_name, roots)
    found: object = module
    for step in (attribute or "pack").split("."):
        found = getattr(found, step)
    return found


def _import_file(path: Path) -> object:
    # A package of its own, named after its place, so that `pack.py` may import relatively and two
    # directories never meet; its neighbours are also importable by their bare names.
    name = "_conductor_pack_" + sha256(str(path).encode()).hexdigest()[:16]
    _forget([name, *_neighbours(path)])
    package = ModuleType(name)
    package.__path__ = [str(path)]
    sys.modules[name] = package
    return _import(f"{name}.pack", [path]).pack


def _import(module_name: str, roots: Iterable[Path]) -> ModuleType:
    places = [str(root) for root in roots]
    for place in places:
        if place in sys.path:
            sys.path.remove(place)
    sys.path[:0] = places
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module_name)
    finally:
        # Behind everything else from now on: imports inside functions still find the project.
        for place in places:
            sys.path.remove(place)
            sys.path.append(place)


def _neighbours(path: Path) -> list[str]:
    """Names in the directory that an earlier pack directory may have taken; nobody else's."""
    taken: list[str] = []
    for file in path.glob("*.py"):
        loaded = sys.modules.get(file.stem)
        origin = getattr(loaded, "__file__", None)
        if origin and (Path(origin).parent / "pack.py").is_file():
            taken.append(file.stem)
    return taken


def _forget(tops: Iterable[str]) -> None:
    names = set(tops)
    for name in [name for name in sys.modules if name.split(".", 1)[0] in names]:
        del sys.modules[name]
