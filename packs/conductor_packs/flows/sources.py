"""The files that the code of a flow is in: its own, and what it imports from its own folder.

Promise: the same files are the same list and the same hash in every process, whatever it imported
before: imports are read in the files, not observed. Refusal: nothing is run here, and a module
whose name is worked out at run time, or that lies elsewhere, is not seen.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final, TypeAlias

Words: TypeAlias = tuple[str, ...]
"""The name of a module, as it is seen from the folder; () is the folder's own."""
Stamp: TypeAlias = tuple[tuple[str, int, int, int], ...]
"""What changes when a file does."""
_OURS: Final = "conductor_flows_beside"
"""Marks modules that a flow imported from its folder."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the code of one flow is."""

    own: Path
    beside: tuple[tuple[Words, Path], ...]
    """Modules of the folder that it imports, and those that these import; sorted."""
    code_hash: str
    """Hex SHA-256: of its own file where that is all, else of all of them."""

    @property
    def files(self) -> list[Path]:
        """All of them."""
        return [self.own, *(path for _, path in self.beside)]

    @property
    def names(self) -> set[str]:
        """What the modules beside it are called, and the packages that they are in."""
        return {
            ".".join(words[:end]) for words, _ in self.beside for end in range(1, len(words) + 1)
        }


def sources(own: Path, package: Words = ()) -> Sources:
    """Find where the code of a flow is.

    Args:
        own: Its file.
        package: What the folder of the file is called by those who import from it; () for a file
            that is loaded by its path.

    Raises:
        OSError: Its own file cannot be read.
    """
    text = own.read_bytes()
    digests = {own: hashlib.sha256(text).digest()}
    beside: dict[Path, Words] = {}
    reader = _Reader(own.parent, package)
    words: Words = () if own.name == "__init__.py" else (own.stem,)
    queue: list[tuple[Words, Path, bytes]] = [(words, own, text)]
    while queue:
        for found, path in reader.imported(*queue.pop()):
            if path in digests:
                continue
            with contextlib.suppress(OSError):
                text = path.read_bytes()
                beside[path], digests[path] = found, hashlib.sha256(text).digest()
                queue.append((found, path, text))
    return Sources(own, tuple(sorted((words, path) for path, words in beside.items())),
                   _hashed(own, digests))  # fmt: skip


def _hashed(own: Path, digests: dict[Path, bytes]) -> str:
    if len(digests) == 1:
        return digests[own].hex()
    whole = hashlib.sha256()
    for path in sorted(digests):
        whole.update(path.relative_to(own.parent).as_posix().encode() + b"\0" + digests[path])
    return whole.hexdigest()


def stamp_of(files: Iterable[Path]) -> Stamp:
    """Return what changes when one of the files does."""
    return tuple(_stamp(path) for path in files)


def _stamp(path: Path) -> tuple[str, int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (str(path), 0, 0, 0)
    return (str(path), found.st_mtime_ns, found.st_size, found.st_ino)


class _Reader:
    """Reads the imports of files in a folder."""

    def __init__(self, folder: Path, package: Words) -> None:
        self._folder = folder
        self._package = package

    def imported(self, words: Words, path: Path, text: bytes) -> Iterator[tuple[Words, Path]]:
        """Name the files of the folder that one of them imports."""
        inside = words if path.name == "__init__.py" else words[:-1]
        for wanted in _wanted(text, inside, self._package):
            for end in range(len(wanted) + 1):
                yield from self._file(wanted[:end])

    def _file(self, words: Words) -> Iterator[tuple[Words, Path]]:
        place = self._folder.joinpath(*words)
        package = place / "__init__.py"
        if (words or self._package) and package.is_file():
            yield words, package  # Python takes it before a module of the same name
        elif words and place.with_name(f"{place.name}.py").is_file():
            yield words, place.with_name(f"{place.name}.py")


def _wanted(text: bytes, inside: Words, package: Words) -> Iterator[Words]:
    """Name what a file imports, seen from the folder; what has another beginning is left out."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return  # it says so itself when it is imported
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                found = [tuple(each.name.split(".")) for each in names]
            case ast.ImportFrom(module, names, 0 | None):
                found = _members(tuple((module or "").split(".")), names)
            case ast.ImportFrom(module, names, int(level)):
                above = len(inside) - (level - 1)
                if above >= 0:
                    base = inside[:above] + tuple((module or "").split(".") if module else ())
                    yield from _members(base, names)
                continue
            case _:
                continue
        for words in found:
            if words[: len(package)] == package:
                yield words[len(package) :]


def _members(base: Words, names: Iterable[ast.alias]) -> list[Words]:
    """What is imported from a module may be a module."""
    return [base, *((*base, each.name) for each in names)]


# Modules that are there already


def forget(found: Sources) -> None:
    """Let what a flow imports from its folder be imported anew, as the files are now.

    What was imported from other places under the same names stays, unless it was for a flow.
    """
    files = {str(path) for path in found.files}
    for name in found.names:
        module = sys.modules.get(name)
        if module is not None and (_OURS in vars(module) or _file_of(module) in files):
            del sys.modules[name]
    for path in found.files:
        # Compiled code is told from other code by size and second: not closely enough. There may
        # be none (OSError), or this Python keeps none (NotImplementedError): both are well; and
        # one that cannot be removed is not taken, unless size and second are the same.
        with contextlib.suppress(OSError, NotImplementedError):
            Path(importlib.util.cache_from_source(str(path))).unlink()


def claim(found: Sources) -> None:
    """Mark what a flow has imported from its folder, for the next one that imports such names."""
    folder = found.own.parent
    for name in found.names:
        module = sys.modules.get(name)
        if module is not None and _lies_in(module, folder):
            module.__dict__[_OURS] = True


def _lies_in(module: ModuleType, folder: Path) -> bool:
    file = _file_of(module)
    places = [file] if file is not None else [str(each) for each in getattr(module, "__path__", ())]
    return any(Path(place).is_relative_to(folder) for place in places)


def _file_of(module: ModuleType) -> str | None:
    file: object = getattr(module, "__file__", None)
    return file if isinstance(file, str) else None
