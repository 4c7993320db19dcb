"""The daemon's own pack: decisions about approvals that the conductor sends.

Promise: a decision is taken once, whatever the link repeats, and the journal says who took it.
Refusal: a request that is not known here or was decided otherwise is left as it is.
"""

from __future__ import annotations

from typing import Annotated, cast

import msgspec

from conductor_sdk.errors import ConductorError
from conductor_sdk.event import KernelEvent
from conductor_sdk.handler import Handled, Ignored, Outcome, Replayed, Subscription
from conductor_sdk.manifest import PackManifest
from conductor_sdk.pack import Pack
from conductor_sidecar import __version__
from conductor_sidecar.approvals import ApprovalDesk
from conductor_state.errors import ApprovalDecided, ApprovalNotFound

SLUG = "approvals"
KIND = "conductor:approval_resolved"
CONDUCTOR = "conductor"
"""Who signs the journal's entry; who decided stands in it."""
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class Resolved(msgspec.Struct, frozen=True):
    """Payload of `conductor:approval_resolved`."""

    request_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    approved: bool
    by: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    reason: _Text | None = None


def approval_pack(desk: ApprovalDesk | None) -> Pack:
    """Return the pack.

    Args:
        desk: Who decides; None where packs are only listed.
    """

    async def on_resolved(event: KernelEvent, _: object) -> Outcome:
        if desk is None:
            return Ignored("nobody decides here")
        return await resolve(desk, cast("Resolved", event.payload))

    manifest = PackManifest(
        id=SLUG, slug=SLUG, version=__version__.split("+", 1)[0],
        subscribed_event_kinds=(KIND,), surfaces_required=(),
    )  # fmt: skip
    return Pack(
        manifest=manifest,
        handlers={KIND: Subscription(on_resolved, payload=Resolved)},
        samples={KIND: [{"request_id": "apr-1", "approved": True, "by": "ann"}]},
    )


async def resolve(desk: ApprovalDesk, resolved: Resolved) -> Outcome:
    """Take the conductor's decision; the same one again changes nothing."""
    try:
        await desk.decide(
            resolved.request_id, granted=resolved.approved, by=resolved.by,
            reason=resolved.reason, actor=CONDUCTOR,
        )  # fmt: skip
    except ApprovalNotFound:
        return Ignored("no such request here")
    except ApprovalDecided:
        return await _earlier(desk, resolved)
    return Handled("granted" if resolved.approved else "denied")


async def _earlier(desk: ApprovalDesk, resolved: Resolved) -> Outcome:
    """Tell a repetition of the same decision from one that came too late."""
    try:
        found = await desk.show(resolved.request_id)
    except ConductorError:
        return Ignored("no such request here any more")
    granted = found.state in {"granted", "used"}
    same = granted == resolved.approved and found.decided_by == resolved.by
    if same and found.decided_at_ms is not None:
        return Replayed(found.state)
    return Ignored(f"it was {found.state} before")
