"""What the channel tools take.

Promise: each model is the whole input of one tool, in both tool sets. Refusal: which providers
there are is not known here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from conductor_packs.sidekick.inputs.fields import (
    Content,
    Cursor,
    DryRun,
    Input,
    Label,
    Limit,
    Metadata,
    Moment,
    OptionalLabel,
)

ChannelType = Literal["terminal"]
_PROVIDER = "A transport that the daemon has; without it the message stays in the workspace."
_METADATA_MAX = "At most 65536 bytes as JSON."


class ChannelConfigure(Input):
    """`channel:configure`."""

    name: Label = Field(description="The channel; made if there is none of this name.")
    type: ChannelType | None = Field(None, description="Where it shows; terminal at first.")
    dry_run: DryRun = False


class ChannelList(Input):
    """`channel:list`."""

    type: ChannelType | None = Field(None, description="Only channels of this type.")
    limit: Limit | None = Field(None, description="At most so many; all without it.")


class ChannelSend(Input):
    """`channel:send`."""

    provider: OptionalLabel | None = Field(None, description=_PROVIDER)
    channel: OptionalLabel | None = Field(
        None, description="The channel's name; `default` without it. Made if there is none."
    )
    content: Content = Field(description="The message.")
    sender: OptionalLabel | None = Field(
        None, description="Who speaks; `assistant` without it. Not handed to a provider."
    )
    metadata: Metadata | None = Field(
        None, description=f"Kept with the message, or handed to the provider. {_METADATA_MAX}"
    )
    dry_run: DryRun = False


class ChannelReceive(Input):
    """`channel:receive`."""

    provider: OptionalLabel | None = Field(None, description=_PROVIDER)
    channel: OptionalLabel | None = Field(
        None, description="The channel's name; all channels without it, a provider's `default`."
    )
    cursor: Cursor | None = Field(None, description="Where the last answer of a provider ended.")
    limit: Limit | None = Field(None, description="At most so many, the newest.")
    since: Moment | None = Field(None, description="Only messages sent then or later.")
    metadata: Metadata | None = Field(
        None, description=f"Handed to the provider; only with one. {_METADATA_MAX}"
    )


class ChannelDelete(Input):
    """`channel:delete`."""

    name: Label = Field(description="The channel; its messages go with it.")
    dry_run: DryRun = False
