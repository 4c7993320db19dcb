"""Connections that no type checker may let pass; each wrong line says so."""

from __future__ import annotations

import parts

from conductor_flows import Flow, approval, callback, node, timer

flow = Flow("wrong", "1.0.0")
take = flow.add(parts.take)
rush = flow.add(parts.take_rush)
price = flow.add(parts.price)
here = flow.add(parts.price_here)
show = flow.add(parts.show)
line = flow.add(parts.line)
pieces = flow.add(parts.pieces)
flow.connect(take, show)  # wrong
flow.connect(price, take)  # wrong
flow.connect(take, rush)  # wrong
flow.connect(price, flow.add(parts.count))  # wrong
flow.connect(here, line)  # wrong
flow.connect(pieces, price)  # wrong
flow.connect(take, show, into=False)  # wrong
flow.connect("take", show)  # wrong
flow.connect(parts.take, price)  # wrong
pause = flow.add(timer("pause", parts.Receipt, after_s=1.0))
asked = flow.add(callback("asked", parts.Order, parts.Receipt))
decided = flow.add(approval("decided", parts.Receipt))
flow.connect(take, pause)  # wrong
flow.connect(asked, take)  # wrong
flow.connect(decided, show)  # wrong
inner = Flow("inner", "1.0.0")
within = flow.subflow(inner, entry=inner.add(parts.take), capture=inner.add(parts.price))
flow.connect(show, within)  # wrong
flow.connect(within, line)  # wrong


@node  # wrong
async def bare(order: parts.Order) -> parts.Order:
    return order
