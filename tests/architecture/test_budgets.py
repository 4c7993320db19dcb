from __future__ import annotations

import ast

from house import ROOT, functions, sources

FILE_LINES, FUNCTION_LINES, SHORT_LINES, SHORT_SHARE = 300, 40, 30, 0.95
FORBIDDEN_NAMES = {"utils", "util", "helpers", "common", "base", "manager", "misc", "helper"}


def test_no_file_is_longer_than_its_budget() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sources()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > FILE_LINES
    }

    assert long == {}


def test_no_function_is_longer_than_its_budget() -> None:
    long = {at: n for path in sources() for at, n in functions(path) if n > FUNCTION_LINES}

    assert long == {}


def test_nearly_all_functions_are_short() -> None:
    lengths = [length for path in sources() for _, length in functions(path)]

    assert sum(length <= SHORT_LINES for length in lengths) / len(lengths) >= SHORT_SHARE


def test_every_module_says_what_it_promises_and_refuses() -> None:
    silent = []
    for path in sources():
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        wordy = path.name in {"__init__.py", "__main__.py"}
        if not text or (not wordy and not ("Promise" in text and "Refusal" in text)):
            silent.append(str(path.relative_to(ROOT)))

    # A module of nothing but errors needs no more than its sentence.
    assert [name for name in silent if "errors" not in name.rsplit("/", 1)[-1]] == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [str(path) for path in sources() if path.stem in FORBIDDEN_NAMES] == []
