"""Drive a pack without a daemon, and hold it to the conformance suite.

Promise: the names below load on first use. Refusal: nothing here is imported by the daemon.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conductor_sdk.testing.conformance import check_conformance as check_conformance
    from conductor_sdk.testing.conformance import run_conformance as run_conformance
    from conductor_sdk.testing.harness import PackHarness as PackHarness
    from conductor_sdk.testing.journal import RecordingJournal as RecordingJournal
    from conductor_sdk.testing.ports import CapturedLog as CapturedLog
    from conductor_sdk.testing.ports import RecordingSyncPort as RecordingSyncPort
    from conductor_sdk.testing.report import ConformanceReport as ConformanceReport

_HOME = {
    "CapturedLog": "ports",
    "ConformanceReport": "report",
    "PackHarness": "harness",
    "RecordingJournal": "journal",
    "RecordingSyncPort": "ports",
    "check_conformance": "conformance",
    "run_conformance": "conformance",
}

__all__ = [
    "CapturedLog",
    "ConformanceReport",
    "PackHarness",
    "RecordingJournal",
    "RecordingSyncPort",
    "check_conformance",
    "run_conformance",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"conductor_sdk.testing.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'conductor_sdk.testing' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
