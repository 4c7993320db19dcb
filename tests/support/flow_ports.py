"""Types of ports, some within others and some with the names of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel


class Line(BaseModel):
    sku: str
    count: int


class Order(BaseModel):
    lines: list[Line]
    note: str = ""


@dataclass
class Part:
    name: str
    inner: Part | None = None


@dataclass
class Reply:
    part: Part


def other_order() -> Any:
    """A type of the name of another."""

    class Order(BaseModel):
        total: int

    return Order
