"""Which settings a running sidecar can take over.

Promise: what is not named here needs a restart, and the difference says so. Refusal: nothing is
taken over here.
"""

from __future__ import annotations

from conductor_sidecar.settings import Section, Settings

LIVE_SECTIONS = frozenset({
    "reconnect", "dispatch", "outbox", "retention", "packs", "logs", "drain", "tools", "mcp",
    "approvals", "pack", "reload",
})  # fmt: skip
LIVE_SETTINGS = frozenset({
    "link.ca_file", "link.cert_file", "link.key_file", "link.open_timeout_s",
    "link.allow_plaintext", "http.allow_tools", "http.allowed_hosts", "http.allowed_origins",
    "http.body_max_bytes",
})  # fmt: skip
"""Of the sections that are not live as a whole. Those of the link hold from its next connection."""


def is_live(name: str) -> bool:
    """Tell whether a dotted setting is taken over without a restart."""
    section, _, rest = name.partition(".")
    field = rest.partition(".")[0]
    return section in LIVE_SECTIONS or f"{section}.{field}" in LIVE_SETTINGS


def taken_over(old: Settings, new: Settings) -> Settings:
    """Return the new settings with what needs a restart as it was."""
    sections: dict[str, object] = {}
    for name in Settings.model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(after, Section):
            kept = {
                field: getattr(before, field)
                for field in type(after).model_fields
                if not is_live(f"{name}.{field}")
            }
            after = after.model_copy(update=kept)
        sections[name] = after
    return new.model_copy(update=sections)
