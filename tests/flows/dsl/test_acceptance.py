"""The authoring cases under the names that the source project gave them.

Those about surfaces, edges and prerequisites stand in `test_documents`; refusals in
`test_refusals`; what only a type checker sees in `test_types`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest

from conductor_flows import Flow, Invocation, Runner, Services, Value, node, trigger
from conductor_flows.dsl.ports import port_of
from conductor_flows.execute.errors import PortRefused
from conductor_flows.ir.terms import Determinism, Effects, NodeKind


class Card(msgspec.Struct, tag="card"):
    number: str


class Cash(msgspec.Struct, tag="cash"):
    amount: int


Payment = Card | Cash


@trigger(summary="Take a payment")
async def take_payment(payment: Payment) -> Payment:
    return payment


@node(summary="Look at the input")
async def normalize_input(payment: Payment) -> str:
    return type(payment).__name__


def flow_of(*nodes: Any) -> Flow:
    flow = Flow("scene", "1.0.0", summary="A flow")
    handles = [flow.add(each) for each in nodes]
    for source, target in pairwise(handles):
        flow.connect(source, target)
    return flow


def test_name_default() -> None:
    nodes = flow_of(take_payment, normalize_input).ir().nodes
    assert [("take_payment", "TakePayment"), ("normalize_input", "NormalizeInput")] == [
        (each.alias, each.name) for each in nodes
    ]


def test_trigger_shorthand() -> None:
    first = flow_of(take_payment).ir().nodes[0]
    assert (NodeKind.TRIGGER, Effects.READ_ONLY, Determinism.STRICT) == (
        first.kind, first.effects, first.determinism
    )  # fmt: skip


@pytest.mark.parametrize(("hint", "effects"), [
    ("resource::http::read", Effects.READ_ONLY), ("resource::http::write", Effects.EFFECTFUL),
])  # fmt: skip
def test_read_and_write_hints_on_http_nodes(hint: str, effects: Effects) -> None:
    @node(summary="Call out", uses=[hint], effects=effects, determinism="best_effort")
    async def call_out(payment: Payment) -> str:
        return str(payment)

    made = flow_of(take_payment, call_out).ir().nodes[1]
    assert [hint] == made.effect_hints
    assert effects is made.effects


@pytest.mark.parametrize(("payload", "expected"), [
    ({"type": "card", "number": "4111"}, "Card"), ({"type": "cash", "amount": 5}, "Cash"),
])  # fmt: skip
async def test_flow_enum_is_tagged_with_type(payload: Any, expected: str) -> None:
    port = port_of(Payment)
    assert payload == port.encode(port.decode(payload))
    runner = Runner(flow_of(take_payment, normalize_input).program(), Services())
    assert Value(expected) == await runner.run(Invocation(payload))


@pytest.mark.parametrize("payload", [{"type": "coin"}, {"amount": 5}, "cash", {"type": "cash"}])
def test_flow_enum_on_a_non_enum(payload: Any) -> None:
    with pytest.raises(PortRefused):
        port_of(Payment).decode(payload)
