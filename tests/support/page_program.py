"""A page's Python blocks as one program, whose lines say after `#` what they give.

`await flow.run({"size": 3})  # 6` at the beginning of a line gives 6, as JSON; any expression may
stand there, but for the calls that build a flow, whose comments are for people. Names of one block
are known in the next. `writes=` blocks are files, and left out.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import types
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conductor_flows import Value
from doc_runner import Block, blocks

TOLD = re.compile(r"^(?!(?:from|import|flow\.\w+\(|\w+ = ))(\S.*)  # (.+)$", re.MULTILINE)
NAME = "page_program_of_a_page"


async def run_page(page: Path) -> int:
    """Run the blocks one after the other; returns how many lines were compared.

    Raises:
        AssertionError: A line gives something else than the page says.
    """
    told = 0
    with _module() as names:
        for block in blocks(page):
            if block.language == "python" and "writes" not in block.options:
                told += await _run(block, names)
    return told


@contextmanager
def _module() -> Generator[dict[str, Any]]:
    # Annotations are looked up in the module that a type says it is of.
    module = types.ModuleType(NAME)
    sys.modules[NAME] = module
    try:
        yield module.__dict__
    finally:
        del sys.modules[NAME]


async def _run(block: Block, names: dict[str, Any]) -> int:
    found: list[tuple[Any, str]] = []
    names["_told"] = lambda given, expected: found.append((given, expected))
    source = TOLD.sub(lambda line: f"_told({line[1]}, {line[2]!r})", block.body)
    code = compile(source, block.place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    waiting = eval(code, names)  # the page is ours
    if inspect.iscoroutine(waiting):
        await waiting
    for given, expected in found:
        value = given.value if isinstance(given, Value) else given
        if isinstance(value, tuple):
            value = list(value)
        assert json.loads(expected) == value, f"{block.place}: {value!r}, and not {expected}"
    return len(found)
