"""Where a work order goes, and when a failed one is tried again.

Promise: a strict target is obeyed or the order is refused; nothing falls through to a default that
its sender excluded. Refusal: no storage, no clock, no randomness.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from conductor_packs.plan.errors import OrderRefused
from conductor_packs.plan.gateway.orders import Order
from conductor_packs.plan.routes import Routes

Rule = Literal["strict_target", "routing_hint", "default_target"]


def route(order: Order, routes: Routes) -> tuple[str, Rule]:
    """Return an order's target and the rule that chose it.

    Raises:
        OrderRefused: Its strict target takes no orders, or nothing says where it goes.
    """
    names = {target.lower(): target for target in routes.targets}
    if order.strict_target:
        target = names.get(order.strict_target.lower())
        if target is None:
            raise OrderRefused(f"strict_target {order.strict_target!r} takes no orders")
        return target, "strict_target"
    hinted = routes.hints.get(order.routing_hint.lower())
    if hinted is not None:
        return hinted, "routing_hint"
    if routes.default_target is None:
        raise OrderRefused(f"hint {order.routing_hint!r} leads nowhere, and there is no default")
    return routes.default_target, "default_target"


def backoff(wo_id: str, attempt: int, routes: Routes) -> int:
    """Return the seconds until the next attempt: doubled each time, bounded, spread by a quarter.

    The same order and attempt give the same delay; orders that failed together come back apart.
    """
    full = min(routes.backoff_max_s, routes.backoff_s << min(attempt - 1, 30))
    spread = hashlib.sha256(f"{wo_id}\0{attempt}".encode()).digest()[0] / 255
    return max(1, round(full * (0.75 + 0.25 * spread)))
