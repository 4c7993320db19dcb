"""What a pack's modules import, read from their syntax trees.

Promise: a module may import the standard library, `conductor_sdk`, `conductor_terminal` for its
commands, its own pack and what the pack's distribution declares; imports inside functions and
`import_module("…")` count too. Tests are not read, so no module may import one. Refusal:
nothing is imported to find out, and code that builds the name of a module is refused, since nobody
can say what it imports.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

from conductor_handlers.pack_lint.place import PackPlace, normalise
from conductor_handlers.pack_lint.verdict import Check, Finding, checked
from conductor_sdk.pack_hash import APART, NotHashable, pack_files

TITLE = "import boundaries"
PUBLIC = frozenset({"conductor_sdk", "conductor_terminal"})
OURS = "conductor_"
HOSTS = frozenset({("conductor_packs.flows", "conductor_flows")})
"""Built-in packs that stand on a layer of ours, and that layer: its flows run in it."""
_DYNAMIC = frozenset({"import_module", "__import__", "run_module", "run_path"})


@dataclass(frozen=True, slots=True)
class Imported:
    """One import of one module."""

    module: str
    """Absolute; empty: it cannot be known."""
    line: int
    names: tuple[str, ...] = ()
    """Of a `from` import: they may be modules too."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the modules of one pack may import."""

    place: PackPlace
    distributions: Mapping[str, list[str]]

    def refusal(self, imported: Imported) -> str | None:
        """Say why an import is outside of the bounds; None: it is within."""
        module = imported.module
        top = module.partition(".")[0]
        if not module:
            return "imports a module whose name is computed"
        if module.startswith(".."):
            return "imports from outside of the pack"
        own = self._below(module)
        if own is not None:
            modules = self._modules(own, imported.names)
            if modules and modules[0] in APART:
                return f"imports {modules[0]}, a tool's directory that is not hashed"
            tests = [step for step in modules if is_test(step)]
            return f"imports {tests[0]}, a test of the pack" if tests else None
        if top in sys.stdlib_module_names or top in PUBLIC or (self.place.package, top) in HOSTS:
            return None
        if top.startswith(OURS):
            return f"imports {module}, which is not conductor_sdk and not in the pack"
        providers = {normalise(name) for name in self.distributions.get(top, [top])}
        if providers & self.place.requirements:
            return None
        return f"imports {top}, which the pack does not declare as a dependency"

    def _below(self, module: str) -> list[str] | None:
        """Return a module's steps below the pack; None: it is not in the pack."""
        package = self.place.package
        if package and module != package and not module.startswith(f"{package}."):
            return None
        steps = module.removeprefix(package).strip(".").split(".")
        if not (package or self._stands(steps[:1])):
            return None
        return [step for step in steps if step]

    def _modules(self, steps: list[str], names: tuple[str, ...]) -> list[str]:
        """Return the steps, and those of the imported names that are modules themselves."""
        return [*steps, *(name for name in names if self._stands([*steps, name]))]

    def _stands(self, steps: list[str]) -> bool:
        place = self.place.root.joinpath(*steps)
        return place.with_suffix(".py").is_file() or place.is_dir()


def is_test(name: str) -> bool:
    """Whether a module of this name is a test or a suite, and no part of the running pack."""
    named = name in {"conftest", "testing", "tests", "test"}
    return named or name.startswith(("test_", "testing_")) or name.endswith("_test")


def check_imports(place: PackPlace) -> Check:
    """Check every module of a pack but its tests."""
    bounds = Bounds(place, packages_distributions())
    findings: list[Finding] = []
    try:
        files = [file for file in pack_files(place.root) if _runs(file.relative_to(place.root))]
    except (NotHashable, OSError) as error:
        problem = Finding("not_readable", str(place.root), str(error), "make it a plain file")
        return checked("imports", TITLE, [problem])
    for file in files:
        findings += _of_file(file, place, bounds)
    return checked("imports", TITLE, findings)


def _of_file(file: Path, place: PackPlace, bounds: Bounds) -> Iterator[Finding]:
    shown = file.relative_to(place.root).as_posix()
    try:
        tree = ast.parse(file.read_bytes(), filename=shown)
    except (SyntaxError, ValueError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else 1
        yield Finding("not_python", f"{shown}:{line}", str(error), "correct the syntax")
        return
    for imported in _imports(tree, _package_of(file, place)):
        refusal = bounds.refusal(imported)
        if refusal is not None:
            yield Finding(
                "import_outside", f"{shown}:{imported.line}", refusal,
                "import conductor_sdk, the standard library, a declared dependency or the pack",
            )  # fmt: skip


def _imports(tree: ast.Module, package: list[str]) -> Iterator[Imported]:
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from (Imported(alias.name, node.lineno) for alias in node.names)
            case ast.ImportFrom():
                names = tuple(alias.name for alias in node.names)
                yield Imported(_absolute(node, package), node.lineno, names)
            case ast.Call():
                yield from _dynamic(node)
            case _:
                pass


def _absolute(node: ast.ImportFrom, package: list[str]) -> str:
    if not node.level:
        return node.module or ""
    up = node.level - 1
    if up >= len(package):
        return ".." + (node.module or "")
    steps = package[: len(package) - up] + (node.module.split(".") if node.module else [])
    return ".".join(step for step in steps if step) or ".."


def _dynamic(node: ast.Call) -> Iterator[Imported]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name not in _DYNAMIC:
        return
    first = node.args[0] if node.args else None
    known = isinstance(first, ast.Constant) and isinstance(first.value, str)
    literal = str(first.value) if known and isinstance(first, ast.Constant) else ""
    yield Imported("" if name == "run_path" else literal, node.lineno)


def _package_of(file: Path, place: PackPlace) -> list[str]:
    """Return the steps of the package that a file's relative imports start from."""
    below = list(file.relative_to(place.root).parent.parts)
    return [*(place.package.split(".") if place.package else [""]), *below]


def _runs(file: Path) -> bool:
    """Whether a file is one of the pack's modules: Python, and no test."""
    steps = file.with_suffix("").parts
    return file.suffix == ".py" and not any(is_test(step) or step[0] == "." for step in steps)
