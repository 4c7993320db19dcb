"""The port of every adapter: bytes in, bytes out.

Promise: a transport moves whole frames, in order, and says once why it ended. Refusal: it knows
no message, no event and no retry; reconnecting is the runtime's decision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from conductor_sdk.errors import ConductorError, Exit
from conductor_sdk.secret import Secret


class TransportError(ConductorError):
    """The link failed."""

    code = "TRANSPORT_FAILED"
    retryable = True
    exit_code = Exit.UNAVAILABLE


class ConnectFailed(TransportError):
    """The conductor cannot be reached."""

    code = "CONNECT_FAILED"
    default_hint = "check the address and the network: conductor doctor"


class CredentialRefused(TransportError):
    """The conductor refused the credential."""

    code = "CREDENTIAL_REFUSED"
    default_hint = "enroll again: conductor enroll URL --token-file FILE"
    retryable = False
    exit_code = Exit.TOKEN_REFUSED


class ConductorBusy(TransportError):
    """The conductor asks to come back later."""

    code = "CONDUCTOR_BUSY"

    def __init__(self, detail: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class LinkClosed(TransportError):
    """The link is closed."""

    code = "LINK_CLOSED"

    def __init__(self, detail: str = "", *, close_code: int = 1006, clean: bool = False) -> None:
        super().__init__(detail)
        self.close_code = close_code
        """WebSocket close code, or the adapter's nearest equivalent."""
        self.clean = clean
        """Whether the peer closed on purpose."""


class LinkOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection is opened with."""

    max_frame_bytes: int = 1_048_576
    receive_window: int = 2000
    """Frames that may wait unread before the transport stops reading from the network."""
    receive_window_bytes: int = 8_388_608
    open_timeout_s: float = 10.0
    close_timeout_s: float = 5.0
    headers: Mapping[str, str] = {}
    ca_file: str | None = None
    """PEM file of extra trust anchors for wss://; None: the system's."""
    cert_file: str | None = None
    """PEM file of the certificate that we present, where the adapter can; None: none."""
    key_file: str | None = None
    """PEM file of its key; None: it stands in `cert_file`."""
    allow_plaintext: bool = False
    """Whether the credential may cross a network unencrypted; loopback never asks."""


class Transport(Protocol):
    """One open link. Not shared between tasks, except that send and receive may run at once."""

    async def receive(self, limit: int) -> list[bytes]:
        """Wait for at least one frame; return everything that has arrived, at most `limit`.

        Cancelling loses no frame.

        Raises:
            LinkClosed: After the last frame that arrived has been returned.
        """
        ...

    async def send(self, frames: Sequence[bytes]) -> None:
        """Write the frames in order, in one write; returns when the buffer has room again.

        Returning does not mean that the peer has them.

        Raises:
            LinkClosed: The frames may or may not have left.
        """
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close and release everything within `close_timeout_s`. Idempotent, never raises.

        Code 1006 aborts: nothing is said and nothing is waited for; the peer sees the link vanish.
        """
        ...


@runtime_checkable
class LateAcknowledgement(Protocol):
    """The half of a transport whose carrier keeps each frame until it is stored. Optional.

    Without `defer` such a transport acknowledges a frame when `receive` returns it.
    """

    def defer(self) -> Callable[[int], None]:
        """Acknowledge nothing any more until the returned function says so.

        The function takes how many more frames, oldest first of those that `receive` returned,
        need not come again. It does not wait and does not raise, also after the end.
        """
        ...


class Adapter(Protocol):
    """What an entry point of the group `conductor.adapters` holds."""

    @property
    def name(self) -> str:
        """The adapter's name in the configuration."""
        ...

    @property
    def schemes(self) -> tuple[str, ...]:
        """The URL schemes that it serves."""
        ...

    async def connect(self, address: str, credential: Secret, options: LinkOptions) -> Transport:
        """Open a link.

        Raises:
            CredentialRefused: 401 or 403, or the adapter's equivalent.
            ConductorBusy: 429 or 503, with Retry-After where given.
            ConnectFailed: Anything else, within `open_timeout_s`.
        """
        ...
