"""What type checkers must accept."""

from __future__ import annotations

import parts

from conductor_flows import Decision, Flow, approval, callback, timer

flow = Flow("right", "1.0.0", profile="web", summary="All of it fits")
take = flow.add(parts.take)
rush = flow.add(parts.take_rush)
price = flow.add(parts.price, "pricing", summary="Another summary")
here = flow.add(parts.price_here)
show = flow.add(parts.show)
line = flow.add(parts.line)
total = flow.add(parts.add_up)
flow.connect(take, price)
flow.connect(rush, price)  # a rush order is an order
flow.connect(take, here)
flow.connect(here, show)  # None gives nothing, so it is no part of the type
flow.connect(take, line, into=True)
flow.connect(take, flow.add(parts.pieces))
flow.for_each(take, line, items="/lines", collect=total)
flow.zip(price, line, target=flow.add(parts.pair))
flow.window(take, flow.add(parts.batch), time="/at", size_ms=1000)
flow.connect(take, flow.add(timer("pause", parts.Order, after_s=1.0)))
asked = flow.add(callback("asked", parts.Order, parts.Receipt))
flow.connect(asked, show)
decided = flow.add(approval("decided", parts.Receipt))
inner = Flow("inner", "1.0.0")
entry, leave = inner.add(parts.take), inner.add(parts.price)
flow.connect(flow.subflow(inner, entry=entry, capture=leave), show)
approved: type[Decision] = Decision
