"""Which settings a running sidecar can take over.

Promise: what is not named here needs a restart, and the difference says so. Refusal: nothing is
taken over here.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from conductor_sidecar.settings import Section, Settings

LIVE_SECTIONS = frozenset({
    "reconnect", "dispatch", "outbox", "retention", "packs", "logs", "drain", "tools", "mcp",
    "approvals", "pack", "reload", "metrics",
})  # fmt: skip
LIVE_SETTINGS = frozenset({
    "link.ca_file", "link.cert_file", "link.key_file", "link.open_timeout_s",
    "link.allow_plaintext", "link.http_fallback_after_s", "http.listen", "http.allow_remote",
    "http.allow_tools", "http.allowed_hosts", "http.allowed_origins", "http.body_max_bytes",
})  # fmt: skip
"""Of the sections that are not live as a whole. Those of the link hold from its next connection."""


HELD = frozenset({"http.listen"})
"""What is not ours to change where a service manager hands over a listening socket."""
_WHY = {
    "link.adapter": "the adapter is chosen once, when the daemon starts",
    "traces": "the exporter of traces is opened once, when the daemon starts",
}
_HELD_WHY = "a service manager holds the socket: change its .socket unit"


def is_live(name: str, held: AbstractSet[str] = frozenset()) -> bool:
    """Tell whether a dotted setting is taken over without a restart; what is held is not."""
    if name in held:
        return False
    section, _, rest = name.partition(".")
    field = rest.partition(".")[0]
    return section in LIVE_SECTIONS or f"{section}.{field}" in LIVE_SETTINGS


def why_not(name: str, held: AbstractSet[str] = frozenset()) -> str:
    """Say why a setting that is not live needs a restart."""
    if name in held:
        return _HELD_WHY
    return _WHY.get(name) or _WHY.get(name.partition(".")[0]) or "it is read at the start only"


def taken_over(
    old: Settings, new: Settings, held: AbstractSet[str] = frozenset()
) -> Settings:  # fmt: skip
    """Return the new settings with what needs a restart as it was."""
    sections: dict[str, object] = {}
    for name in Settings.model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(after, Section):
            kept = {
                field: getattr(before, field)
                for field in type(after).model_fields
                if not is_live(f"{name}.{field}", held)
            }
            after = after.model_copy(update=kept)
        sections[name] = after
    return new.model_copy(update=sections)
