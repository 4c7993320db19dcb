"""Where a new credential may be fetched: at the enrolled conductor, and nowhere else.

Promise: scheme, host and port are those of the enrollment; the present credential never goes to
another origin, nor unencrypted beyond this machine unless that is allowed. Refusal: no request.
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from conductor_adapters.endpoint import Endpoint, parse_endpoint
from conductor_adapters.transport import ConnectFailed
from conductor_sidecar.rotation.errors import RotationElsewhere, RotationUnavailable

PATH = "/api/v1/enrollments"
_HTTP = {"ws": "http", "wss": "https"}


def conductor_address(conductor: str | None, link: str) -> str:
    """Return the conductor's http(s) address without a trailing slash.

    Args:
        conductor: As the enrollment has it; None in files of version 1.
        link: The link's address; over WebSocket it names the conductor too.

    Raises:
        RotationUnavailable: Neither names it.
    """
    if conductor is not None:
        return conductor.rstrip("/")
    parts = urlsplit(link)
    scheme = _HTTP.get(parts.scheme)
    if scheme is None:
        raise RotationUnavailable("the enrollment does not say where the conductor answers")
    return f"{scheme}://{parts.netloc}"


def rotation_url(asked: str, conductor: str, *, allow_plaintext: bool) -> str:
    """Return where to fetch a credential, checked.

    Args:
        asked: What the conductor said: a URL, or a path at the enrolled conductor.
        conductor: The conductor's http(s) address.
        allow_plaintext: Whether `http` may leave this machine.

    Raises:
        RotationElsewhere: It is another origin, no URL, or would be unencrypted.
    """
    if not asked or not asked.isprintable() or " " in asked:
        raise RotationElsewhere("the conductor named no URL")
    home = _origin(conductor, allow_plaintext=allow_plaintext)
    # A conductor may live below a path, so a relative address is joined to that, not to the host.
    url = conductor + asked if asked.startswith("/") and asked[1:2] != "/" else asked
    try:
        url = urljoin(conductor + "/", url)
    except ValueError:
        raise RotationElsewhere("the conductor named no URL") from None
    found = _origin(url, allow_plaintext=allow_plaintext)
    if found != home:
        raise RotationElsewhere(f"{found} is not {home}")
    return url


def _origin(url: str, *, allow_plaintext: bool) -> Endpoint:
    try:
        return parse_endpoint(url, plain="http", encrypted="https", allow_plaintext=allow_plaintext)
    except ConnectFailed as error:
        raise RotationElsewhere(error.detail) from None
