"""Every setting, its type, its default and its sentence.

Promise: `docs/reference/settings.md` is generated from here. Refusal: nothing is read here; where
values come from is `config`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0, le=1e9)]
"""Seconds: a generation at most, and neither NaN nor infinity."""
Count = Annotated[int, Field(gt=0, le=2**53)]


class Section(BaseModel):
    """A table of the configuration; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LinkSettings(Section):
    """How the conductor is reached."""

    adapter: str = Field(
        default="websocket", description="Name of the adapter: websocket or memory."
    )
    ca_file: str | None = Field(
        default=None, description="PEM file of extra trust anchors for wss://."
    )
    open_timeout_s: Positive = Field(default=10.0, description="Seconds to open a connection.")
    allow_plaintext: bool = Field(
        default=False, description="Allow ws:// to a host that is not this machine."
    )

    http_fallback_after_s: Positive | None = Field(
        default=60.0,
        description="Seconds without a link until queued events are pushed by HTTP; unset: never.",
    )


class ReconnectSettings(Section):
    """When to come back after a link ended."""

    first_spread_s: float = Field(
        default=30.0, ge=0, le=1e9, description="The first try is spread over this many seconds."
    )
    cap_s: Positive = Field(default=300.0, description="Longest pause between tries, in seconds.")


class DispatchSection(Section):
    """How handlers run."""

    concurrency: Count = Field(default=64, description="Handlers in progress at the same time.")
    deadline_s: Positive = Field(default=30.0, description="Seconds that one attempt may take.")
    max_attempts: Count = Field(default=5, description="Attempts before an event is a dead letter.")
    retry_first_s: Positive = Field(
        default=1.0, description="Delay after the first failed attempt."
    )
    retry_factor: float = Field(
        default=4.0, ge=1, le=1e6, description="Each further delay is longer by this."
    )
    retry_cap_s: Positive = Field(default=300.0, description="Longest delay between attempts.")
    window: Annotated[int, Field(ge=64)] = Field(
        default=4096, description="Events stored and not settled before the conductor is held back."
    )


class OutboxCaps(Section):
    """Caps of the outbox, or of one kind in it."""

    max_events: Count = Field(default=1_000_000, description="Events waiting for the conductor.")
    max_bytes: Count = Field(default=1_073_741_824, description="Bytes of waiting events.")
    max_age_s: Positive | None = Field(
        default=None, description="Seconds after which a waiting event is dropped; unset: never."
    )
    overflow: Literal["block", "reject", "drop_oldest", "drop_newest"] = Field(
        default="reject", description="What happens at a cap."
    )


class OutboxSettings(OutboxCaps):
    """The durable queue upstream."""

    kinds: dict[str, OutboxCaps] = Field(
        default_factory=dict, description="Caps of single kinds, by kind."
    )


class RetentionSettings(Section):
    """How long settled things are remembered."""

    days: Annotated[float, Field(gt=0, le=36_500)] = Field(
        default=7.0, description="Days that ids, keys and histories are kept."
    )


class PacksSettings(Section):
    """Which packs run; all that are installed unless disabled."""

    disabled: list[str] = Field(default_factory=list, description="Slugs of packs to leave out.")
    surfaces_disabled: list[Literal["http", "mcp", "sidekick-channel"]] = Field(
        default_factory=list[Literal["http", "mcp", "sidekick-channel"]],
        description="Surfaces that packs may not count on.",
    )


class LogSettings(Section):
    """Logs, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level that is written."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, JSON elsewhere."
    )


class DrainSettings(Section):
    """A clean stop."""

    deadline_s: Positive = Field(
        default=10.0, description="Seconds that running handlers are given."
    )


class Settings(Section):
    """All settings; `pack` holds the packs' own sections by their `config_key`."""

    link: LinkSettings = LinkSettings()
    reconnect: ReconnectSettings = ReconnectSettings()
    dispatch: DispatchSection = DispatchSection()
    outbox: OutboxSettings = OutboxSettings()
    retention: RetentionSettings = RetentionSettings()
    packs: PacksSettings = PacksSettings()
    logs: LogSettings = LogSettings()
    drain: DrainSettings = DrainSettings()
    pack: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Sections of packs, by config_key."
    )
