"""Webhooks that come in: verified, kept once, answered.

Promise: a message is durable in its channel before it is acknowledged, and a repetition is
acknowledged without being kept again. Refusal: who speaks and into which channel stands in the
configuration, never in the body; a refusal says no more than 401.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from conductor_packs.sidekick.channels.errors import SecretMissing
from conductor_packs.sidekick.channels.inbound import InboundRefused, Verified, verify_inbound
from conductor_packs.sidekick.channels.port import provider_key
from conductor_packs.sidekick.channels.secrets import read_secret
from conductor_packs.sidekick.channels.settings import WebhookIn, channel_settings
from conductor_packs.sidekick.records import CHANNELS, MESSAGES, MESSAGES_KEPT, Channel, Message
from conductor_packs.sidekick.storage.port import Change, StoragePort
from conductor_sdk.clock import wire_time
from conductor_sdk.context import PackContext
from conductor_sdk.webhook import WebhookAnswer

TOOL = "channel:receive"
CONTENT_MAX = 100_000
"""Characters of one message."""


async def receive_into(
    storage: StoragePort, name: str, headers: Mapping[str, str], body: bytes, ctx: PackContext
) -> WebhookAnswer:
    """Take one request; 202 kept, 200 kept before, 4xx refused, 503 not configured yet.

    Args:
        storage: Where messages are kept.
        name: The webhook's, as in `webhooks_in`.
        headers: Their names in lower case.
        body: As it was sent.
        ctx: The pack's.
    """
    webhook = channel_settings(ctx.config).webhooks_in.get(provider_key(name))
    if webhook is None:
        return _refused(404, "NOT_FOUND", "no such webhook")
    try:
        secret = read_secret(webhook, ctx.workspace)
        verified = verify_inbound(headers, body, secret, ctx.clock.now(), window_s=webhook.window_s)
    except SecretMissing as error:
        ctx.log.warning("webhook_secret_missing", webhook=name, error=error.message)
        return _refused(503, "UNAVAILABLE", "the webhook has no secret")
    except InboundRefused as error:
        ctx.log.warning("webhook_refused", webhook=name, reason=str(error))
        return _refused(401, "SIGNATURE_REFUSED", "the request is not genuine, or not in time")
    content, metadata = _content(body)
    if not content.strip():
        return _refused(400, "INVALID_INPUT", "the body holds no content")
    if len(content) > CONTENT_MAX:
        return _refused(413, "INVALID_INPUT", f"more than {CONTENT_MAX} characters")
    return await _kept(storage, provider_key(name), webhook, verified, content, metadata, ctx)


async def _kept(
    storage: StoragePort, name: str, webhook: WebhookIn, verified: Verified, content: str,
    metadata: dict[str, Any] | None, ctx: PackContext,
) -> WebhookAnswer:  # fmt: skip
    key = f"webhook:{name}:{verified.message_id}"
    external_id = f"{name}:{verified.message_id}"
    if await ctx.replay_log.has(key):
        return WebhookAnswer(200, {"success": True, "data": {"duplicate": True}})
    stamp = wire_time(ctx.clock.now())

    def keep(change: Change) -> str | None:
        channel = _channel(change, webhook.channel, stamp)
        # The key is put after the change: between the two a crash is told by the message itself.
        if any(each.external_id == external_id for each in change.records(MESSAGES)):
            return None
        message = Message(
            id=change.new_id(MESSAGES), channel_id=channel.id, content=content, created_at=stamp,
            sender=webhook.sender or f"webhook:{name}", metadata=metadata, external_id=external_id,
        )  # fmt: skip
        change.put(MESSAGES, message)
        change.trim(channel.id, MESSAGES_KEPT)
        change.audit(
            "create", TOOL, actor=f"webhook:{name}", ids=(channel.id, message.id),
            details={"provider": name, "outcome": "received"},
        )  # fmt: skip
        return message.id

    kept = await storage.change(keep)
    await ctx.replay_log.put(key)
    if kept is None:
        return WebhookAnswer(200, {"success": True, "data": {"duplicate": True}})
    return WebhookAnswer(202, {"success": True, "data": {"message_id": kept}})


def _channel(change: Change, name: str, stamp: str) -> Channel:
    for channel in change.records(CHANNELS):
        if channel.name == name:
            touched = msgspec.structs.replace(channel, updated_at=stamp)
            change.put(CHANNELS, touched)
            return touched
    made = Channel(id=change.new_id(CHANNELS), name=name, created_at=stamp, updated_at=stamp)
    change.put(CHANNELS, made)
    return made


def _content(body: bytes) -> tuple[str, dict[str, Any] | None]:
    """Return text and metadata of `{content}` or `{data: {content}}`; else the body as text."""
    text = body.decode("utf-8", "replace")
    try:
        given: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return text, None
    if not isinstance(given, dict):
        return text, None
    fields = cast("dict[str, Any]", given)
    inner = fields.get("data")
    holder = cast("dict[str, Any]", inner) if isinstance(inner, dict) else fields
    for key in ("content", "text"):
        content = holder.get(key)
        if isinstance(content, str):
            metadata = holder.get("metadata")
            return content, cast("dict[str, Any]", metadata) if isinstance(metadata, dict) else None
    return text, None


def _refused(status: int, code: str, message: str) -> WebhookAnswer:
    return WebhookAnswer(status, {"success": False, "error": {"code": code, "message": message}})
