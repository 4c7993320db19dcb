"""What ended the opening of a link, in the words of the port.

Promise: whatever the network or TLS raises becomes a `ConnectFailed` that names the endpoint and a
way out. Refusal: what is not a failure of the connection comes back as it is, a cancellation too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from conductor_adapters.transport import ConnectFailed, TransportError

if TYPE_CHECKING:
    from conductor_adapters.endpoint import Endpoint


def explain(error: BaseException, endpoint: Endpoint, timeout_s: float) -> BaseException:
    """Translate whatever ended a connection's opening; what is not ours comes back as it is.

    Args:
        error: What was raised.
        endpoint: What was to be opened.
        timeout_s: How long it was waited for.
    """
    import ssl

    match error:
        case TransportError():
            return error
        case TimeoutError():
            return ConnectFailed(f"{endpoint} did not answer within {timeout_s:g} s")
        case ssl.SSLCertVerificationError():
            return ConnectFailed(
                f"{endpoint} has an untrusted certificate: {error.verify_message}",
                hint="give the issuer's PEM file as ca_file, or correct the host name",
            )
        case OSError():
            return ConnectFailed(f"{endpoint}: {error.strerror or error}")
        case ValueError():
            return ConnectFailed(f"{endpoint} has an impossible host name")
        case _:
            return error
