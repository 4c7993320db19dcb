"""The sidecar as a service of systemd: its unit, its hardening, its watchdog.

Promise: works the same on a machine without systemd, where all of this is skipped. Refusal: no
unit is written and nothing is reloaded; `conductor systemd install` does that.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

from conductor_sidecar.checkup.finding import Check, Finding, ok, skip, warn
from conductor_sidecar.checkup.not_looked import NotLooked
from conductor_sidecar.checkup.process import environment_names
from conductor_sidecar.checkup.scene import Scene
from conductor_sidecar.systemd.installing import MARK
from conductor_sidecar.systemd.units import NAME

SYSTEM = "etc/systemd/system"
USER = ".config/systemd/user"
TOOL_S = 10.0
EXPOSURE_MAX = 2.0


def installed(scene: Scene) -> Finding:
    """Look for our units, and whether they are as they were written."""
    import hashlib

    units = _units(scene)
    if not units:
        return skip("no unit is installed; see: conductor systemd print")
    for path in units:
        text = path.read_text(encoding="utf-8", errors="replace")
        first, _, rest = text.partition("\n")
        if not first.startswith(MARK):
            return warn(f"{path.name} was not written by conductor systemd install",
                        f"compare: conductor systemd print; {path}")  # fmt: skip
        if first.removeprefix(MARK) != hashlib.sha256(rest.encode()).hexdigest():
            return warn(f"{path.name} was edited; an update will leave it alone",
                        f"move the change into a drop-in: systemctl edit {path.name}")  # fmt: skip
    return ok(", ".join(path.name for path in units))


def current(scene: Scene) -> Finding:
    """Compare the installed units with those that this version would write."""
    from conductor_sidecar.systemd.enquiry import enquire
    from conductor_sidecar.systemd.installing import marked
    from conductor_sidecar.systemd.units import render

    units = {path.name: path for path in _units(scene)}
    if not units:
        return skip("no unit is installed")
    user = all(USER in str(path) for path in units.values())
    for file in render(enquire(
        workspace=scene.workspace.root, manager="user" if user else "system", user=_user(),
    )):  # fmt: skip
        path = units.get(file.path.name)
        if path is not None and path.read_text(encoding="utf-8") != marked(file.text):
            return warn(f"{path.name} differs from what this version would write",
                        "look at the difference: conductor systemd install")  # fmt: skip
    return ok("as this version would write them")


def dropins(scene: Scene) -> Finding:
    """List drop-ins that are not ours."""
    found = [
        path for place in _places(scene) for path in sorted(place.glob(f"{NAME}*.d/*.conf"))
        if not path.read_text(encoding="utf-8", errors="replace").startswith(MARK)
    ]  # fmt: skip
    if found:
        names = ", ".join(f"{path.parent.name}/{path.name}" for path in found[:3])
        return ok(f"{len(found)} of the operator's: {names}")
    return ok("none beside ours") if _units(scene) else skip("no unit is installed")


def hardening(scene: Scene) -> Finding:
    """Ask systemd how exposed the service would be."""
    program = shutil.which("systemd-analyze")
    services = [path for path in _units(scene) if path.suffix == ".service"]
    if not services:
        return skip("no unit is installed")
    if program is None:
        return skip("there is no systemd-analyze here")
    answer = _run([program, "security", "--offline=true", "--no-pager", str(services[0])])
    found = re.search(r"exposure level for \S+ ([0-9.]+)", answer)
    if found is None:
        return skip("systemd-analyze does not say")
    text = f"{services[0].name} is exposed by {found[1]} of 10"
    if float(found[1]) > EXPOSURE_MAX:
        return warn(text, f"run: systemd-analyze security --offline=true {services[0]}")
    return ok(text)


def watchdog(scene: Scene) -> Finding:
    """Look whether the manager watches the running sidecar."""
    pid = scene.status()["pid"]
    names = environment_names(scene.root, pid)
    if "NOTIFY_SOCKET" not in names:
        return skip("the sidecar does not run under a service manager")
    if "WATCHDOG_USEC" not in names:
        return warn("the service manager does not watch it", "set WatchdogSec=60s in the unit")
    return ok("the service manager watches it")


def linger(scene: Scene) -> Finding:
    """Look whether a user's sidecar stays when that user logs out."""
    if not any(place.glob(f"{NAME}*") for place in _places(scene)[1:]) or not any(
        USER in str(path) for path in _units(scene)
    ):
        return skip("no unit of a user is installed")
    user = _user()
    if not scene.below(f"var/lib/systemd/linger/{user}").exists():
        return warn(f"the units of {user} end when {user} logs out",
                    f"run: loginctl enable-linger {user}")  # fmt: skip
    return ok(f"units of {user} stay")


def _places(scene: Scene) -> list[Path]:
    home = Path(scene.environ.get("HOME") or "/")
    return [scene.below(SYSTEM), scene.below(str(home / USER))]


def _units(scene: Scene) -> list[Path]:
    return [
        path
        for place in _places(scene)
        for path in sorted(place.glob(f"{NAME}*"))
        if path.suffix in {".service", ".socket"} and path.is_file()
    ]


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise NotLooked("this user has no name") from None


def _run(command: list[str]) -> str:
    try:
        answer = subprocess.run(  # noqa: S603  a fixed command
            command, capture_output=True, text=True, timeout=TOOL_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout


CHECKS = (
    Check("service.installed", "units", "warn",
          "Installed units are as `conductor systemd install` wrote them.", installed),
    Check("service.current", "units of this version", "warn",
          "They are what this version would write.", current),
    Check("service.dropins", "drop-ins", "warn", "Lists the operator's drop-ins.", dropins),
    Check("service.hardening", "hardening", "warn",
          "`systemd-analyze security --offline` says at most 2.0.", hardening),
    Check("service.watchdog", "watchdog", "warn",
          "The service manager watches the running sidecar.", watchdog),
    Check("service.linger", "linger", "warn",
          "A user's units stay when the user logs out.", linger),
)  # fmt: skip
