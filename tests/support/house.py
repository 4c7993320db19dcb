"""The code base as data, for the tests that hold it to its rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAYERS = (
    "sdk", "terminal", "protocol", "state", "adapters", "handlers", "conductor", "sidecar", "packs",
    "flows",
)  # fmt: skip


def sources() -> list[Path]:
    """Return every module of the product, templates left out."""
    return sorted(
        path
        for layer in LAYERS
        for path in (ROOT / layer).rglob("*.py")
        if "templates" not in path.parts
    )


@cache
def functions(path: Path) -> tuple[tuple[str, int], ...]:
    """Return (place, number of lines) of every function in a module; parsed once."""
    return tuple(_functions(path))


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", length
