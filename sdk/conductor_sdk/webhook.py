"""Webhooks that come in: what a pack is given of a request, and what it answers.

Promise: a receiver sees the body's bytes exactly as they were sent, so that a signature over them
can be checked. Refusal: nothing is served or verified here; the daemon serves
`/hooks/<slug>/<name>`, and whether a request is genuine is for the pack to say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import msgspec

ANY_NAME = "*"
"""The key of `Pack.webhooks` for names that have no receiver of their own."""


class WebhookAnswer(msgspec.Struct, frozen=True):
    """What the sender is told."""

    status: int
    """An HTTP status: 2xx means that the sender need not send it again."""
    body: dict[str, Any] = {}
    """A JSON object; never says more than the sender may know."""
    headers: dict[str, str] = {}
    """For example `Retry-After`."""


WebhookReceiver: TypeAlias = Callable[
    [str, Mapping[str, str], bytes, Any], Awaitable[WebhookAnswer]
]
"""`async def receive(name, headers, body, ctx)`; `ctx` is the pack's own context, as a handler's.

`name` is the last step of the path, percent-decoded; the names of `headers` are lower-case; `body`
is whole and within the surface's limit. An exception is answered with 500 and no detail.
"""
