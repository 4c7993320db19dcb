"""Ports: JSON on the one side, Python types on the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel, Field
from pydantic import dataclasses as pydantic_dataclasses

from conductor_flows.dsl.errors import FlowRefused
from conductor_flows.dsl.gatherings import Window
from conductor_flows.dsl.port_types import assignable, type_name
from conductor_flows.dsl.ports import port_of, to_json
from conductor_flows.execute.errors import PortRefused
from conductor_flows.ir.model import Named, Opaque


class Line(BaseModel):
    sku: str
    count: Annotated[int, Field(gt=0)]
    buyer: str = Field(default="", json_schema_extra={"x-data-class": "pii.name"})


class Order(BaseModel):
    lines: list[Line]
    note: str | None = None


@dataclass
class Address:
    street: str
    email: str = field(default="", metadata={"x-data-class": "pii.email"})


@dataclass
class Customer:
    name: str
    address: Address


@dataclass
class Mixed:
    """A dataclass with a model inside."""

    order: Order


@pydantic_dataclasses.dataclass
class Checked:
    count: Annotated[int, Field(ge=1)]


class Point(msgspec.Struct):
    x: int
    y: Annotated[int, msgspec.Meta(extra_json_schema={"x-data-class": "geo"})]


class Colour(Enum):
    RED = "red"


class Settings(TypedDict):
    depth: int


class Pair(NamedTuple):
    left: int
    right: str


class Node(msgspec.Struct):
    children: list[Node] = []


class Card(msgspec.Struct, tag_field="type", tag="card"):
    number: str


class Cash(msgspec.Struct, tag_field="type", tag="cash"):
    amount: int


class Circle(BaseModel):
    type: Literal["circle"] = "circle"
    radius: int


class Square(BaseModel):
    type: Literal["square"] = "square"
    side: int


Shape = Annotated[Circle | Square, Field(discriminator="type")]


class Plain:
    """Nothing says how it looks in JSON."""


VALUES = [
    (Order, Order(lines=[Line(sku="a", count=2)]),
     {"lines": [{"sku": "a", "count": 2, "buyer": ""}], "note": None}),
    (Customer, Customer("Ada", Address("High St", "a@b")),
     {"name": "Ada", "address": {"street": "High St", "email": "a@b"}}),
    (Mixed, Mixed(Order(lines=[])), {"order": {"lines": [], "note": None}}),
    (Checked, Checked(3), {"count": 3}),
    (Point, Point(1, 2), {"x": 1, "y": 2}),
    (list[Point], [Point(1, 2)], [{"x": 1, "y": 2}]),
    (dict[str, Order], {"a": Order(lines=[])}, {"a": {"lines": [], "note": None}}),
    (Settings, {"depth": 1}, {"depth": 1}),
    (Pair, Pair(1, "b"), [1, "b"]),
    (tuple[int, Line], (1, Line(sku="a", count=1)), [1, {"sku": "a", "count": 1, "buyer": ""}]),
    (Window[Line], Window(0, 10, [Line(sku="a", count=1)], "p"),
     {"window_start": 0, "window_end": 10, "items": [{"sku": "a", "count": 1, "buyer": ""}],
      "partition": "p"}),
    (Colour, Colour.RED, "red"),
    (Literal["a", "b"], "b", "b"),
    (int | None, None, None),
    (datetime, datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"),
    (date, date(2026, 1, 2), "2026-01-02"),
    (UUID, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (bytes, b"hi", "aGk="),
    (Card | Cash, Cash(5), {"type": "cash", "amount": 5}),
    (Shape, Square(side=5), {"type": "square", "side": 5}),
    (Any, {"a": [1, None]}, {"a": [1, None]}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "json"), VALUES)
def test_a_value_goes_to_json_and_comes_back(kind: Any, value: Any, json: Any) -> None:
    port = port_of(kind)
    assert json == port.encode(value)
    assert value == port.decode(json)
    assert json == port.encode(json)


@pytest.mark.parametrize(("kind", "value", "json"), VALUES)
def test_encoding_goes_by_the_value_and_not_by_the_port(kind: Any, value: Any, json: Any) -> None:
    assert {"in": [json]} == port_of(Any).encode({"in": [value]})


REFUSED = [
    (Order, {"lines": [{"sku": "a", "count": 1}, {"sku": "a", "count": 0}]}, "/lines/1/count"),
    (Order, {"lines": [{"count": 1}]}, "/lines/0/sku"),
    (Order, {"lines": [], "note": 7}, "/note"),
    (Order, 7, ""),
    (Customer, {"name": "Ada", "address": {"street": 7}}, "/address/street"),
    (Customer, {"name": "Ada", "address": {}}, "/address"),
    (Point, {"x": 1, "y": "2"}, "/y"),
    (list[Point], [{"x": 1, "y": 2}, {"x": None, "y": 2}], "/1/x"),
    (dict[str, Line], {"a/b": {"sku": 1, "count": 1}}, "/a~1b/sku"),
    (Line | Address, {"sku": 7, "count": 1}, "/sku"),
    (int, "7", ""),
    (Card | Cash, {"type": "cash", "amount": "5"}, "/amount"),
    (Shape, {"type": "square", "side": None}, "/side"),
    (Checked, {"count": 0}, "/count"),
    (Literal["a"], "b", ""),
]


@pytest.mark.parametrize(("kind", "value", "pointer"), REFUSED)
def test_what_does_not_fit_is_refused_with_its_place(kind: Any, value: Any, pointer: str) -> None:
    with pytest.raises(PortRefused) as refused:
        port_of(kind).decode(value)
    assert pointer == refused.value.pointer
    assert refused.value.detail


def test_a_value_without_a_json_form_is_refused() -> None:
    with pytest.raises(PortRefused, match="a value of the type Plain has no JSON form"):
        to_json({"a": [Plain()]})


@pytest.mark.parametrize("kind", [Plain, list[Plain], Order | Plain])
def test_a_type_without_a_json_form_is_no_port(kind: Any) -> None:
    with pytest.raises(FlowRefused) as refused:
        port_of(kind)
    assert "DAG001" == refused.value.code


def test_types_are_named_and_any_is_opaque() -> None:
    assert Named(name="Order") == port_of(Order).reference()
    assert Named(name="list[Line]") == port_of(list[Line]).reference()
    assert Opaque() == port_of(Any).reference()
    assert {} == port_of(Any).schema()
    assert "dict[str, int | None]" == type_name(dict[str, int | None])
    assert "tuple[int, ...]" == type_name(tuple[int, ...])
    assert "Literal['a', 1]" == type_name(Literal["a", 1])
    assert "Window[Line]" == type_name(Window[Line])


def test_a_schema_tells_what_a_port_takes() -> None:
    assert "object" == port_of(Order).schema()["type"]
    assert {"type": "array", "items": {"type": "integer"}} == port_of(list[int]).schema()


def test_data_classes_come_from_field_metadata_at_any_depth() -> None:
    assert {"/lines/*/buyer": "pii.name"} == port_of(Order).data_classes()
    assert {"/address/email": "pii.email"} == port_of(Customer).data_classes()
    assert {"/*/y": "geo"} == port_of(list[Point]).data_classes()
    assert {} == port_of(Node).data_classes()


class Rush(Order):
    pass


ASSIGNABLE = [
    (Rush, Order, True), (Order, Rush, False), (Order, Any, True), (Any, Order, True),
    (int, float, True), (float, int, False), (int, int | None, True), (int | str, int, False),
    (list[int], list[str], False), (list[int], list[int], True), (list[int], list, True),
    (Literal["a"], str, True), (str, Literal["a"], False), (dict[str, Any], Settings, True),
    (Annotated[int, 1], int, True), (None, int | None, True), (Window[Order], Window[Line], False),
]  # fmt: skip


@pytest.mark.parametrize(("source", "target", "fits"), ASSIGNABLE)
def test_a_type_fits_where_its_values_do(source: Any, target: Any, fits: bool) -> None:
    assert fits is assignable(source, target)


@dataclass(frozen=True)
class Inner:
    a: int
    b: str = "given"


@dataclass
class Outer:
    one: Inner
    more: list[Inner] = field(default_factory=list[Inner])
    by_name: dict[str, Inner] = field(default_factory=dict[str, Inner])
    pair: tuple[Inner, int] | None = None


@dataclass
class Optional:
    c: int = 7


class Holder(msgspec.Struct):
    inner: Inner


@dataclass(slots=True)
class Slotted:
    a: int
    b: str = "given"


@pytest.mark.parametrize(("tp", "read", "written"), [
    (Inner, {"a": 1}, {"a": 1, "b": "given"}),
    (Slotted, {"a": 1}, {"a": 1, "b": "given"}),
    (Optional, {}, {"c": 7}),
    (Holder, {"inner": {"a": 1}}, {"inner": {"a": 1, "b": "given"}}),
    (list[Inner], [{"a": 1}], [{"a": 1, "b": "given"}]),
    (Outer,
     {"one": {"a": 1}, "more": [{"a": 2}], "by_name": {"x": {"a": 3}}, "pair": [{"a": 4}, 5]},
     {"one": {"a": 1, "b": "given"}, "more": [{"a": 2, "b": "given"}],
      "by_name": {"x": {"a": 3, "b": "given"}}, "pair": [{"a": 4, "b": "given"}, 5]}),
])  # fmt: skip
def test_what_json_leaves_out_is_written_with_its_default(tp: Any, read: Any, written: Any) -> None:
    port = port_of(tp)
    assert written == port.encode(port.decode(read))
