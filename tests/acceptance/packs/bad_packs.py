"""One pack for each reason to refuse one."""

from __future__ import annotations

from typing import Any

from conductor_sdk import Handled, KernelEvent, Outcome, Pack, PackContext, PackManifest

RECOVERY = "conductor:recovery_requested"


async def handler(event: KernelEvent, ctx: PackContext) -> Outcome:
    return Handled()


def made(pack_id: str, handlers: Any = None, **fields: Any) -> Pack:
    return Pack(PackManifest(id=pack_id, version="1.0.0", **fields), handlers=handlers or {})


def broken(_: PackContext) -> Any:
    raise RuntimeError("no context today")


async def leaves(_: PackContext) -> None:
    raise SystemExit(3)


mismatch = made(
    "mismatch", emitted_event_kinds=("other:thing",), backpressure_policy={"other:thing": "queue"}
)
unpressed = made("unpressed", emitted_event_kinds=("unpressed:thing",))
deaf = made("deaf", subscribed_event_kinds=(RECOVERY,))
surface = made("surface", surfaces_required=("fax",))
approval = made("approval", required_approvals=("nobody:send",))
reserved = made("conductor")
double = made("acme-demo")
shape = Pack(manifest={"id": "shape"})  # type: ignore[arg-type]
contextless = Pack(
    PackManifest(id="contextless", version="1.0.0", subscribed_event_kinds=(RECOVERY,)),
    handlers={RECOVERY: handler},
    context=broken,
)
leaving = Pack(PackManifest(id="leaving", version="1.0.0"), background=leaves)
