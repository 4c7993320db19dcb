"""What can be wrong with a document before any rule looks at it."""

from __future__ import annotations

from conductor_sdk.errors import ConductorError, Exit


class DocumentInvalid(ConductorError):
    """This is not a Flow IR document."""

    code = "FLOW_DOCUMENT_INVALID"
    default_hint = "compare it with one that is right: flows graph show SPEC --format json"
    exit_code = Exit.USAGE

    def __init__(self, detail: str, *, location: str = "") -> None:
        """Say what is wrong and where.

        Args:
            detail: What is wrong.
            location: A JSON Pointer to the place; "" is the whole document.
        """
        super().__init__(f"{location}: {detail}" if location else detail)
        self.location = location


class NotExpressible(ConductorError):
    """The rich dialect has no place for something in this flow."""

    code = "FLOW_NOT_EXPRESSIBLE"
    default_hint = "write the small form instead"
    exit_code = Exit.USAGE
