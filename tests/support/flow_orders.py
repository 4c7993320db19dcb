"""A few nodes for tests of flows that are written in Python.

Promise: small types, and answers that tell which way was taken. Refusal: no flow is built here.
"""

from __future__ import annotations

from pydantic import BaseModel

from conductor_flows import node, trigger


class Request(BaseModel):
    mode: str = "a"
    flag: bool = True
    items: list[int] = []


class Reply(BaseModel):
    text: str


@trigger(summary="Take a request")
async def route(request: Request) -> Request:
    return request


@node(summary="One way")
async def left(request: Request) -> Reply:
    return Reply(text=f"left {request.mode}")


@node(summary="Another way")
async def right(request: Request) -> Reply:
    return Reply(text=f"right {request.mode}")


@node(summary="The rest")
async def rest(request: Request) -> Reply:
    return Reply(text=f"rest {request.mode}")


@node(summary="Answer")
async def answer(reply: Reply) -> Reply:
    return Reply(text=reply.text.upper())
