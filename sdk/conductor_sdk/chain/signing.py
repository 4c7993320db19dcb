"""Keys that sign and check notes: a port, a shared secret from the standard library, Ed25519.

Promise: a signature says what it is: one made with a shared secret carries that in its name,
because whoever can check it can forge it. Refusal: no dependency. Ed25519 works where the package
`cryptography` is installed and is refused with a code where it is not.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from importlib import import_module
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from conductor_sdk.chain.checkpoint import (
    KEY_ID_BYTES,
    Checkpoint,
    CheckpointMalformed,
    Note,
    Signature,
    decode,
    encode,
)
from conductor_sdk.errors import ConductorError, Exit

KeyKind: TypeAlias = Literal["hmac-sha256", "ed25519", "ed25519-public"]
KEY_HEADER = "conductor-key-v1"
KEY_BYTES = 32
SHARED_SUFFIX = "/shared-secret"
_ED25519_TYPE = b"\x01"
_SHARED_TYPE = b"\xffconductor.hmac-sha256.shared-secret"
"""0xff marks kinds that C2SP does not number; what follows names ours."""
_KINDS: dict[str, KeyKind] = {
    "hmac-sha256": "hmac-sha256",
    "ed25519": "ed25519",
    "ed25519-public": "ed25519-public",
}


class KeyMalformed(ConductorError):
    """This is not a key of ours."""

    code = "LOG_KEY_MALFORMED"
    default_hint = "make one: conductor log key FILE"
    exit_code = Exit.USAGE


class Ed25519Unavailable(ConductorError):
    """Ed25519 needs the package `cryptography`, which is not installed."""

    code = "ED25519_UNAVAILABLE"
    default_hint = "install cryptography, or use a shared secret: conductor log key FILE"
    exit_code = Exit.USAGE


class SignatureMissing(ConductorError):
    """The checkpoint carries no valid signature of this key."""

    code = "CHECKPOINT_SIGNATURE_MISSING"
    default_hint = "check which key signed it, or compare with a checkpoint that you kept"
    exit_code = Exit.INTEGRITY


class Key(Protocol):
    """What signs or checks."""

    def sign(self, origin: str, message: bytes) -> Signature:
        """Sign for a log; raises KeyMalformed where this key can only check."""
        ...

    def accepts(self, origin: str, message: bytes, signature: Signature) -> bool:
        """Tell whether a signature is this key's for this log."""
        ...


class SharedSecret:
    """HMAC-SHA256. Two holders of the secret trust each other and prove nothing to a third."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, origin: str, message: bytes) -> Signature:
        """Sign a message; the same message gives the same signature."""
        name = origin + SHARED_SUFFIX
        digest = hmac.digest(self._secret, b"note\n" + message, "sha256")
        return Signature(name, self._key_id(name), digest)

    def accepts(self, origin: str, message: bytes, signature: Signature) -> bool:
        """Tell whether a holder of the secret made the signature."""
        own = self.sign(origin, message)
        return (own.name, own.key_id) == (signature.name, signature.key_id) and (
            hmac.compare_digest(own.signature, signature.signature)
        )

    def _key_id(self, name: str) -> bytes:
        public = hmac.digest(self._secret, b"key id", "sha256")  # says nothing about the secret
        return key_id(name, _SHARED_TYPE, public)


class Ed25519Key:
    """A key pair, or its public half alone."""

    def __init__(self, public: bytes, private: Any = None) -> None:
        self.public = public
        self._private = private

    @classmethod
    def from_seed(cls, seed: bytes) -> Ed25519Key:
        """Build a pair from 32 secret bytes.

        Raises:
            Ed25519Unavailable: `cryptography` is not installed.
        """
        private = _ed25519().Ed25519PrivateKey.from_private_bytes(seed)
        return cls(private.public_key().public_bytes_raw(), private)

    def sign(self, origin: str, message: bytes) -> Signature:
        """Sign a message; the same message gives the same signature."""
        if self._private is None:
            raise KeyMalformed("it is a public key, which only checks")
        return Signature(
            origin, key_id(origin, _ED25519_TYPE, self.public), self._private.sign(message)
        )

    def accepts(self, origin: str, message: bytes, signature: Signature) -> bool:
        """Tell whether the holder of the private half made the signature.

        Raises:
            Ed25519Unavailable: `cryptography` is not installed.
        """
        wanted = key_id(origin, _ED25519_TYPE, self.public)
        if (signature.name, signature.key_id) != (origin, wanted):
            return False
        public = _ed25519().Ed25519PublicKey.from_public_bytes(self.public)
        try:
            public.verify(signature.signature, message)
        except import_module("cryptography.exceptions").InvalidSignature:
            return False
        return True


def key_id(name: str, kind: bytes, public: bytes) -> bytes:
    """Return the four bytes by which a verifier finds its key: C2SP signed notes."""
    return hashlib.sha256(name.encode() + b"\n" + kind + public).digest()[:KEY_ID_BYTES]


def sign(checkpoint: Checkpoint, keys: Iterable[Key]) -> Note:
    """Sign a checkpoint with each key."""
    message = checkpoint.body.encode()
    return Note(checkpoint, tuple(key.sign(checkpoint.origin, message) for key in keys))


def check(note: Note, key: Key) -> None:
    """Refuse a note that the key did not sign.

    Raises:
        SignatureMissing: No signature line is the key's, or it does not fit the text.
    """
    message, origin = note.checkpoint.body.encode(), note.checkpoint.origin
    if not any(key.accepts(origin, message, each) for each in note.signatures):
        raise SignatureMissing(f"{origin}, size {note.checkpoint.size}")


class KeyText(msgspec.Struct, frozen=True):
    """A key as it stands in a file."""

    kind: KeyKind
    data: bytes
    """32 bytes: secret, seed or public key."""

    def __str__(self) -> str:
        return f"{KEY_HEADER} {self.kind} {encode(self.data)}\n"

    def key(self) -> Key:
        """Return what signs or checks.

        Raises:
            Ed25519Unavailable: A pair was asked for and `cryptography` is not installed.
        """
        match self.kind:
            case "hmac-sha256":
                return SharedSecret(self.data)
            case "ed25519":
                return Ed25519Key.from_seed(self.data)
            case "ed25519-public":
                return Ed25519Key(self.data)


def parse_key(text: str) -> KeyText:
    """Read the text of a key file.

    Raises:
        KeyMalformed: It is something else.
    """
    words = text.split()
    kind = _KINDS.get("".join(words[1:2]))
    if len(words) != 3 or words[0] != KEY_HEADER or kind is None:  # noqa: PLR2004  three words
        raise KeyMalformed(f"it does not begin with {KEY_HEADER} and a kind")
    try:
        data = decode(words[2])
    except CheckpointMalformed:
        raise KeyMalformed("its last word is not base64") from None
    if len(data) != KEY_BYTES:
        raise KeyMalformed("it has not 32 bytes")
    return KeyText(kind, data)


def _ed25519() -> Any:
    try:
        return import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
    except ImportError:
        raise Ed25519Unavailable from None
