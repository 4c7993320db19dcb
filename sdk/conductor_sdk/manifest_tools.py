"""The parts of a manifest: tools with their scopes, policies, lane templates.

Promise: frozen models that refuse unknown keys. Refusal: nothing is imported or resolved here; an
`entry` is a name until the tool host asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StringConstraints

Name = Annotated[str, StringConstraints(min_length=1, max_length=160)]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$", max_length=160)]


def _inside(path: str) -> str:
    module = path.split("#", 1)[0]
    if "\0" in path or module.startswith(("/", "~")) or ".." in module.split("/"):
        raise ValueError("leads outside of the pack")
    if path.endswith("#"):
        raise ValueError("names no export after #")
    return path


def _once(values: Sequence[Any]) -> tuple[Any, ...]:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ValueError(f"{value!r} stands twice")
    return tuple(values)


PackPath = Annotated[Name, AfterValidator(_inside)]
"""A path relative to the pack, or `package.module:attribute`; never outside of the pack."""
Names = Annotated[Sequence[Name], AfterValidator(_once)]
"""Distinct non-empty strings; kept as a tuple."""


class ManifestPart(BaseModel):
    """What every part of a manifest is: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PathScope(ManifestPart):
    """Access to files under a pattern, relative to the workspace."""

    type: Literal["path"]
    pattern: Name
    access: Literal["read", "write"]


class NetworkScope(ManifestPart):
    """Access to the network; an allowlist names at least one `host:port` or CIDR."""

    type: Literal["network"]
    posture: Literal["off", "full", "allowlist"]
    allowlist_entries: Names = ()

    def model_post_init(self, _context: object, /) -> None:
        """Refuse an allowlist without entries."""
        if self.posture == "allowlist" and not self.allowlist_entries:
            raise ValueError("an allowlist needs allowlist_entries")


Scope = Annotated[PathScope | NetworkScope, Field(discriminator="type")]


class ToolManifest(ManifestPart):
    """One tool: what it is called, where it is, and what it may touch."""

    name: Name
    """`group:verb` by convention."""
    title: Name | None = None
    description: str | None = None
    """One or two sentences, for whoever chooses among tools."""
    entry: PackPath
    """`package.module:attribute`, a `conductor_sdk.tool.Tool`; imported at the first call."""
    permission: Literal["read", "write", "admin"] = "read"
    required_scopes: Annotated[Sequence[Scope], Field(min_length=1), AfterValidator(tuple)]
    required_env: Annotated[Sequence[EnvName], AfterValidator(_once)] = ()
    internal_only: StrictBool = False
    """Only packs may call it: it is neither listed nor found on any surface."""
    required_approvals: Names = ()
    """Approvals that each call needs, `<slug>:<name>`; none may be missing."""
    destructive: StrictBool = False
    """It removes or ends what cannot be brought back."""
    idempotent: StrictBool = False
    """Calling it again with the same input changes nothing more."""
    deadline_s: Annotated[float, Field(gt=0, le=3600)] | None = None
    """How long a call may take; the configuration's `tools.deadline_s` where it is not said."""
    input_schema: Mapping[str, Any] | None = None
    input_check: Literal["host", "tool"] = "host"
    """Who checks the input: the host, by `input_schema`; or the tool itself, where the schema may
    have changed since it was listed. The host then takes any object."""
    output_schema: Mapping[str, Any] | None = None


class PolicyManifest(ManifestPart):
    """A rule that the pack brings."""

    id: Name
    trigger: Literal["on_tool_request", "on_claim", "on_completion", "on_evidence_added"]
    decision: Literal["allow", "deny", "approval_required"]
    reason: str | None = None


class LaneTemplate(ManifestPart):
    """A lane that a workspace may be given."""

    id: Name
    title: str | None = None
    description: str | None = None
