"""The channel tools.

Promise: a message of the workspace is kept before it is answered, the last 100 of each channel; a
message to a provider goes through the outbox and is never kept as one of the workspace's. Refusal:
no provider is known here; a field that would have no effect is refused, not ignored.
"""

from __future__ import annotations

from typing import Any

import msgspec

from conductor_packs.sidekick import codes
from conductor_packs.sidekick.descriptors import (
    CHANNEL_CONFIGURE,
    CHANNEL_DELETE,
    CHANNEL_LIST,
    CHANNEL_RECEIVE,
    CHANNEL_SEND,
)
from conductor_packs.sidekick.inputs.channels import (
    ChannelConfigure,
    ChannelDelete,
    ChannelList,
    ChannelReceive,
    ChannelSend,
)
from conductor_packs.sidekick.records import (
    CHANNELS,
    MESSAGES,
    MESSAGES_KEPT,
    Channel,
    Message,
    as_json,
)
from conductor_packs.sidekick.tools.desk import Answer, Desk, Refused, invalid, runs
from conductor_packs.sidekick.tools.ledger import Ledger, Reader
from conductor_packs.sidekick.tools.providers import receive_from, send_to
from conductor_packs.sidekick.tools.task_views import moment_of

_DEFAULT = "default"
_SENDER = "assistant"


@runs(CHANNEL_CONFIGURE)
async def channel_configure(given: ChannelConfigure, desk: Desk) -> Answer:
    """Make a channel, or change the one of that name; the same again changes nothing."""

    def configure(ledger: Ledger) -> Channel:
        channel = _named(ledger, given.name)
        if channel is None:
            channel = _new(ledger, given.name, desk, given.type or "terminal")
            ledger.audit("create", ids=(channel.id,))
        elif given.type is not None and given.type != channel.type:
            channel = msgspec.structs.replace(channel, type=given.type, updated_at=desk.stamp)
            ledger.put(CHANNELS, channel)
            ledger.audit("update", ids=(channel.id,))
        return channel

    return desk.answer(channel=as_json(await desk.change(configure)))


@runs(CHANNEL_LIST)
async def channel_list(given: ChannelList, desk: Desk) -> Answer:
    """Return the channels with what they hold, last changed first."""
    channels, messages = await desk.read(
        lambda view: (view.records(CHANNELS), view.records(MESSAGES))
    )
    held: dict[str, list[str]] = {}
    for message in messages:
        held.setdefault(message.channel_id, []).append(message.created_at)
    wanted = [one for one in channels if given.type is None or one.type == given.type]
    wanted.sort(key=lambda channel: channel.updated_at, reverse=True)
    items = [_listed(channel, held.get(channel.id, [])) for channel in wanted[: given.limit]]
    return {"items": items, "count": len(items)}


@runs(CHANNEL_SEND)
async def channel_send(given: ChannelSend, desk: Desk) -> Answer:
    """Keep a message in a channel, or hand it to a provider."""
    if given.provider:
        return await send_to(given, given.channel or _DEFAULT, desk)

    def send(ledger: Ledger) -> Message:
        name = given.channel or _DEFAULT
        channel = _named(ledger, name)
        if channel is None:
            channel = _new(ledger, name, desk)
        else:
            ledger.put(CHANNELS, msgspec.structs.replace(channel, updated_at=desk.stamp))
        message = Message(
            id=ledger.new_id(MESSAGES), channel_id=channel.id, sender=given.sender or _SENDER,
            content=given.content, created_at=desk.stamp,
            metadata=None if given.metadata is None else dict(given.metadata),
        )  # fmt: skip
        ledger.put(MESSAGES, message)
        ledger.trim(channel.id, MESSAGES_KEPT)
        ledger.audit("create", ids=(channel.id, message.id))
        return message

    return desk.answer(message=as_json(await desk.change(send)))


@runs(CHANNEL_RECEIVE)
async def channel_receive(given: ChannelReceive, desk: Desk) -> Answer:
    """Return the newest messages, oldest first, or ask a provider."""
    if given.provider:
        return await receive_from(given, given.channel or _DEFAULT, desk)
    _refuse_foreign(given)
    since = moment_of(given.since)

    def receive(view: Reader) -> list[Message]:
        channel = _named(view, given.channel) if given.channel else None
        if given.channel and channel is None:
            return []
        return [
            message
            for message in view.records(MESSAGES)
            if channel is None or message.channel_id == channel.id
        ]

    messages = await desk.read(receive)
    messages.sort(key=lambda message: message.created_at)
    if since is not None:
        messages = [one for one in messages if (moment_of(one.created_at) or since) >= since]
    if given.limit is not None:
        messages = messages[-given.limit :]
    return {"items": [as_json(message) for message in messages], "count": len(messages)}


@runs(CHANNEL_DELETE)
async def channel_delete(given: ChannelDelete, desk: Desk) -> Answer:
    """Remove a channel and its messages."""

    def delete(ledger: Ledger) -> tuple[str, int]:
        channel = _named(ledger, given.name)
        if channel is None:
            raise Refused(
                codes.NOT_FOUND, f"there is no channel {given.name}", details={"name": given.name}
            )
        own = [one.id for one in ledger.records(MESSAGES) if one.channel_id == channel.id]
        for message_id in own:
            ledger.remove(MESSAGES, message_id)
        ledger.remove(CHANNELS, channel.id)
        ledger.audit("delete", ids=(channel.id,), details={"messages": len(own)})
        return channel.id, len(own)

    deleted_id, messages = await desk.change(delete)
    return desk.answer(deleted_id=deleted_id, deleted_messages=messages)


def _named(view: Reader, name: str) -> Channel | None:
    return next((one for one in view.records(CHANNELS) if one.name == name), None)


def _new(ledger: Ledger, name: str, desk: Desk, kind: str = "terminal") -> Channel:
    channel = Channel(
        id=ledger.new_id(CHANNELS), name=name, type=kind, created_at=desk.stamp,
        updated_at=desk.stamp,
    )  # fmt: skip
    ledger.put(CHANNELS, channel)
    return channel


def _listed(channel: Channel, sent: list[str]) -> dict[str, Any]:
    listed = {**as_json(channel), "message_count": len(sent)}
    return {**listed, "last_message_at": max(sent)} if sent else listed


def _refuse_foreign(given: ChannelReceive) -> None:
    """Refuse what only a provider understands."""
    problems = [
        (f"/{name}", "is only for a provider")
        for name in ("cursor", "metadata")
        if getattr(given, name)
    ]
    if problems:
        raise invalid(*problems)
