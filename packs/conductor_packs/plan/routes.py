"""How a workspace routes its work orders.

Promise: every route leads to a target that takes orders. Refusal: no order is looked at here.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

_Count = Annotated[int, Meta(ge=1, le=1000)]
_Seconds = Annotated[int, Meta(ge=1, le=604_800)]


class Routes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The section `gateway` of the pack's configuration."""

    targets: tuple[str, ...] = ("main",)
    """Who takes orders at all."""
    default_target: str | None = "main"
    """None: an order that names no target is refused."""
    hints: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    """From a hint, in lower case, to a target."""
    inbox: str = ".lumenflow/gateway/inbox"
    """Where files arrive, relative to the workspace; without the directory none do."""
    max_attempts: _Count = 5
    backoff_s: _Seconds = 5
    """Before the second attempt; doubled for each further one."""
    backoff_max_s: _Seconds = 900
    lease_s: _Seconds = 900
    """How long a holder may be silent."""

    def __post_init__(self) -> None:
        """Refuse a route that leads nowhere.

        Raises:
            ValueError: msgspec turns it into its own error, with the place.
        """
        chosen = {*self.hints.values(), *([self.default_target] if self.default_target else [])}
        unknown = sorted(chosen - {*self.targets})
        if unknown:
            raise ValueError(f"no such target: {', '.join(unknown)}")
