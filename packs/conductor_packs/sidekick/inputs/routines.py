"""What the routine tools take.

Promise: each model is the whole input of one tool, in both tool sets. Refusal: steps are taken as
they come and judged one by one by the tool, which says what it left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from conductor_packs.sidekick.inputs.fields import (
    FULL,
    NAME_MAX,
    STEPS_MAX,
    Cron,
    DryRun,
    Id,
    Input,
    Label,
    Limit,
)

_TOOL = {"type": "string", "minLength": 1, "maxLength": NAME_MAX}
_STEP = {
    "oneOf": [
        {**_TOOL, "description": "A tool, called with an empty input."},
        {
            "type": "object",
            "properties": {
                "tool": {**_TOOL, "description": "The tool's name."},
                "input": {"type": "object", "additionalProperties": True},
            },
            "required": ["tool"],
            "additionalProperties": False,
        },
    ]
}
Steps = Annotated[
    Sequence[Any],
    Field(min_length=1, max_length=STEPS_MAX),
    WithJsonSchema({"type": "array", "minItems": 1, "maxItems": STEPS_MAX, "items": _STEP}),
]
_STEPS = "What to call, in order. A step that cannot be used is left out and named in `warnings`."
_CRON = "When it is due: five fields, in UTC."
_STRICT = "Refuse the routine where there would be a warning."


class RoutineCreate(Input):
    """`routine:create`."""

    name: Label = Field(description="What it is called; names may repeat.")
    steps: Steps = Field(description=_STEPS)
    cron: Cron | None = Field(None, description=_CRON)
    enabled: bool = Field(default=True, description="Whether a runner may run it when it is due.")
    strict: bool = Field(default=False, description=_STRICT, json_schema_extra=FULL)
    dry_run: DryRun = False


class RoutineList(Input):
    """`routine:list`."""

    enabled_only: bool = Field(default=False, description="Leave out what is not enabled.")
    limit: Limit | None = Field(None, description="At most so many; all without it.")


class RoutineRun(Input):
    """`routine:run`."""

    id: Id = Field(description="The routine.")


class RoutineUpdate(Input):
    """`routine:update`: only what is named changes, null clears."""

    id: Id = Field(description="The routine.")
    name: Label | None = Field(None, description="What it is called.")
    steps: Steps | None = Field(None, description=_STEPS)
    cron: Cron | None = Field(None, description=_CRON, json_schema_extra={"null": "full"})
    enabled: bool | None = Field(None, description="False stops it.")
    strict: bool = Field(default=False, description=_STRICT)
    dry_run: DryRun = False


class RoutineDelete(Input):
    """`routine:delete`."""

    id: Id = Field(description="The routine.")
    dry_run: DryRun = False
