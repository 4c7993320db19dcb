"""The kinds of events and the types of journal entries of the pack.

Promise: each name stands here once. Refusal: no payload is built here.
"""

from __future__ import annotations

from typing import Final

RUN: Final = "flows:run"
SIGNAL: Final = "flows:signal"
APPROVE: Final = "flows:approve"
RETRY: Final = "flows:retry"

COMPLETED: Final = "flows:run_completed"
FAILED: Final = "flows:run_failed"
HALTED: Final = "flows:run_halted"

STARTED_ENTRY: Final = "FLOW_RUN_STARTED"
RESUMED_ENTRY: Final = "FLOW_RUN_RESUMED"
COMPLETED_ENTRY: Final = "FLOW_RUN_COMPLETED"
FAILED_ENTRY: Final = "FLOW_RUN_FAILED"
HALTED_ENTRY: Final = "FLOW_RUN_HALTED"
ANSWERED_ENTRY: Final = "FLOW_RUN_ANSWERED"
RETRIED_ENTRY: Final = "FLOW_RUN_RETRIED"
REFUSED_ENTRY: Final = "FLOW_RUN_REFUSED"
