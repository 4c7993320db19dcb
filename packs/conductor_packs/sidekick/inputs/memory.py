"""What the memory tools take.

Promise: each model is the whole input of one tool, in both tool sets. Refusal: how a recall ranks
is not decided here.
"""

from __future__ import annotations

from pydantic import Field

from conductor_packs.sidekick.inputs.fields import (
    FULL,
    Content,
    DryRun,
    Id,
    Input,
    Limit,
    MemoryType,
    Moment,
    Query,
    Tags,
)


class MemoryStore(Input):
    """`memory:store`."""

    type: MemoryType = Field(description="What kind of memory.")
    content: Content = Field(description="What to remember.")
    tags: Tags = Field((), description="Blanks and repetitions are dropped.")
    dry_run: DryRun = False


class MemoryRecall(Input):
    """`memory:recall`."""

    query: Query | None = Field(
        None, description="Words to look for; the best match comes first. All without it."
    )
    type: MemoryType | None = Field(None, description="Only memories of this kind.")
    tags: Tags = Field((), description="Only memories with all of these; case does not matter.")
    since: Moment | None = Field(
        None, description="Only memories changed then or later.", json_schema_extra=FULL
    )
    until: Moment | None = Field(
        None, description="Only memories changed before then.", json_schema_extra=FULL
    )
    semantic: bool = Field(
        default=False,
        description="Also find what means the same; needs an embedder in the configuration.",
        json_schema_extra=FULL,
    )
    limit: Limit | None = Field(None, description="At most so many; all without it.")


class MemoryUpdate(Input):
    """`memory:update`: only what is named changes."""

    id: Id = Field(description="The memory.")
    type: MemoryType | None = Field(None, description="What kind of memory.")
    content: Content | None = Field(None, description="What to remember.")
    tags: Tags | None = Field(None, description="Replaces all tags.")
    dry_run: DryRun = False


class MemoryForget(Input):
    """`memory:forget`."""

    id: Id = Field(description="The memory; it cannot be brought back.")
    dry_run: DryRun = False
