"""Tokens of waits, as people type them."""

from __future__ import annotations

from conductor_flows.capabilities.rows import MemoryRows
from conductor_flows.durable.ports import Ticket
from conductor_flows.durable.signals import RowSignals


async def test_a_token_can_be_typed_on_a_command_line_and_in_an_address() -> None:
    signals = RowSignals(MemoryRows())
    tokens = [await signals.create_token(Ticket("cp-1", "w", {})) for _ in range(200)]

    assert 200 == len(set(tokens))
    assert [] == [token for token in tokens if not token.isalnum() or not token.isascii()]
