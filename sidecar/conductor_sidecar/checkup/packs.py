"""The packs: found, loaded, and the files that were agreed on.

Promise: packs are imported as the sidecar does it, and every entry point that is broken is named.
Refusal: no handler and no tool runs.
"""

from __future__ import annotations

from importlib import metadata

from conductor_sdk.pack_hash import tree_hash
from conductor_sidecar.checkup.finding import Check, Finding, fail, ok, skip
from conductor_sidecar.checkup.scene import Scene
from conductor_sidecar.pack_selection import selected_packs
from conductor_sidecar.packs import pack_reports

GROUPS = ("conductor.packs", "conductor.commands", "conductor.adapters", "conductor.projections")


def loaded(scene: Scene) -> Finding:
    """Load what the settings want, manifests included."""
    reports = pack_reports(selected_packs(scene.settings()))
    refused = [report.slug for report in reports if report.state == "refused"]
    if refused:
        return fail(f"refused: {', '.join(refused)}", "run: conductor packs")
    return ok(", ".join(each.slug for each in reports if each.state == "loaded") or "none")


def pins(scene: Scene) -> Finding:
    """Compare the files of each pinned pack with its hash."""
    from conductor_handlers.pack_lint.place import installed_places

    wanted = scene.settings().packs.pins
    if not wanted:
        return skip("no pack is pinned")
    places = {place.name.replace("_", "-"): place for place in installed_places()}
    for slug, pin in sorted(wanted.items()):
        if slug not in places:
            return fail(f"{slug} is pinned and not installed", "run: conductor packs")
        if tree_hash(places[slug].root) != pin:
            return fail(f"{slug} is not what was pinned", f"run: conductor pack validate {slug}")
    return ok(f"{len(wanted)} as pinned")


def entry_points(_: Scene) -> Finding:
    """Import everything that a distribution registers with us."""
    broken: list[str] = []
    found = 0
    for group in GROUPS:
        for entry in metadata.entry_points(group=group):
            found += 1
            try:
                entry.load()
            except (Exception, SystemExit) as error:  # noqa: BLE001  foreign code
                broken.append(f"{entry.name} of {group} ({type(error).__name__})")
    if broken:
        return fail(f"cannot be imported: {', '.join(broken[:3])}",
                    "reinstall the distribution that brings it, or remove it")  # fmt: skip
    return ok(f"{found} can be imported")


CHECKS = (
    Check("packs.loaded", "packs", "fail",
          "Every pack that is wanted loads, its manifest included.", loaded),
    Check("packs.pins", "pins", "fail",
          "The files of each pinned pack hash to its pin.", pins),
    Check("packs.entry_points", "entry points", "fail",
          "Every registered pack, command, adapter and projection can be imported.", entry_points),
)  # fmt: skip
