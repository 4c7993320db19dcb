"""Where a link lives on a broker: `mqtts://HOST[:PORT]/ROOT…/WORKSPACE/SIDECAR`.

Promise: topics, client id and user name follow from the address alone, so that one pattern of an
access list covers every workspace. Refusal: no wildcard, no reserved topic (`$…`), no credential.
"""

from __future__ import annotations

import re
import urllib.parse

import msgspec

from conductor_adapters.endpoint import Endpoint, parse_endpoint
from conductor_adapters.transport import ConnectFailed

PLAIN_PORT = 1883
TLS_PORT = 8883
_LEVEL = re.compile(r"[A-Za-z0-9._~@=%-]+\Z")
"""A topic level as it stands in an address; anything else is percent-encoded in both."""
_LEVELS = 3


class MqttAddress(msgspec.Struct, frozen=True):
    """A broker and the topics under which one sidecar of one workspace speaks."""

    endpoint: Endpoint
    root: str
    """Topic levels that a conductor owns, without a slash at the end."""
    workspace: str
    """The subject as a topic level, percent-encoded; also the user name at the broker."""
    sidecar: str

    @property
    def up(self) -> str:
        """The topic on which the sidecar speaks."""
        return f"{self.root}/{self.workspace}/{self.sidecar}/up"

    @property
    def down(self) -> str:
        """The topic on which the conductor speaks to the sidecar."""
        return f"{self.root}/{self.workspace}/{self.sidecar}/down"

    @property
    def presence(self) -> str:
        """The retained topic that names the conductor's present life; empty: there is none."""
        return presence_topic(self.root)

    @property
    def client_id(self) -> str:
        """The name of the session at the broker: the same for every life of this sidecar."""
        return ":".join((level(self.root), self.workspace, self.sidecar))


def presence_topic(root: str) -> str:
    """Return the topic on which the conductor of a root says that it is there."""
    return f"{root}/presence"


def level(text: str) -> str:
    """Write any text as one topic level."""
    return urllib.parse.quote(text, safe="._~@=-")


def parse_sidecar_address(address: str, *, allow_plaintext: bool) -> MqttAddress:
    """Parse the address of a link, as an enrollment holds it.

    Raises:
        ConnectFailed: If it is malformed, or would send the credential unencrypted.
    """
    endpoint, levels = _parse(address, allow_plaintext=allow_plaintext)
    if len(levels) < _LEVELS:
        raise ConnectFailed("the address is not mqtts://HOST[:PORT]/ROOT/WORKSPACE/SIDECAR")
    return MqttAddress(endpoint, "/".join(levels[:-2]), levels[-2], levels[-1])


def parse_root_address(address: str, *, allow_plaintext: bool) -> tuple[Endpoint, str]:
    """Parse a conductor's address, `mqtts://HOST[:PORT]/ROOT…`, into broker and root.

    Raises:
        ConnectFailed: As `parse_sidecar_address`.
    """
    endpoint, levels = _parse(address, allow_plaintext=allow_plaintext)
    if not levels:
        raise ConnectFailed("the address is not mqtts://HOST[:PORT]/ROOT")
    return endpoint, "/".join(levels)


def _parse(address: str, *, allow_plaintext: bool) -> tuple[Endpoint, list[str]]:
    endpoint = parse_endpoint(
        address, plain="mqtt", encrypted="mqtts", allow_plaintext=allow_plaintext
    )
    parts = urllib.parse.urlsplit(address)
    if parts.port is None:
        port = TLS_PORT if endpoint.secure else PLAIN_PORT
        endpoint = msgspec.structs.replace(endpoint, port=port)
    levels = parts.path.strip("/").split("/") if parts.path.strip("/") else []
    if parts.query or not all(_LEVEL.match(one) for one in levels):
        raise ConnectFailed("the address has a query, or a path that cannot be a topic")
    return endpoint, levels
