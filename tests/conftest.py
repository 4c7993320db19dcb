"""What holds for every test."""

from __future__ import annotations

from leak_net import leak_net, pytest_runtest_makereport

__all__ = ["leak_net", "pytest_runtest_makereport"]
