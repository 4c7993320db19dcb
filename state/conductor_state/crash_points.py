"""The named points at which a fault suite may kill the process.

Promise: every name that a store of `sidecar.db` passes to `Database.crash_point` from the inbound
side is listed here. Refusal: nothing happens here.
"""

from __future__ import annotations

BEFORE_COMMIT = "database.before_commit"
AFTER_COMMIT = "database.after_commit"
AFTER_INSERT = "replay_log.after_insert"
AFTER_SEAL = "replay_log.after_seal"
AFTER_CLAIM = "replay_log.after_claim"
AFTER_RELEASE = "replay_log.after_release"
AFTER_BURY = "replay_log.after_bury"
AFTER_SETTLE = "replay_log.after_settle"
AFTER_REAP = "replay_log.after_reap"
AFTER_PRUNE = "replay_log.after_prune"
AFTER_REDRIVE = "dead_letters.after_redrive"
AFTER_DROP = "dead_letters.after_drop"

INBOUND = (
    BEFORE_COMMIT,
    AFTER_COMMIT,
    AFTER_INSERT,
    AFTER_SEAL,
    AFTER_CLAIM,
    AFTER_RELEASE,
    AFTER_BURY,
    AFTER_SETTLE,
    AFTER_REAP,
    AFTER_PRUNE,
    AFTER_REDRIVE,
    AFTER_DROP,
)
