"""What the pack refuses, and how a run can fail beside what its flow does.

Promise: every refusal has a stable code and says what to do next. Refusal: no payload and no token
in a text.
"""

from __future__ import annotations

from conductor_sdk.errors import ConductorError, Exit


class FlowsError(ConductorError):
    """The pack of flows refused."""

    code = "FLOWS_REFUSED"
    default_hint = "look at it: conductor tools call flows:status"


class SettingsInvalid(FlowsError):
    """The section pack.flows of the configuration cannot be used."""

    code = "FLOWS_SETTINGS_INVALID"
    default_hint = "see: docs/how-to/flows-in-the-sidecar.md"
    exit_code = Exit.BAD_CONFIG


class PathRefused(SettingsInvalid):
    """A path of the configuration leads out of the workspace, or to what is not for flows."""

    code = "FLOWS_PATH_REFUSED"
    default_hint = "name a file below the workspace, outside of .lumenflow"


class FlowUnknown(FlowsError):
    """The configuration names no such flow."""

    code = "FLOWS_FLOW_UNKNOWN"
    exit_code = Exit.NOT_FOUND


class FlowBroken(FlowsError):
    """The flow cannot be loaded."""

    code = "FLOWS_FLOW_BROKEN"


class FlowChanged(FlowsError):
    """The flow is not the one that the run began with."""

    code = "FLOWS_FLOW_CHANGED"
    default_hint = "put the flow back as it was, or run it anew"


class EntrypointUnknown(FlowsError):
    """The flow has no such entrypoint."""

    code = "FLOWS_ENTRYPOINT_UNKNOWN"
    default_hint = "look at it: conductor tools call flows:describe"
    exit_code = Exit.NOT_FOUND


class KeyConflict(FlowsError):
    """The idempotency key was used for another request."""

    code = "FLOWS_KEY_CONFLICT"
    default_hint = "use another key"


class RunUnknown(FlowsError):
    """There is no such run."""

    code = "FLOWS_RUN_UNKNOWN"
    exit_code = Exit.NOT_FOUND


class NotFailed(FlowsError):
    """Only a run that failed is tried again."""

    code = "FLOWS_NOT_FAILED"
    default_hint = "look at it: conductor tools call flows:show"


class NoCheckpoint(FlowsError):
    """The run left no checkpoint to go on from."""

    code = "FLOWS_NO_CHECKPOINT"
    default_hint = "run it anew, with another key; a flow with durability strong leaves one"


class NotWaiting(FlowsError):
    """Nothing waits for this answer."""

    code = "FLOWS_NOT_WAITING"


class AnswerMisplaced(FlowsError):
    """The run waits for something else than a decision."""

    code = "FLOWS_ANSWER_MISPLACED"
    default_hint = "answer it with flows:signal"
    exit_code = Exit.USAGE


class EffectsDenied(FlowsError):
    """The flow changes something, and this tool runs only flows that do not."""

    code = "FLOWS_EFFECTS_DENIED"
    default_hint = "call it: conductor tools call flows:run"


class ResultTooLarge(FlowsError):
    """The flow's answer is too large, too deep or has too many keys for an event."""

    code = "FLOWS_RESULT_TOO_LARGE"
    default_hint = "let the flow give a reference, or raise pack.flows.result_max_bytes"


class HaltUnkept(FlowsError):
    """The run halted, and its flow keeps no checkpoint to go on from."""

    code = "FLOWS_HALT_UNKEPT"
    default_hint = "give the flow the durability partial or strong"


class RunAbandoned(FlowsError):
    """The sidecar died during the run as often as it is tried."""

    code = "FLOWS_RUN_ABANDONED"
    default_hint = "look for what ends the process: conductor doctor"


class RunFailed(FlowsError):
    """The run failed in a way that nobody thought of."""

    code = "FLOWS_RUN_FAILED"
    default_hint = "look at the daemon's log"
