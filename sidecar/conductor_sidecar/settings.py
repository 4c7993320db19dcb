"""Every setting, its type, its default and its sentence.

Promise: `docs/reference/settings.md` is generated from here. Refusal: nothing is read here; where
values come from is `config`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from conductor_sdk.manifest_tools import PathScope, Scope

Positive = Annotated[float, Field(gt=0, le=1e9)]
"""Seconds: a generation at most, and neither NaN nor infinity."""
Count = Annotated[int, Field(gt=0, le=2**53)]


Address = Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^\[\]:\s]+):[0-9]{1,5}$")]
"""`host:port`; an IPv6 address in brackets."""


class Section(BaseModel):
    """A table of the configuration; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LinkSettings(Section):
    """How the conductor is reached."""

    adapter: str = Field(
        default="websocket", description="Name of the adapter: websocket, mqtt or memory."
    )
    ca_file: str | None = Field(
        default=None, description="PEM file of extra trust anchors for wss:// and mqtts://."
    )
    cert_file: str | None = Field(
        default=None, description="PEM file of a client certificate, where the adapter takes one."
    )
    key_file: str | None = Field(
        default=None, description="PEM file of its key; unset: it stands in cert_file."
    )
    open_timeout_s: Positive = Field(default=10.0, description="Seconds to open a connection.")
    allow_plaintext: bool = Field(
        default=False, description="Allow ws:// or mqtt:// to a host that is not this machine."
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
    pins: dict[str, Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]] = Field(
        default_factory=dict[str, str],
        description="What a pack's files must hash to, by slug; conductor pack validate compares.",
    )


class LogSettings(Section):
    """Logs, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level that is written."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, JSON elsewhere."
    )


class ReloadSettings(Section):
    """Taking over another configuration without a restart."""

    timeout_s: Positive = Field(
        default=10.0,
        description="Seconds that running handlers are waited for; then all stays as it was.",
    )


class DrainSettings(Section):
    """A clean stop."""

    deadline_s: Positive = Field(
        default=10.0, description="Seconds that running handlers are given."
    )


class ToolPolicy(Section):
    """One rule of the workspace over calls of tools."""

    tool: Annotated[str, Field(min_length=1, max_length=160)] = Field(
        description="Name of a tool, or a pattern: sidekick:* or channel:*."
    )
    decision: Literal["allow", "deny", "approval_required"] = Field(
        description="What becomes of a call; deny beats approval_required beats allow."
    )
    reason: str | None = Field(default=None, description="Shown to whoever is refused.")


def _everything() -> list[Scope]:
    return [PathScope(type="path", pattern="**", access=access) for access in ("read", "write")]


class ToolsSettings(Section):
    """What tools may do here, whoever calls them."""

    scopes: list[Scope] = Field(
        default_factory=_everything,
        description="Scopes of the workspace; a call gets what these, its caller and its tool "
        "share. `.lumenflow/**` is never written through a tool.",
    )
    policies: list[ToolPolicy] = Field(
        default_factory=list[ToolPolicy],
        description="Rules over calls: tables of tool (a pattern), decision and reason.",
    )
    default_decision: Literal["allow", "deny", "approval_required"] = Field(
        default="allow", description="What becomes of a call that no rule names."
    )
    deadline_s: Positive = Field(
        default=30.0, description="Seconds that a call may take, where the tool does not say."
    )
    result_days: Annotated[float, Field(gt=0, le=36_500)] = Field(
        default=7.0, description="Days that answers are kept by idempotency key."
    )
    max_concurrency: Count = Field(default=64, description="Calls in progress at the same time.")


class HttpSettings(Section):
    """Tools over TCP; the control socket is always there, for the same user."""

    listen: Address | None = Field(
        default=None, description="host:port to listen on, as 127.0.0.1:7433; unset: no TCP."
    )
    allow_remote: bool = Field(
        default=False,
        description="Listen on an address that other machines reach; put TLS in front.",
    )
    allow_tools: list[str] = Field(
        default_factory=list[str],
        description="Names or patterns of tools that may be called over TCP; none unless named.",
    )
    allowed_hosts: list[str] = Field(
        default_factory=list[str],
        description="Further values of the Host header; those of the address are allowed.",
    )
    allowed_origins: list[str] = Field(
        default_factory=list[str],
        description="Origins of browsers that may call; none unless named.",
    )
    body_max_bytes: Count = Field(
        default=4 * 1024 * 1024, description="Bytes of a request's body; more is 413."
    )


class MetricsSettings(Section):
    """What Prometheus reads: `/metrics`, on the control socket and where http.listen is set."""

    open: bool = Field(
        default=False,
        description="Answer scrapes over TCP without a token: whoever reaches the port may read "
        "names of packs, kinds and tools, and their counts.",
    )


class TracesSettings(Section):
    """Spans of the daemon's work, exported by OTLP over HTTP; off unless a collector is named."""

    otlp_endpoint: str | None = Field(
        default=None,
        description="Address of a collector, as http://127.0.0.1:4318; /v1/traces is added. "
        "Unset: OTEL_EXPORTER_OTLP_ENDPOINT, and without it no traces.",
    )
    headers_file: str | None = Field(
        default=None,
        description="File, readable by this user only, with a header in each line as "
        "`name: value`: the credential for the collector.",
    )
    sample_ratio: float = Field(
        default=1.0, ge=0, le=1, description="Share of traces that is recorded, picked by trace id."
    )
    timeout_s: Positive = Field(
        default=10.0, description="Seconds that the export of one batch may take, tries included."
    )
    queue_spans: Count = Field(
        default=8192,
        description="Spans that may wait for the collector; more are dropped, counted.",
    )


class McpSettings(Section):
    """Tools over the Model Context Protocol."""

    tools: list[str] = Field(
        default_factory=lambda: ["*"],
        description="Names or patterns of tools that are offered; fewer save the model's context.",
    )


class ApprovalsSettings(Section):
    """Leave for calls that need it."""

    ttl_s: Positive = Field(
        default=86_400.0, description="Seconds after which a request or an unused grant expires."
    )
    providers: list[str] = Field(
        default_factory=lambda: ["*"],
        description="Approvals that someone here can give: names, <slug>:* or *. Packs that "
        "require another are not loaded.",
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
    reload: ReloadSettings = ReloadSettings()
    tools: ToolsSettings = ToolsSettings()
    http: HttpSettings = HttpSettings()
    mcp: McpSettings = McpSettings()
    metrics: MetricsSettings = MetricsSettings()
    traces: TracesSettings = TracesSettings()
    approvals: ApprovalsSettings = ApprovalsSettings()
    pack: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Sections of packs, by config_key."
    )
