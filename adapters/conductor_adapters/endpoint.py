"""Where a network adapter connects, and whether a credential may go there.

Promise: `str(endpoint)` is safe to log: no user, path or query. Refusal: no plaintext beyond
loopback unless allowed, no credential inside an address, no name resolution.
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from typing import TYPE_CHECKING

import msgspec

from conductor_adapters.transport import ConnectFailed, CredentialRefused
from conductor_sdk.secret import Secret

if TYPE_CHECKING:
    import ssl

_BLANK = re.compile(r"[\x00-\x20\x7f]")
_TOKEN = re.compile(r"[\x21-\x7e]+\Z")


class Endpoint(msgspec.Struct, frozen=True):
    """A parsed address. `str()` gives what may be shown."""

    scheme: str
    host: str
    port: int
    secure: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_endpoint(address: str, *, plain: str, encrypted: str, allow_plaintext: bool) -> Endpoint:
    """Parse and check an address.

    Args:
        address: What the configuration says; never repeated in an error.
        plain: The scheme without TLS, for example `ws`.
        encrypted: The scheme with TLS, for example `wss`.
        allow_plaintext: Whether `plain` may leave this machine.

    Raises:
        ConnectFailed: If the address is malformed, carries a user or a fragment, or would send
            the credential over a network unencrypted.
    """
    if _BLANK.search(address):
        raise ConnectFailed("the address has blanks or control characters")
    try:
        parts = urllib.parse.urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConnectFailed("the address is not a URL") from None
    if parts.scheme not in {plain, encrypted} or not host:
        raise ConnectFailed(f"the address is not {encrypted}://HOST[:PORT][/PATH]")
    if parts.username is not None or parts.password is not None:
        raise ConnectFailed("the address carries a user or password; enroll instead")
    if parts.fragment:
        raise ConnectFailed("the address has a #fragment")
    secure = parts.scheme == encrypted
    endpoint = Endpoint(parts.scheme, host, port or (443 if secure else 80), secure)
    if not secure and not allow_plaintext and not is_loopback(host):
        raise ConnectFailed(
            f"{endpoint} would carry the credential unencrypted",
            hint=f"use {encrypted}://, or set allow_plaintext where the network is trusted",
        )
    return endpoint


def is_loopback(host: str) -> bool:
    """Tell whether a host, as written, is this machine: `localhost` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bearer(credential: Secret) -> str:
    """Return the value of the `Authorization` header.

    Raises:
        CredentialRefused: If no header can carry the credential; it is not repeated.
    """
    if not _TOKEN.match(credential.reveal()):
        raise CredentialRefused("it is empty or has characters that a header cannot carry")
    return f"Bearer {credential.reveal()}"


def client_tls(
    ca_file: str | None, cert_file: str | None = None, key_file: str | None = None
) -> ssl.SSLContext:
    """Build a verifying client context: the system's trust anchors, plus `ca_file`'s.

    Args:
        ca_file: PEM file of further anchors.
        cert_file: PEM file of the certificate that we present, with its chain.
        key_file: PEM file of its key; None: it stands in `cert_file`.

    Raises:
        ConnectFailed: If a file cannot be read or does not hold what it should.
    """
    import ssl

    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            raise ConnectFailed(
                f"ca_file {ca_file}: {error.strerror or error}",
                hint="give ca_file a readable PEM file of certificates",
            ) from None
    if cert_file is not None:
        try:
            context.load_cert_chain(cert_file, key_file)
        except OSError as error:
            raise ConnectFailed(
                f"cert_file {cert_file}: {error.strerror or error}",
                hint="give cert_file and key_file readable PEM files that belong together",
            ) from None
    return context
