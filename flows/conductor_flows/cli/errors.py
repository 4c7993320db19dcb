"""What can go wrong between a person and a flow.

Promise: every refusal says what to type next. Refusal: nothing is printed here.
"""

from __future__ import annotations

from conductor_sdk.errors import ConductorError, Exit


class PayloadUnreadable(ConductorError):
    """The payload cannot be read."""

    code = "FLOW_PAYLOAD_UNREADABLE"
    default_hint = "give JSON, for example: --payload '{\"value\": 1}'"
    exit_code = Exit.USAGE


class StreamUnasked(ConductorError):
    """The flow answers with a stream."""

    code = "FLOW_STREAMS"
    default_hint = "add --stream"
    exit_code = Exit.USAGE


class CheckpointAmbiguous(ConductorError):
    """More than one checkpoint has this id, or begins with it."""

    code = "FLOW_CHECKPOINT_AMBIGUOUS"
    default_hint = "say which: --flow ID or --run ID"
    exit_code = Exit.USAGE


class StoreMissing(ConductorError):
    """There are no checkpoints at this place."""

    code = "FLOW_STORE_MISSING"
    default_hint = "name the folder or the SQLite file: --checkpoint-dir PATH"
    exit_code = Exit.NOT_FOUND


class StoreRefused(ConductorError):
    """Checkpoints cannot be kept at this place."""

    code = "FLOW_STORE_REFUSED"
    default_hint = "name another folder or SQLite file: --checkpoint-dir PATH"


class CodeUnknown(ConductorError):
    """There is no such code."""

    code = "FLOW_CODE_UNKNOWN"
    default_hint = "see all of them: flows codes"
    exit_code = Exit.NOT_FOUND


class FlowNameRefused(ConductorError):
    """The name cannot be a flow's."""

    code = "FLOW_NAME_REFUSED"
    default_hint = "use lower-case words joined by underscores, for example: nightly_report"
    exit_code = Exit.USAGE


class FolderOccupied(ConductorError):
    """The folder is not empty."""

    code = "FLOW_FOLDER_OCCUPIED"
    default_hint = "choose another place: flows new NAME --directory DIR"
