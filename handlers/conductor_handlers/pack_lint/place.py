"""Where a pack's files are: the directory of the package that holds its `pack`.

Promise: what is scanned, hashed and compared with a pin is one directory, the same for a project
that is not installed and for the installed pack. Refusal: the pack itself is not imported here
(the packages around an installed one are: that is how Python finds a module).
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from conductor_handlers.pack_sources import GROUP
from conductor_sdk.pack import Pack

MANIFEST = "manifest.yaml"
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(frozen=True, slots=True)
class PackPlace:
    """One pack's place."""

    name: str
    """The entry point's name, or the directory's."""
    root: Path
    """Its files."""
    package: str
    """The dotted name of `root` as a package; empty: its modules are imported by bare names."""
    requirements: frozenset[str]
    """The distributions that it declares, normalised; its imports may come from these."""
    target: str = ""
    """`module:attribute` of the pack; empty: the directory holds one pack."""

    def holds(self, pack: Pack) -> bool:
        """Whether an imported pack is the one of this place."""
        if not self.target:
            return True
        module, _, attributes = self.target.partition(":")
        found: object = sys.modules.get(module)
        for step in (attributes or "pack").split("."):
            found = getattr(found, step, None)
        return found is pack

    @property
    def manifest(self) -> Path:
        """The manifest's file; it need not exist."""
        return self.root / MANIFEST


def directory_places(path: Path) -> list[PackPlace]:
    """Find the packs of a project directory; empty: it holds none, or cannot be read."""
    path = path.resolve()
    project = _project(path / "pyproject.toml")
    points = project.get("entry-points", {}).get(GROUP, {})
    required = _normalised(project.get("dependencies", ()))
    if not points:
        found = (path / "pack.py").is_file() or (path / MANIFEST).is_file()
        return [PackPlace(path.name, path, "", required)] if found else []
    return [
        _in_project(path, name, str(target), required) for name, target in sorted(points.items())
    ]


def installed_places() -> list[PackPlace]:
    """Find the installed packs whose modules can be found, by the names of their entry points."""
    points = importlib.metadata.entry_points(group=GROUP)
    found = [_installed(point) for point in sorted(points, key=lambda point: point.name)]
    return [place for place in found if place is not None]


def normalise(distribution: str) -> str:
    """Return a distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _in_project(path: Path, name: str, target: str, required: frozenset[str]) -> PackPlace:
    module = target.partition("[")[0].strip().partition(":")[0]
    package = module.rpartition(".")[0]
    for top in (path / "src", path):
        if _stands(top, module):
            root = top.joinpath(*package.split(".")) if package else top
            return PackPlace(name, root, package, required, target)
    return PackPlace(name, path, package, required, target)


def _stands(top: Path, module: str) -> bool:
    file = top.joinpath(*module.split("."))
    return file.with_suffix(".py").is_file() or (file / "__init__.py").is_file()


def _installed(point: importlib.metadata.EntryPoint) -> PackPlace | None:
    try:
        spec = importlib.util.find_spec(point.module)
    except Exception:  # noqa: BLE001  foreign code: a package's __init__ runs here
        return None
    if spec is None or spec.origin is None:
        return None
    required = _normalised((point.dist.requires if point.dist else None) or ())
    root, package = Path(spec.origin).resolve().parent, point.module.rpartition(".")[0]
    return PackPlace(point.name, root, package, required, point.value)


def _project(file: Path) -> dict[str, Any]:
    try:
        project: Any = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}
    return cast("dict[str, Any]", project) if isinstance(project, dict) else {}


def _normalised(requirements: Sequence[str]) -> frozenset[str]:
    return frozenset(_names(requirements))


def _names(requirements: Sequence[str]) -> Iterator[str]:
    for requirement in requirements:
        found = _REQUIREMENT.match(requirement)
        if found and "extra ==" not in requirement:
            yield normalise(found[1])
