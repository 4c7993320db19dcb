"""Nodes for the programs beside this file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from pydantic import BaseModel

from conductor_flows import NodeContext, Window, node, trigger


class Order(BaseModel):
    """An order."""

    lines: list[str]


class RushOrder(Order):
    """An order in a hurry."""


@dataclass
class Receipt:
    """What the customer gets."""

    total: int


@trigger(summary="Take an order")
async def take(order: Order) -> Order:
    return order


@trigger(summary="Take an order in a hurry")
async def take_rush(order: RushOrder) -> RushOrder:
    return order


@node(summary="Price an order")
async def price(order: Order) -> Receipt:
    return Receipt(len(order.lines))


@node(summary="Price it, knowing where")
async def price_here(order: Order, context: NodeContext) -> Receipt | None:
    return Receipt(context.attempt)


@node(summary="Print it")
async def show(receipt: Receipt) -> str:
    return str(receipt.total)


@node(summary="Count lines")
async def count(lines: list[str]) -> int:
    return len(lines)


@node(summary="One line")
async def line(text: str) -> int:
    return len(text)


@node(summary="Sum up")
async def add_up(numbers: list[int]) -> int:
    return sum(numbers)


@node(summary="A pair")
async def pair(both: tuple[Receipt, int]) -> int:
    return both[0].total + both[1]


@node(summary="A window of orders")
async def batch(orders: Window[Order]) -> int:
    return len(orders.items)


@node(summary="A window of receipts")
async def batch_receipts(receipts: Window[Receipt]) -> int:
    return len(receipts.items)


@node(summary="Pieces")
async def pieces(order: Order) -> AsyncIterator[str]:
    for each in order.lines:
        yield each
