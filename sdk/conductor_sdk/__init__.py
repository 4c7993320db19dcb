"""Everything that a pack may import, one import away.

Promise: `from conductor_sdk import X` loads only the module that holds X, so importing this package
costs nothing. Refusal: no name is defined here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conductor_sdk.client import Sidecar as Sidecar
    from conductor_sdk.client import connect as connect
    from conductor_sdk.clock import Clock as Clock
    from conductor_sdk.clock import ManualClock as ManualClock
    from conductor_sdk.clock import SystemClock as SystemClock
    from conductor_sdk.context import PackContext as PackContext
    from conductor_sdk.context import PushReceipt as PushReceipt
    from conductor_sdk.context import StoragePort as StoragePort
    from conductor_sdk.context import SyncPort as SyncPort
    from conductor_sdk.errors import ConductorError as ConductorError
    from conductor_sdk.errors import EventRefused as EventRefused
    from conductor_sdk.event import KernelEvent as KernelEvent
    from conductor_sdk.event_builder import build_kernel_event_v2 as build_kernel_event_v2
    from conductor_sdk.handler import Handled as Handled
    from conductor_sdk.handler import Handler as Handler
    from conductor_sdk.handler import Ignored as Ignored
    from conductor_sdk.handler import Outcome as Outcome
    from conductor_sdk.handler import Reject as Reject
    from conductor_sdk.handler import Replayed as Replayed
    from conductor_sdk.handler import Retry as Retry
    from conductor_sdk.handler import Subscription as Subscription
    from conductor_sdk.manifest import PackManifest as PackManifest
    from conductor_sdk.pack import Pack as Pack
    from conductor_sdk.replay import PackReplayLog as PackReplayLog
    from conductor_sdk.replay import idempotent as idempotent

_HOME = {
    "client": ("Sidecar", "connect"),
    "clock": ("Clock", "ManualClock", "SystemClock"),
    "context": ("PackContext", "PushReceipt", "StoragePort", "SyncPort"),
    "errors": ("ConductorError", "EventRefused"),
    "event": ("KernelEvent",),
    "event_builder": ("build_kernel_event_v2",),
    "handler": (
        "Handled", "Handler", "Ignored", "Outcome", "Reject", "Replayed", "Retry", "Subscription",
    ),
    "manifest": ("PackManifest",),
    "pack": ("Pack",),
    "replay": ("PackReplayLog", "idempotent"),
}  # fmt: skip

__all__ = [
    "Clock",
    "ConductorError",
    "EventRefused",
    "Handled",
    "Handler",
    "Ignored",
    "KernelEvent",
    "ManualClock",
    "Outcome",
    "Pack",
    "PackContext",
    "PackManifest",
    "PackReplayLog",
    "PushReceipt",
    "Reject",
    "Replayed",
    "Retry",
    "Sidecar",
    "StoragePort",
    "Subscription",
    "SyncPort",
    "SystemClock",
    "build_kernel_event_v2",
    "connect",
    "idempotent",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            value = getattr(importlib.import_module(f"conductor_sdk.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'conductor_sdk' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
