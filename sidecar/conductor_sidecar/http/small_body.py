"""Small JSON bodies of requests that only the same user can make.

Promise: more than the limit is not read, and what is not of the shape is refused. Refusal: nothing
is checked here that strangers could try; `bodies` is for them.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from starlette.requests import Request

from conductor_sidecar.errors import RequestInvalid

T = TypeVar("T")


async def small_body(request: Request, shape: type[T], limit: int) -> T:
    """Read a body of at most so many bytes; an empty one counts as `{}`.

    Raises:
        RequestInvalid: It is longer, or not of the shape.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise RequestInvalid(f"the body has more than {limit} bytes")
    try:
        return msgspec.json.decode(body or b"{}", type=shape)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RequestInvalid(str(error)) from None
