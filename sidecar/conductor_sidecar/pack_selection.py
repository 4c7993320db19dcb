"""Which of the installed packs the settings want.

Promise: the daemon, the doctor and every command choose alike. Refusal: nothing is started.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from conductor_handlers.pack_sources import Candidate
from conductor_handlers.registry import Registry, load_registry
from conductor_sdk.pack import Pack
from conductor_sdk.pack_errors import PackRefused, SurfaceUnavailable
from conductor_sdk.pack_rules import DEFAULT_SURFACES
from conductor_sidecar.approval_pack import approval_pack
from conductor_sidecar.approvals import ApprovalDesk
from conductor_sidecar.settings import Settings


def selected_packs(
    settings: Settings, desk: ApprovalDesk | None = None,
    revised: Callable[[Candidate, Pack], Pack] | None = None,
) -> Registry:  # fmt: skip
    """Find, import and check the installed packs that are not disabled, and the daemon's own.

    Args:
        settings: What is disabled, and who can give which approvals.
        desk: Who decides about approvals; nobody where packs are only listed.
        revised: As `load_registry`.
    """
    packs, disabled = [approval_pack(desk)], settings.packs.disabled
    return _load(settings, packs=packs, disabled=disabled, revised=revised)


def packs_of(directory: Path | None, settings: Settings) -> Registry:
    """Check the packs of a project directory, or all installed ones, disabled ones included.

    What is available and who gives approvals is as for `selected_packs`.
    """
    return _load(settings, directory=directory)


def _load(
    settings: Settings, *, packs: Sequence[Pack] = (), directory: Path | None = None,
    disabled: Sequence[str] = (), revised: Callable[[Candidate, Pack], Pack] | None = None,
) -> Registry:  # fmt: skip
    unavailable = set(settings.packs.surfaces_disabled)
    registry = load_registry(
        packs=packs,
        directories=[] if directory is None else [directory],
        installed=directory is None,
        enabled=dict.fromkeys(disabled, False),
        surfaces=DEFAULT_SURFACES - unavailable,
        approval_providers=settings.approvals.providers,
        revised=revised,
    )
    # A surface that a pack provides may be disabled as well; the registry knows no such thing.
    against: dict[str, PackRefused] = {}
    for pack in registry.packs:
        for surface in unavailable.intersection(pack.pack.manifest.surfaces_required):
            against[pack.slug] = SurfaceUnavailable(f"{surface!r} is disabled", value=surface)
    return registry.without(against) if against else registry
