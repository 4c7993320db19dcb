"""An event on its way down, before it has an id.

Promise: it becomes a KernelEvent of the workspace, or a refusal. Refusal: nothing is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from conductor_sdk.clock import Clock
from conductor_sdk.event import KernelEvent
from conductor_sdk.event_builder import build_kernel_event_v2


class ToSend(msgspec.Struct, frozen=True):
    """An event on its way down, before it has an id."""

    kind: str
    payload: Mapping[str, Any]
    idempotency_key: str | None = None
    traceparent: str | None = None
    """W3C trace context of whoever sends it; one that is not well-formed is left out."""

    def build(self, workspace: str, clock: Clock) -> KernelEvent:
        """Return the event for a workspace.

        Raises:
            EventMalformed: The kind or the payload has the wrong shape.
        """
        fields = {
            "kind": self.kind, "from": workspace, "payload": self.payload,
            "traceparent": self.traceparent,
        }  # fmt: skip
        return build_kernel_event_v2(fields, idempotency_key=self.idempotency_key, clock=clock)
