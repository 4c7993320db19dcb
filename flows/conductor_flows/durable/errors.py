"""What can go wrong with checkpoints.

Promise: the codes of the diagnostics registry. Refusal: no payload in a text.
"""

from __future__ import annotations

from conductor_flows.execute.errors import FlowError
from conductor_sdk.errors import Exit


class CheckpointNotFound(FlowError):
    """There is no such checkpoint."""

    code = "DAG-CKPT-006"
    default_hint = "see what is there: flows resume list"
    exit_code = Exit.NOT_FOUND


class LeaseConflict(FlowError):
    """Somebody else is working on the checkpoint."""

    code = "DAG-CKPT-007"
    default_hint = "wait until its lease has run out: flows resume show ID"
    retryable = True
    exit_code = Exit.BUSY


class LeaseLost(LeaseConflict):
    """The lease on the checkpoint has run out or was taken over; the run stops."""


class StateCorrupted(FlowError):
    """The checkpoint cannot be read."""

    code = "DAG-CKPT-008"
    default_hint = "run the flow anew"
    exit_code = Exit.INTEGRITY


class VersionIncompatible(FlowError):
    """The checkpoint is of another flow, of another version of it, or of another build."""

    code = "DAG-CKPT-009"
    default_hint = "resume it with the version that wrote it: flows resume show ID tells it"
    exit_code = Exit.FAILURE


class StillWaiting(FlowError):
    """The run waits for something that has not come."""

    code = "FLOW_STILL_WAITING"
    default_hint = "see what it waits for: flows resume show ID"
    retryable = True
    exit_code = Exit.BUSY


class NothingWaits(FlowError):
    """The run waits for no answer: whatever it asked for was answered."""

    code = "FLOW_NOTHING_WAITS"
    default_hint = "let it go on without an answer: flows resume run ID SPEC"
    exit_code = Exit.USAGE


class ResumeExhausted(FlowError):
    """The run was resumed as often as its flow allows, and came no further."""

    code = "FLOW_RESUME_EXHAUSTED"
    default_hint = "see what became of it: flows resume show ID"


class ScheduleNotFound(FlowError):
    """There is no such schedule."""

    code = "FLOW_SCHEDULE_NOT_FOUND"
    default_hint = "see what waits: flows resume list"
    exit_code = Exit.NOT_FOUND


class DelayInvalid(FlowError):
    """A delay is not a number of seconds from 0 on."""

    code = "FLOW_DELAY_INVALID"
    default_hint = "give a number of seconds, 0 or more"
    exit_code = Exit.USAGE


class TokenUnknown(FlowError):
    """The token is unknown, has run out or was revoked."""

    code = "FLOW_TOKEN_UNKNOWN"
    default_hint = "see what waits: flows resume list"
    exit_code = Exit.TOKEN_REFUSED


class TokenUsed(FlowError):
    """The token was used already."""

    code = "FLOW_TOKEN_USED"
    default_hint = "see what waits: flows resume list"
    exit_code = Exit.TOKEN_REFUSED
