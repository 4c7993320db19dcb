"""Typed payloads: turn a JSON object into the type that a subscription names.

Promise: pydantic models, dataclasses and msgspec structs are accepted; the error names the field.
Refusal: no coercion beyond what the type's own library does in JSON mode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec


class PayloadMismatch(ValueError):
    """The payload does not fit; the text names the field and what was expected."""


def payload_converter(target: type[Any]) -> Callable[[Mapping[str, Any]], Any]:
    """Return a function from a JSON object to `target`.

    The function raises PayloadMismatch when the object does not fit.
    """
    if hasattr(target, "model_validate"):
        return _pydantic(target)

    def convert(payload: Mapping[str, Any]) -> Any:
        try:
            return msgspec.convert(payload, target)
        except msgspec.ValidationError as error:
            raise PayloadMismatch(str(error)) from None

    return convert


def _pydantic(target: type[Any]) -> Callable[[Mapping[str, Any]], Any]:
    from pydantic import ValidationError

    def convert(payload: Mapping[str, Any]) -> Any:
        try:
            return target.model_validate(payload)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = "/".join(str(part) for part in first["loc"])
            raise PayloadMismatch(f"/{where}: {first['msg']}") from None

    return convert
