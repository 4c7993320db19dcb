"""A net under the whole suite: no credential of a conductor in an output or in a kept file.

Every credential that the embedded conductor issues begins with `csc_`, so that one that got out is
recognised whoever had it. Each worker looks through what its tests printed and through the files
that they left, and fails its last test if there is one.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

SHAPE = re.compile(rb"csc_([A-Za-z0-9_-]{43})")
DISTINCT = 12
"""Different characters at least: a test's own `aaaa…` is no credential."""
FILE_MAX = 64 * 1024 * 1024
EXEMPT = re.compile(r"enrollment.*\.json")
"""Files that hold a credential on purpose, their drafts and copies of them included."""
_printed: list[str] = []


def credentials_in(data: bytes) -> int:
    """How many credentials stand in some bytes."""
    if b"csc_" not in data:
        return 0
    return sum(len(set(found)) >= DISTINCT for found in SHAPE.findall(data))


def files_with(base: Path) -> Iterator[str]:
    """The files below that hold one and should not."""
    for path in sorted(base.rglob("*")):
        try:
            wanted = path.is_file() and not path.is_symlink() and path.stat().st_size <= FILE_MAX
            if wanted and not EXEMPT.search(path.name) and credentials_in(path.read_bytes()):
                yield str(path)
        except OSError:
            continue  # somebody else's, or gone meanwhile


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, pytest.TestReport]:
    """Look through what a test printed and logged."""
    report: pytest.TestReport = yield
    for name, text in report.sections:
        if credentials_in(text.encode("utf-8", "replace")):
            _printed.append(f"{item.nodeid}: {name}")
    return report


@pytest.fixture(scope="session", autouse=True)
def leak_net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail where a credential got out during the session."""
    yield
    assert [] == [*_printed, *files_with(tmp_path_factory.getbasetemp())]
