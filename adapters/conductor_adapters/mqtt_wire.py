"""What a message on a broker says beside its frame.

Promise: a frame is the payload, unchanged; the link that it belongs to and its number stand in the
property Correlation Data, and what the two ends say about the link itself is named by the property
Content Type. Refusal: nothing of an event or of a session is known here.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

LINK_BYTES = 16
_NUMBER_BYTES = 8
MAX_NUMBER = 2 ** (8 * _NUMBER_BYTES) - 1
PACKET_OVERHEAD = 1024
"""Room that a packet needs beside its frame: topic, properties, header."""


class Open(msgspec.Struct, frozen=True, tag="open"):
    """Sidecar: open this link, and drop whatever was open before."""

    window: int
    """Frames that the conductor may send beyond those that are settled here."""
    window_bytes: int
    max_frame_bytes: int
    process: str = ""
    """The life of the process that opens: two lives in turns are two sidecars at one address."""


class Accept(msgspec.Struct, frozen=True, tag="accept"):
    """Conductor: the link is open."""

    conductor: str
    """The conductor's present life; another one on the presence topic ends the link."""
    window: int
    window_bytes: int
    max_frame_bytes: int


class Refuse(msgspec.Struct, frozen=True, tag="refuse"):
    """Conductor: the link is not opened."""

    cause: Literal["busy", "not_admitted", "shared"]
    """Come back later; the workspace may not; another process has this address."""
    reason: str = ""
    retry_after_s: float | None = None


class Settled(msgspec.Struct, frozen=True, tag="settled"):
    """Either end: this many frames of the link are done with."""

    frames: int


class Close(msgspec.Struct, frozen=True, tag="close"):
    """Either end: the link ends on purpose, after the last frame."""

    code: int
    reason: str = ""


class Gone(msgspec.Struct, frozen=True, tag="gone"):
    """The link has ended without a goodbye; a sidecar's last will says so."""


Control: TypeAlias = Open | Accept | Refuse | Settled | Close | Gone
CONTROL_TYPE = "application/vnd.conductor.link+json"
FRAME_TYPE = "application/json"
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Control)


def encode(control: Control) -> bytes:
    """Return the payload of a control."""
    return _encoder.encode(control)


def decode(payload: bytes) -> Control | None:
    """Read a control; None: it is not one of this version."""
    try:
        control: Control = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return control


def correlation(link: bytes, number: int = 0) -> bytes:
    """Return the correlation data of a frame (from 1), or of a control (0)."""
    return link + number.to_bytes(_NUMBER_BYTES, "big")


def correlated(data: object) -> tuple[bytes, int]:
    """Return link and number; an empty link for anything else."""
    if not isinstance(data, bytes) or len(data) != LINK_BYTES + _NUMBER_BYTES:
        return b"", 0
    return data[:LINK_BYTES], int.from_bytes(data[LINK_BYTES:], "big")
