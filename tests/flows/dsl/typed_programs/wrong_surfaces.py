"""Surfaces and options that no type checker may let pass; each wrong line says so."""

from __future__ import annotations

import parts

from conductor_flows import Flow, node

flow = Flow("wrong", "1.0.0")
take = flow.add(parts.take)
price = flow.add(parts.price)
show = flow.add(parts.show)
line = flow.add(parts.line)
total = flow.add(parts.add_up)
flow.zip(line, price, target=flow.add(parts.pair))  # wrong
flow.window(take, flow.add(parts.batch_receipts), time="/at", size_ms=1000)  # wrong
flow.loop(take, price, condition="/more", max_iterations=3)  # wrong
flow.loop(take, price, last=show, condition="/more", max_iterations=3)  # wrong
flow.for_each(take, show, items="/lines", collect=total)  # wrong
flow.for_each(take, line, last=show, items="/lines", collect=total)  # wrong
flow.switch(take, "/mode", {"a": "price"})  # wrong
flow.if_(take, "/flag", then=price, otherwise="show")  # wrong
flow.merge([take, price], show)  # wrong
flow.delivery(take, price, "maybe_once")  # wrong
flow.timeout(take, price, milliseconds=3)  # wrong
flow.timeout(take, price, ms="3")  # wrong
flow.buffer(take, price, items=3)  # wrong
flow.spill(take, price, threshold_bytes=3)  # wrong
flow.on_error([take], "ignore")  # wrong
flow.add(parts.take, effects="none")  # wrong
flow.add(parts.take, colour="red")  # wrong
flow.add(len)  # wrong


@node(determinism="sometimes")  # wrong
async def vague(text: str) -> str:
    return text


@node(summary="Not asynchronous")  # wrong
def plain(text: str) -> str:
    return text


@node(summary="Too many arguments")  # wrong
async def many(text: str, other: int, more: int) -> str:
    return text * other * more
