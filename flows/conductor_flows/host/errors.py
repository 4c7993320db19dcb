"""What a host refuses, and what goes wrong in one.

Promise: whoever is refused can tell what to change. Refusal: no payload in a text.
"""

from __future__ import annotations

from collections.abc import Mapping

from conductor_flows.execute.errors import FlowError
from conductor_sdk.errors import ConductorError, Exit


class AnswerRefused(FlowError):
    """What the flow gave does not fit the port that gave it."""

    code = "FLOW_ANSWER_REFUSED"
    default_hint = "look at what the node returns"


class LoadRefused(ConductorError):
    """The flow cannot be loaded."""

    code = "FLOW_LOAD_REFUSED"
    default_hint = "name it like this: module:flow, or path/to/file.py:flow"
    exit_code = Exit.USAGE


class FlowNotFound(LoadRefused):
    """There is no such flow."""

    code = "FLOW_NOT_FOUND"
    exit_code = Exit.NOT_FOUND


class FlowAmbiguous(LoadRefused):
    """The module has several flows."""

    code = "FLOW_AMBIGUOUS"
    default_hint = "name one of them after a colon"


class LoadFailed(LoadRefused):
    """The module failed while it was loaded."""

    code = "FLOW_LOAD_FAILED"
    default_hint = "look at the line that it names"
    exit_code = Exit.FAILURE


class HttpRefusal(FlowError):
    """The request cannot be served."""

    code = "FLOW_REQUEST_REFUSED"
    default_hint = "look at what the route takes: GET /openapi.json"

    def __init__(
        self, status: int, detail: str, *, retry_after_s: int | None = None,
        data: Mapping[str, object] | None = None,
    ) -> None:  # fmt: skip
        """Say why.

        Args:
            status: Of the answer.
            detail: For people.
            retry_after_s: When to ask again.
            data: For programs.
        """
        super().__init__(detail, data=data)
        self.status = status
        self.retry_after_s = retry_after_s

    @property
    def message(self) -> str:
        """What is wrong, without the class's sentence."""
        return self.detail


class RouteRefused(FlowError):
    """A route cannot be served."""

    code = "FLOW_ROUTE_REFUSED"
    default_hint = "look at the flow's entrypoints"
    exit_code = Exit.USAGE


class RoutesClash(RouteRefused):
    """Two routes have the same method and path."""

    code = "DAG103"
    default_hint = "give each entrypoint a path of its own"


class Draining(HttpRefusal):
    """The host is stopping."""

    code = "FLOW_HOST_DRAINING"
    default_hint = "ask again after the seconds of Retry-After"

    def __init__(self) -> None:
        super().__init__(503, "The host is stopping", retry_after_s=1)


class Overloaded(HttpRefusal):
    """As many runs are under way, and wait, as the route allows."""

    code = "FLOW_ROUTE_OVERLOADED"
    default_hint = "ask again after the seconds of Retry-After"

    def __init__(self, retry_after_s: int) -> None:
        text = "As many runs are under way, and wait, as the route allows"
        super().__init__(503, text, retry_after_s=retry_after_s)


class WaitOver(HttpRefusal):
    """The run has ended, or has been taken on, without this answer."""

    code = "FLOW_WAIT_OVER"
    default_hint = "see what waits: flows resume list"

    def __init__(self) -> None:
        super().__init__(410, "The run has ended, or has been taken on, without this answer")


class AddressRefused(ConductorError):
    """The address cannot be served on."""

    code = "FLOW_ADDRESS_REFUSED"
    default_hint = "name another, as 127.0.0.1:8081, or 127.0.0.1:0 for one that is free"
    exit_code = Exit.UNAVAILABLE
