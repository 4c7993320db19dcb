"""Errors of the adapters beyond those that every transport raises.

Promise: the errors of the port itself stand in `transport`; here is only what a single adapter
adds. Refusal: no error text carries a credential or a query string.
"""

from __future__ import annotations

from conductor_adapters.transport import TransportError
from conductor_sdk.errors import Exit


class AddressTaken(TransportError):
    """Another listener already has this address."""

    code = "ADDRESS_TAKEN"
    default_hint = "close the first listener or choose another name"
    retryable = False
    exit_code = Exit.BUSY
