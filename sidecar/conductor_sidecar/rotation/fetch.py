"""The calls of a rotation to the conductor's enrollment endpoint.

Promise: one request, bounded in time and size; the credential stands in the header alone. Refusal:
no redirect is followed, no proxy is used, and nothing is stored here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from conductor_adapters.endpoint import Endpoint, bearer, client_tls, parse_endpoint
from conductor_adapters.http_refusal import refusal
from conductor_adapters.transport import ConnectFailed
from conductor_sdk.clock import Clock
from conductor_sdk.secret import Secret
from conductor_sidecar.rotation.errors import RotationRefused
from conductor_sidecar.rotation.ports import Fresh
from conductor_sidecar.settings import LinkSettings

if TYPE_CHECKING:
    import httpx2

TIMEOUT_S = 15.0
ANSWER_BYTES = 65_536
_SUCCESS = range(200, 300)
_NO_ROTATION = frozenset({400, 404, 405, 409, 501})
"""Statuses by which a conductor says that it has no credential to give, or does not rotate."""


class _Answer(msgspec.Struct, frozen=True):
    credential: Secret | None = None
    version: int = 0
    expires_at: datetime | None = None


def _secret(kind: type, value: Any) -> Secret:
    del kind
    if not isinstance(value, str):
        raise TypeError("a credential is text")
    return Secret(value)


_answer = msgspec.json.Decoder(_Answer, dec_hook=_secret)


class HttpEndpoint:
    """The endpoint over HTTP."""

    def __init__(self, clock: Clock, link: Callable[[], LinkSettings]) -> None:
        """Prepare; each call is made by what `link` says then."""
        self._clock = clock
        self._link = link

    async def fetch(self, url: str, credential: Secret, version: int | None) -> Fresh:
        """Ask for a credential; as the port says."""
        found = await self._ask(url, credential, version or 0)
        if found.credential is None or found.version <= 0:
            raise RotationRefused("its answer holds no credential")
        if version is not None and found.version != version:
            raise RotationRefused(f"it gave version {found.version}, not {version}")
        return Fresh(found.credential, found.version, found.expires_at)

    async def confirm(self, url: str, credential: Secret, version: int) -> None:
        """Tell that a credential is in use; as the port says."""
        await self._ask(url, credential, version)

    async def _ask(self, url: str, credential: Secret, version: int) -> _Answer:
        status, reason, body, retry_after = await self._post(url, credential, version)
        if status in _SUCCESS:
            return _decoded(body)
        error = refusal(
            str(self._where(url)), status=status, reason=reason, retry_after=retry_after,
            body=body, credential=credential, now=self._clock.now(),
        )  # fmt: skip
        raise RotationRefused(error.detail) if status in _NO_ROTATION else error

    async def _post(
        self, url: str, credential: Secret, version: int
    ) -> tuple[int, str, bytes, str | None]:
        import httpx2

        where = self._where(url)

        def authorize(request: httpx2.Request) -> httpx2.Request:
            request.headers["authorization"] = bearer(credential)
            return request

        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                httpx2.AsyncClient(
                    auth=authorize, timeout=None, trust_env=False, follow_redirects=False,
                    verify=client_tls(self._link().ca_file) if where.secure else False,
                ) as client,
                client.stream("POST", url, json={"rotate": version}) as response,
            ):  # fmt: skip
                body = await _read(response)
        except TimeoutError:
            raise ConnectFailed(f"{where} did not answer within {TIMEOUT_S:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ConnectFailed(f"{where}: {error or type(error).__name__}") from None
        retry_after = response.headers.get("retry-after")
        return response.status_code, response.reason_phrase, body, retry_after

    def _where(self, url: str) -> Endpoint:
        return parse_endpoint(
            url, plain="http", encrypted="https", allow_plaintext=self._link().allow_plaintext
        )


def _decoded(body: bytes) -> _Answer:
    found = _try_decode(body)
    del body  # it holds the credential, and a traceback may show local variables
    if found is None:
        raise RotationRefused("its answer makes no sense")
    return found


def _try_decode(body: bytes) -> _Answer | None:
    try:
        return _answer.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


async def _read(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > ANSWER_BYTES:
            break
    return bytes(body)
