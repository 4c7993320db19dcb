"""Echo: what comes in goes out, trimmed and in lower case, with the name of whoever asked."""

from __future__ import annotations

import msgspec

from conductor_flows import Flow, NodeContext, node, trigger


class EchoRequest(msgspec.Struct, frozen=True):
    """What is asked."""

    value: str


class User(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who asked: the extension `auth.user`, that a host or a hook sets."""

    id: str
    email: str | None = None


class EchoReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is answered; `user` is left out where nobody is known."""

    value: str
    user: User | None = None


@trigger(summary="Take the request")
async def take(request: EchoRequest) -> EchoRequest:
    """Take what was sent, as it is."""
    return request


@node(determinism="strict", summary="Trim and lower-case the value")
async def normalize(request: EchoRequest) -> EchoRequest:
    """Make `" HeLLo "` to `"hello"`."""
    return EchoRequest(request.value.strip().lower())


@node(determinism="strict", summary="Answer, with the user if there is one")
async def respond(request: EchoRequest, context: NodeContext) -> EchoReply:
    """Put value and user together."""
    user = context.run.extensions.get("auth.user")
    return EchoReply(request.value, None if user is None else msgspec.convert(user, User))


flow = Flow("s1_echo_flow", "1.0.0", profile="web", summary="Echo, normalised")
start = flow.add(take, "trigger")
middle = flow.add(normalize)
end = flow.add(respond, "responder")
flow.connect(start, middle)
flow.connect(middle, end)
flow.entrypoint(start, end, path="/echo", method="POST", deadline_ms=250)
