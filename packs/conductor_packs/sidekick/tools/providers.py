"""How `channel:send` and `channel:receive` speak to a provider.

Promise: the order of checks is workspace, provider, dry run; what a provider answers is handed on
under its own names, a failure too. Refusal: nothing is kept as a message of the workspace, and no
content enters the audit trail.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conductor_packs.sidekick import codes
from conductor_packs.sidekick.channels.port import (
    ReceiveReply,
    ReceiveRequest,
    SendReply,
    SendRequest,
    Transport,
    provider_key,
)
from conductor_packs.sidekick.inputs.channels import ChannelReceive, ChannelSend
from conductor_packs.sidekick.tools.desk import Answer, Desk, Refused, invalid


async def send_to(given: ChannelSend, channel: str, desk: Desk) -> Answer:
    """Hand a message to a provider through the outbox."""
    provider = given.provider or ""
    workspace, _transport = _reached(provider, desk)
    about = {"provider": provider, "capability": "send", "channel": channel}
    if desk.dry_run:
        return desk.answer(**about)
    request = SendRequest(
        workspace_id=workspace, provider=provider_key(provider), channel=channel,
        content=given.content, metadata=given.metadata,
    )  # fmt: skip
    reply, delivery = await desk.pack.outbox().submit(request, actor=desk.ctx.call.actor)
    about["delivery_id"] = delivery.id
    if not reply.success:
        about["delivery_state"] = delivery.state
        raise _failed(codes.PROVIDER_SEND_FAILED, about, reply)
    return desk.answer(
        **about, externalMessageId=reply.external_message_id, metadata=_free(reply.metadata)
    )


async def receive_from(given: ChannelReceive, channel: str, desk: Desk) -> Answer:
    """Ask a provider what came in."""
    provider = given.provider or ""
    if given.since is not None:
        raise invalid(("/since", "is only for channels of the workspace; give a cursor"))
    workspace, transport = _reached(provider, desk)
    about = {"provider": provider, "capability": "read", "channel": channel}
    request = ReceiveRequest(
        workspace_id=workspace, provider=provider_key(provider), channel=channel,
        cursor=given.cursor or None, limit=given.limit, metadata=given.metadata,
    )  # fmt: skip
    try:
        reply = await transport.receive(request)
    except Exception as error:  # noqa: BLE001  foreign code: a transport may raise anything
        reply = ReceiveReply(success=False, error=type(error).__name__)
    if await desk.read(lambda view: view.used()):
        outcome = "received" if reply.success else "failed"
        await desk.leave_trace("read", details={"provider": provider, "outcome": outcome})
    if not reply.success:
        raise _failed(codes.PROVIDER_RECEIVE_FAILED, about, reply)
    records = None if reply.records is None else [dict(record) for record in reply.records]
    return desk.answer(
        **about, records=records, nextCursor=reply.next_cursor, metadata=_free(reply.metadata)
    )


def _reached(provider: str, desk: Desk) -> tuple[str, Transport]:
    """Return on whose behalf, and the transport."""
    workspace = desk.ctx.subject.strip()
    if not workspace:
        raise Refused(
            codes.WORKSPACE_CONTEXT_REQUIRED,
            f"{provider} needs an enrolled workspace; see: conductor enroll",
        )
    transport = desk.pack.transports().find(provider_key(provider))
    if transport is None:
        raise Refused(
            codes.PROVIDER_NOT_REGISTERED,
            f"there is no provider {provider}",
            details={"provider": provider},
        )
    return workspace, transport


def _failed(code: str, about: Mapping[str, Any], reply: SendReply | ReceiveReply) -> Refused:
    more = {
        "failureClass": reply.failure_class,
        "retryAfterSeconds": reply.retry_after_seconds,
        "metadata": _free(reply.metadata),
    }
    known = {key: value for key, value in more.items() if value is not None}
    message = reply.error or f"{about['provider']} refused"
    return Refused(code, message, data={**about, **known})


def _free(metadata: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if metadata is None else dict(metadata)
