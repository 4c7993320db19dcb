"""Which of the installed packs the settings want.

Promise: the daemon, the doctor and every command choose alike. Refusal: nothing is started.
"""

from __future__ import annotations

from conductor_handlers.registry import Registry, load_registry
from conductor_sdk.pack_rules import DEFAULT_SURFACES
from conductor_sidecar.settings import Settings


def selected_packs(settings: Settings) -> Registry:
    """Find, import and check the installed packs that are not disabled."""
    return load_registry(
        enabled=dict.fromkeys(settings.packs.disabled, False),
        surfaces=DEFAULT_SURFACES - set(settings.packs.surfaces_disabled),
    )
