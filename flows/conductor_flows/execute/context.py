"""What a node's function may know and use.

Promise: only capabilities that the node declared are handed out. Refusal: no way to other nodes,
to the scheduler, or to the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conductor_flows.execute.errors import CapabilityUndeclared


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What belongs to a run rather than to one node."""

    run_id: str
    flow_id: str
    flow: str
    """Its name."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """`lf.run_id`, `http.method` and the like."""
    extensions: Mapping[str, Any] = field(default_factory=dict[str, Any])


class NodeContext:
    """Handed to functions that take a second argument. Valid during the call."""

    __slots__ = ("_capabilities", "_hints", "_key", "_make_key", "alias", "attempt", "run")

    def __init__(
        self, alias: str, run: RunInfo, attempt: int, make_key: Callable[[], str],
        capabilities: Mapping[str, Any], hints: frozenset[str],
    ) -> None:  # fmt: skip
        self.alias = alias
        self.run = run
        self.attempt = attempt
        """From 1."""
        self._make_key = make_key
        self._key: str | None = None
        self._capabilities = capabilities
        self._hints = hints

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt at the same input, also after a crash.

        Raises:
            KeyCollision: IDEM099: the run has used it for another input; the run ends.
        """
        if self._key is None:
            self._key = self._make_key()
        return self._key

    def use(self, hint: str) -> Any:
        """Return the provider of a capability.

        Args:
            hint: As the node declared it, for example `resource::kv::read`.

        Raises:
            CapabilityUndeclared: CAP110: the node did not declare it.
        """
        if hint not in self._hints or hint not in self._capabilities:
            raise CapabilityUndeclared(f"{self.alias}: {hint}", data={"hint": hint})
        return self._capabilities[hint]
