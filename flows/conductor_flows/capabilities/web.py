"""HTTP by httpx2.

Promise: one attempt, no redirect followed, at most `BODY_MAX` bytes of an answer. Refusal: a
reading client sends nothing that may change something.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

import httpx2

from conductor_flows.capabilities.errors import (
    CapabilityFailed,
    CapabilityMisused,
    CapabilityTimedOut,
    CapabilityUnreachable,
)
from conductor_flows.capabilities.ports import Request, Response

BODY_MAX: Final = 64 * 1024 * 1024
TIMEOUT_S: Final = 30.0
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class HttpClient:
    """An `HttpWrite`, or an `HttpRead` where it is `reading`."""

    def __init__(
        self, *, reading: bool = False, timeout_s: float = TIMEOUT_S, body_max: int = BODY_MAX
    ) -> None:
        """Connect to nothing yet; connections are kept between requests.

        Args:
            reading: Refuse methods that may change something.
            timeout_s: For a whole request, where it names none itself.
            body_max: Bytes of an answer.
        """
        self._reading = reading
        self._timeout_s = timeout_s
        self._body_max = body_max
        self._client: httpx2.AsyncClient | None = None

    async def send(self, request: Request) -> Response:
        """See `HttpRead.send`."""
        if self._reading and request.method.upper() not in READING:
            raise CapabilityMisused(f"{request.method} through resource::http::read")
        timeout_s = self._timeout_s if request.timeout_s is None else request.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                return await self._send(request)
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise CapabilityTimedOut(f"after {timeout_s:g} s") from error
        except httpx2.InvalidURL as error:
            raise CapabilityMisused("the URL cannot be used") from error
        except httpx2.HTTPError as error:
            raise CapabilityUnreachable(type(error).__name__) from error

    async def _send(self, request: Request) -> Response:
        if self._client is None:
            # The whole request has one timeout, so its parts need none.
            self._client = httpx2.AsyncClient(timeout=None, follow_redirects=False)
        body = bytearray()
        async with self._client.stream(
            request.method, request.url, headers=dict(request.headers), content=request.body
        ) as answer:
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > self._body_max:
                    raise CapabilityFailed(f"the answer is longer than {self._body_max} bytes")
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return Response(answer.status_code, headers, bytes(body))

    async def close(self) -> None:
        """Close all connections. Idempotent."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        await self.close()
