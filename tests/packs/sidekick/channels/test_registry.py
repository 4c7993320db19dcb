"""Providers by scope; S20-S22 are the cases of the channel transports' registry."""

from __future__ import annotations

import asyncio
import io

import pytest

from conductor_packs.sidekick.channels.port import ReceiveRequest, SendRequest
from conductor_packs.sidekick.channels.registry import (
    TransportRegistry,
    current_transports,
    register_transport,
    scoped_or,
    transport_scope,
)
from conductor_packs.sidekick.channels.terminal import TerminalTransport

SOME = TerminalTransport(io.StringIO())


def test_s20_a_registry_is_visible_only_inside_its_scope() -> None:
    assert current_transports() is None
    with transport_scope() as registry:
        register_transport("slack", SOME)
        assert current_transports() is registry
        assert registry.find("slack") is SOME
    assert current_transports() is None


def test_s21_clear_empties_it() -> None:
    with transport_scope() as registry:
        register_transport("slack", SOME)
        registry.clear()
        assert registry.names() == []


def test_s22_registering_outside_of_a_scope_raises() -> None:
    with pytest.raises(LookupError, match="transport_scope"):
        register_transport("slack", SOME)


def test_a_blank_name_is_refused_and_names_are_compared_trimmed_in_lower_case() -> None:
    registry = TransportRegistry()
    with pytest.raises(ValueError, match="name"):
        registry.register("  ", SOME)
    registry.register(" SLACK ", SOME)
    assert (registry.names(), registry.find("Slack ")) == (["slack"], SOME)


def test_a_later_registration_replaces_the_earlier() -> None:
    other = TerminalTransport()
    registry = TransportRegistry()
    registry.register("slack", SOME)
    registry.register("slack", other)
    assert registry.find("slack") is other


def test_an_inner_scope_hides_the_outer_one_and_gives_it_back() -> None:
    with transport_scope() as outer:
        outer.register("slack", SOME)
        with transport_scope() as inner:
            assert inner.find("slack") is None
        assert current_transports() is outer


async def test_tasks_started_in_a_scope_see_it() -> None:
    async def look() -> object:
        return current_transports()

    with transport_scope() as registry:
        task = asyncio.create_task(look())
    assert await task is registry


def test_the_configured_transports_serve_where_there_is_no_scope() -> None:
    configured = TransportRegistry()
    assert scoped_or(configured) is configured
    with transport_scope() as scoped:
        assert scoped_or(configured) is scoped


async def test_the_terminal_shows_a_message_without_its_control_characters() -> None:
    stream = io.StringIO()
    request = SendRequest("ws", "terminal", "general", "red \x1b[31m\nalert\u202e")
    reply = await TerminalTransport(stream).send(request)
    assert (reply.success, stream.getvalue()) == (
        True,
        "[general] red \ufffd[31m\n    alert\ufffd\n",
    )
    received = await TerminalTransport(stream).receive(ReceiveRequest("ws", "terminal", "general"))
    assert (received.success, received.records) == (True, ())
