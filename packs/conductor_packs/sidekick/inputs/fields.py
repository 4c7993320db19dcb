"""The kinds of fields that tools take, with their limits.

Promise: strings are trimmed, limits are generous and stand here, times and schedules are checked.
Refusal: nothing unknown is taken, nothing is coerced, and nothing over a limit is cut.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from conductor_packs.sidekick.times import CRON_MAX, MOMENT_MAX, check_cron, check_moment

TITLE_MAX = 500
BODY_MAX = 20_000
NOTE_MAX = 5_000
CONTENT_MAX = 100_000
NAME_MAX = 200
ID_MAX = 100
TAG_MAX = 100
TAGS_MAX = 50
QUERY_MAX = 1_000
CURSOR_MAX = 2_000
STEPS_MAX = 200
DEPENDENCIES_MAX = 100
LIMIT_MAX = 10_000
METADATA_MAX_BYTES = 65_536

FULL: dict[str, Any] = {"toolset": "full"}
"""Marks a field that only the full tool set has."""


class Input(BaseModel):
    """What every tool's input is: frozen, trimmed, closed to unknown fields."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        str_strip_whitespace=True,
        hide_input_in_errors=True,
    )

    def names(self, field: str) -> bool:
        """Tell whether the caller named the field, if only to clear it."""
        return field in self.model_fields_set


def _tags(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))


def _once(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _small(value: Mapping[str, Any]) -> Mapping[str, Any]:
    size = len(json.dumps(value, ensure_ascii=False).encode())
    if size > METADATA_MAX_BYTES:
        raise ValueError(f"is {size} bytes of JSON, at most {METADATA_MAX_BYTES} are taken")
    return value


def _text(most: int, least: int | None = 1) -> StringConstraints:
    return StringConstraints(min_length=least, max_length=most)


Title = Annotated[str, _text(TITLE_MAX)]
Body = Annotated[str, _text(BODY_MAX, None)]
Note = Annotated[str, _text(NOTE_MAX, None)]
Content = Annotated[str, _text(CONTENT_MAX)]
Label = Annotated[str, _text(NAME_MAX)]
OptionalLabel = Annotated[str, _text(NAME_MAX, None)]
Id = Annotated[str, _text(ID_MAX)]
Query = Annotated[str, _text(QUERY_MAX, None)]
Cursor = Annotated[str, _text(CURSOR_MAX, None)]
Moment = Annotated[
    str,
    _text(MOMENT_MAX),
    AfterValidator(check_moment),
    Field(json_schema_extra={"format": "date-time"}),
]
Cron = Annotated[str, _text(CRON_MAX), AfterValidator(check_cron)]
Tags = Annotated[
    Sequence[Annotated[str, _text(TAG_MAX, None)]],
    Field(max_length=TAGS_MAX),
    AfterValidator(_tags),
]
Ids = Annotated[Sequence[Id], Field(max_length=DEPENDENCIES_MAX), AfterValidator(_once)]
Limit = Annotated[int, Field(ge=1, le=LIMIT_MAX)]
_Key = Annotated[str, StringConstraints(strip_whitespace=False)]
Metadata = Annotated[Mapping[_Key, Any], AfterValidator(_small)]
Priority = Literal["P0", "P1", "P2", "P3"]
MemoryType = Literal["fact", "preference", "note", "snippet"]
DryRun = Annotated[bool, Field(description="Answer what would be done, and do nothing.")]
