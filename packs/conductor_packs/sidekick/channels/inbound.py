"""Whether a webhook that came in is genuine, as Standard Webhooks says.

Promise: pure; the signature covers the id, the time and the body's very bytes, is compared in
constant time, and a message from outside of the window is refused whoever signed it. Refusal:
whether the id was seen before is not known here; the store knows.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from standardwebhooks import Webhook

from conductor_sdk.secret import Secret

WINDOW_S = 300
_SIGNATURES_MAX = 8
_TIMESTAMP = re.compile(r"^[0-9]{1,10}$", re.ASCII)
_ID = re.compile(r"^[\x21-\x7e]{1,256}$")


class InboundRefused(Exception):
    """The request is not genuine, or not in time. The text says no more than a sender may know."""


class Verified(msgspec.Struct, frozen=True):
    """A genuine message."""

    message_id: str
    """The sender's; the same for every try."""
    sent_at: datetime
    """UTC, whole seconds."""


def verify_inbound(
    headers: Mapping[str, str],
    body: bytes,
    secret: Secret | Sequence[Secret],
    now: datetime,
    *,
    window_s: int = WINDOW_S,
) -> Verified:
    """Check one request.

    Args:
        headers: Their names in any case.
        body: As it was sent.
        secret: The shared secret; several while it is being changed.
        now: Aware.
        window_s: How many seconds the message's time may be away from `now`, either way.

    Raises:
        InboundRefused: A header is missing or malformed, the time is outside of the window, or no
            signature fits.
    """
    plain = {name.lower(): value for name, value in headers.items()}
    message_id = plain.get("webhook-id", "")
    timestamp = plain.get("webhook-timestamp", "")
    given = plain.get("webhook-signature", "")
    if not _ID.match(message_id) or not _TIMESTAMP.match(timestamp) or not given:
        raise InboundRefused("webhook-id, webhook-timestamp or webhook-signature is missing")
    sent_at = datetime.fromtimestamp(int(timestamp), UTC)
    secrets = [secret] if isinstance(secret, Secret) else list(secret)
    expected = [_signature(each, message_id, sent_at, body) for each in secrets]
    # Every pair is compared, so that the time taken tells nothing of which one fits.
    fits = [hmac.compare_digest(one, other) for one in expected for other in _offered(given)]
    if not any(fits):
        raise InboundRefused("no signature fits")
    if abs((now - sent_at).total_seconds()) > window_s:
        raise InboundRefused("the message is too old or from the future")
    return Verified(message_id, sent_at)


def _signature(secret: Secret, message_id: str, sent_at: datetime, body: bytes) -> bytes:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise InboundRefused("the body is not UTF-8") from None
    signed = Webhook(secret.reveal()).sign(message_id, sent_at, text)
    return base64.b64decode(signed.partition(",")[2])


def _offered(header: str) -> list[bytes]:
    found: list[bytes] = []
    for word in header.split()[:_SIGNATURES_MAX]:
        version, _, encoded = word.partition(",")
        if version != "v1":
            continue
        try:
            found.append(base64.b64decode(encoded, validate=True))
        except (binascii.Error, ValueError):
            continue
    return found
