"""What holds for every test."""

from __future__ import annotations

import pytest

import late_lines
from compiled import compile_product
from leak_net import leak_net, pytest_runtest_makereport
from quick_ticks import pytest_runtest_setup
from settled_heap import pytest_collection_finish, pytest_runtest_protocol

__all__ = [
    "leak_net",
    "pytest_collection_finish",
    "pytest_runtest_makereport",
    "pytest_runtest_protocol",
    "pytest_runtest_setup",
]


def pytest_configure(config: pytest.Config) -> None:
    """Prepare this process, and what it will start."""
    config.add_cleanup(late_lines.begin())
    if not hasattr(config, "workerinput"):  # one for all workers
        compile_product()
