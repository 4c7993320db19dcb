"""The configuration: valid, known, and from where.

Promise: a variable that looks like a setting and is none is named. Refusal: no value is shown.
"""

from __future__ import annotations

import stat
from pathlib import Path

from conductor_sidecar.checkup.finding import Check, Finding, fail, ok, skip, warn
from conductor_sidecar.checkup.scene import Scene
from conductor_sidecar.config import ENV_OTHERS, ENV_PREFIX, FILE_NAME
from conductor_sidecar.redaction import is_secret_name
from conductor_sidecar.wiring import find_adapter

OURS = ENV_OTHERS | {"CONDUCTOR_TRACEBACK", "CONDUCTOR_URL"}
"""Variables of ours that are no settings."""


def parses(scene: Scene) -> Finding:
    """Read every source of settings."""
    sources = set(scene.configuration().sources.values())
    return ok(", ".join(sorted(sources)) or "defaults")


def environment(scene: Scene) -> Finding:
    """Look for variables that are taken for settings and are none."""
    names = sorted(name for name in scene.environ if name.startswith(ENV_PREFIX))
    unknown = [name for name in names if "__" not in name and name not in OURS]
    if unknown:
        hint = "write them as CONDUCTOR_SECTION__NAME: conductor config show --defaults"
        return warn(f"of no effect: {', '.join(unknown)}", hint)
    return ok(f"{len(names)} of ours" if names else "none of ours is set")


def adapter(scene: Scene) -> Finding:
    """Find the adapter."""
    name = scene.settings().link.adapter
    find_adapter(name)
    return ok(name)


def private(scene: Scene) -> Finding:
    """Look whether others can read a secret in the settings file."""
    path = scene.config_file or Path(
        scene.environ.get("CONDUCTOR_CONFIG") or scene.workspace.root / FILE_NAME
    )
    if not path.exists():
        return skip("there is no settings file")
    secret = [
        item.name for item in scene.configuration().listing()
        if item.source == str(path) and is_secret_name(item.name) and item.value
    ]  # fmt: skip
    if secret and stat.S_IMODE(path.stat().st_mode) & 0o077:
        return fail(f"others can read {', '.join(secret)} in {path.name}", f"chmod 600 {path}")
    return ok("holds no secret that others can read")


CHECKS = (
    Check("settings.valid", "configuration", "fail",
          "Every source parses, every key is known; says which sources there are.", parses),
    Check("settings.environment", "environment", "warn",
          "No variable begins with `CONDUCTOR_` and sets nothing.", environment),
    Check("settings.adapter", "adapter", "fail", "The adapter is installed.", adapter),
    Check("settings.private", "settings file", "fail",
          "Others cannot read a settings file with a secret in it.", private),
)  # fmt: skip
