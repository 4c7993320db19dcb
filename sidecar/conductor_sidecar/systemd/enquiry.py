"""What a unit must know of this machine: the program, the user, the version of systemd.

Promise: everything can be said by the caller instead, so units are rendered on machines without
systemd too. Refusal: a sidecar is not made root's because a directory is.
"""

from __future__ import annotations

import pwd
import re
import shutil
import subprocess
import sys
from pathlib import Path

from conductor_sidecar.systemd.errors import UnitRefused
from conductor_sidecar.systemd.units import NAME, NOTIFY_RELOAD, Manager, Wanted

ASK_S = 10.0


def enquire(
    *, workspace: Path | None, manager: Manager, program: Path | None = None,
    user: str | None = None, listen: str | None = None, url: str | None = None,
    version: int | None = None,
) -> Wanted:  # fmt: skip
    """Fill in from this machine what the caller leaves out.

    Raises:
        UnitRefused: The program is not found, there is no such user, or the workspace is root's
            and nobody else is named.
    """
    home: Path | None = None
    if manager == "user":
        home = Path.home()
    elif workspace is not None:
        user, home = _owner(workspace, user)
    return Wanted(
        program=program or find_program(), workspace=workspace, manager=manager, user=user,
        home=home, listen=listen, url=url, version=version or systemd_version(),
    )  # fmt: skip


def find_program() -> Path:
    """Return the `conductor` of this installation.

    Raises:
        UnitRefused: There is none.
    """
    beside = Path(sys.executable).with_name("conductor")
    found = str(beside) if beside.exists() else shutil.which("conductor")
    if found is None:
        raise UnitRefused("the program conductor is not found", hint="use --program PATH")
    return Path(found).absolute()


def systemd_version() -> int:
    """Return the version of this machine's systemd; without one, the oldest that we know.

    A unit for an older one runs under a newer one too.
    """
    program = shutil.which("systemctl")
    if program is None:
        return NOTIFY_RELOAD - 1
    try:
        answer = subprocess.run(  # noqa: S603  a fixed command
            [program, "--version"], capture_output=True, text=True, timeout=ASK_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return NOTIFY_RELOAD - 1
    found = re.match(r"systemd (\d+)", answer.stdout)
    return int(found[1]) if found else NOTIFY_RELOAD - 1


def _owner(workspace: Path, user: str | None) -> tuple[str, Path]:
    if user is None:
        user = _owner_of(workspace)
    try:
        return user, Path(pwd.getpwnam(user).pw_dir)
    except KeyError:
        if user == NAME:  # the files that make this user may be the ones to be installed
            return NAME, Path("/")
        raise UnitRefused(f"{user} is not a user here", hint="use --as USER") from None


def _owner_of(workspace: Path) -> str:
    uid = workspace.stat().st_uid
    if uid == 0:
        hint = f"use --as USER, or give it away: chown -R USER {workspace}"
        raise UnitRefused(f"{workspace} belongs to root, and a sidecar needs no rights", hint=hint)
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        raise UnitRefused(f"{uid} is not a user here", hint="use --as USER") from None
