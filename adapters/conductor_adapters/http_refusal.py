"""What an HTTP status other than success means for a link.

Promise: 401 and 403 are a refused credential, 429 and 503 a busy conductor with its Retry-After,
everything else a failed connection that says why. Refusal: an answer that repeats the credential
never brings it into an error text.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from conductor_adapters.transport import (
    ConductorBusy,
    ConnectFailed,
    CredentialRefused,
    TransportError,
)
from conductor_sdk.secret import Secret

_SECONDS = re.compile(r"[0-9]{1,9}\Z")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
_SHOWN = 200


def refusal(
    where: str,
    *,
    status: int,
    reason: str,
    retry_after: str | None,
    body: bytes,
    credential: Secret,
    now: datetime,
) -> TransportError:
    """Build the error for an HTTP answer.

    Args:
        where: The endpoint as it may be shown.
        status: The status code.
        reason: The reason phrase; untrusted.
        retry_after: The header's value, where it came.
        body: The answer's body; its start is shown, unprintable characters folded.
        credential: Masked wherever the answer repeats it.
        now: For a Retry-After that is a date.
    """
    text = f"{where} answered HTTP {status} {_show(reason, credential)}".rstrip()
    if shown := _show(body.decode("utf-8", "replace"), credential):
        text += f": {shown}"
    match status:
        case 401 | 403:
            return CredentialRefused(text)
        case 429 | 503:
            return ConductorBusy(text, retry_after_s=parse_retry_after(retry_after, now))
        case _:
            return ConnectFailed(text)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a Retry-After asks for, never negative; None if it says nothing."""
    if value is None:
        return None
    value = value.strip()
    if _SECONDS.match(value):
        return float(value)
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:  # "-0000" and the obsolete asctime form: HTTP dates are UTC
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _show(text: str, credential: Secret) -> str:
    """Fold, then mask, then cut: a cut through the credential would show half of it."""
    text = _UNPRINTABLE.sub(" ", text)
    value = credential.reveal()
    if value:
        text = text.replace(value, "…")
    return text[:_SHOWN].strip()
