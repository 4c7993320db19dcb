"""The manifest of a pack, as its author writes it.

Promise: a manifest is complete and frozen once it exists; every unknown key, wrong type and bad
value is named with its JSON pointer. Refusal: nothing is dropped silently, and whether the pack
can be loaded here (surfaces, approvals, handlers) is not asked; `pack_rules` asks it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from conductor_sdk.event import SLUG
from conductor_sdk.manifest_tools import (
    LaneTemplate,
    ManifestPart,
    Name,
    Names,
    PackPath,
    PolicyManifest,
    ToolManifest,
)
from conductor_sdk.pack_errors import ManifestInvalid
from conductor_sdk.yaml12 import YAML_MAX_BYTES, load_yaml

BackpressureKind: TypeAlias = Literal["queue", "ephemeral"]
"""queue: durable until confirmed; ephemeral: tried once while connected."""

Version = Annotated[
    str,
    StringConstraints(
        pattern=r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
        r"(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$",
        max_length=160,
    ),
]
_SHOWN = 120


def _slug(value: str) -> str:
    if SLUG.match(value) is None:
        raise ValueError("a slug is lower-case words joined by hyphens: acme-demo")
    return value


class PackManifest(ManifestPart):
    """What a pack declares: `manifest.yaml`, or the same fields in Python."""

    id: Name
    slug: Annotated[Name, AfterValidator(_slug)] = ""
    """The prefix of the pack's kinds; defaults to `id`."""
    version: Version
    """Semantic version."""
    config_key: Name | None = None
    """The pack's own section of the configuration."""
    config_schema: PackPath | None = None
    """A JSON Schema file for that section, relative to the pack."""
    task_types: Names = ()
    tools: Annotated[Sequence[ToolManifest], AfterValidator(tuple)] = ()
    policies: Annotated[Sequence[PolicyManifest], AfterValidator(tuple)] = ()
    evidence_types: Names = ()
    state_aliases: Mapping[Name, Name] = Field(default_factory=dict[str, str])
    lane_templates: Annotated[Sequence[LaneTemplate], AfterValidator(tuple)] = ()
    capability_factory: PackPath | None = None
    policy_factory: PackPath | None = None
    emitted_event_kinds: Names = ()
    """Kinds that the pack may push; each `<slug>:<event_name_snake_case>`."""
    subscribed_event_kinds: Names = ()
    """Kinds that the pack has a handler for; its own, another pack's or the conductor's."""
    required_approvals: Names = ()
    """Approvals that an installed provider must be able to give."""
    surfaces_required: Names = ("http",)
    """Surfaces without which the pack is not loaded."""
    backpressure_policy: Mapping[Name, BackpressureKind] = Field(
        default_factory=dict[str, BackpressureKind]
    )
    """One entry for each emitted kind, and no other."""

    @model_validator(mode="before")
    @classmethod
    def _slug_from_id(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            fields = cast("Mapping[str, Any]", given)
            return {"slug": fields.get("id"), **fields} if "id" in fields else fields
        return given

    @classmethod
    def from_yaml(cls, path: Path | str) -> PackManifest:
        """Read a manifest file: YAML 1.2, at most 256 KiB, no aliases, no repeated keys.

        Raises:
            ManifestInvalid: With every problem of the file, each with its JSON pointer.
            YamlRefused: The text is not acceptable YAML; a ManifestInvalid, with the line.
        """
        path = Path(path)
        try:
            with path.open("rb") as file:
                source = file.read(YAML_MAX_BYTES + 1)
        except OSError as error:
            raise ManifestInvalid(f"{path}: {error.strerror}", value=str(path)) from None
        try:
            return cls.from_mapping(load_yaml(source))
        except ManifestInvalid as error:
            error.detail = f"{path.name}: {error.detail}"
            raise

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> PackManifest:
        """Build a manifest from decoded fields.

        Raises:
            ManifestInvalid: With every problem, each with its JSON pointer.
        """
        if not isinstance(fields, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ManifestInvalid("a manifest is a mapping", value=type(fields).__name__)
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise manifest_invalid(error) from None


def manifest_invalid(error: ValidationError) -> ManifestInvalid:
    """Turn pydantic's answer into one refusal that lists every problem.

    `data["problems"]` holds `{pointer, message, value}`; the first is also the detail.
    """
    problems = [_problem(entry) for entry in error.errors(include_url=False, include_context=False)]
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return ManifestInvalid(
        f"{first['pointer'] or '/'}: {first['message']}{more}",
        value=first["value"],
        hint=_hint(first["pointer"], first["message"]),
        data={"problems": problems},
    )


def _problem(entry: Any) -> dict[str, str]:
    pointer = _pointer(entry["loc"])
    message = str(entry["msg"]).removeprefix("Value error, ")
    if entry["type"] == "extra_forbidden":
        message = "unknown key" + _did_you_mean(str(entry["loc"][-1]))
    elif entry["type"] == "missing":
        message = "required"
    value = entry["input"] if entry["type"] not in {"missing", "extra_forbidden"} else ""
    text = str(value) if not isinstance(value, Mapping) else "a mapping"
    return {"pointer": pointer, "message": message, "value": text[:_SHOWN] or pointer}


def _pointer(location: tuple[int | str, ...]) -> str:
    # A scope's location holds its discriminator, which is no step of the document.
    steps = [
        step
        for index, step in enumerate(location)
        if not (step in {"path", "network"} and location[max(0, index - 2)] == "required_scopes")
    ]
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def _did_you_mean(key: str) -> str:
    import difflib

    known = [*PackManifest.model_fields, *ToolManifest.model_fields]
    near = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _hint(pointer: str, message: str) -> str:
    if message.startswith("unknown key"):
        return f"remove or rename {pointer}"
    return f"add {pointer}" if message == "required" else f"correct {pointer}"
