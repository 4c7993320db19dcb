"""The units of one host or one workspace, as they are installed.

Promise: the shipped files with the program's own path, and drop-ins for what differs; the same
request gives the same bytes. Refusal: nothing is written and no service manager is asked.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

from conductor_sidecar.systemd.errors import UnitRefused
from conductor_sidecar.systemd.escaping import assigned, instance_of, quoted

Manager = Literal["system", "user"]
NAME = "conductor-sidecar"
PACKAGE = "conductor_sidecar.systemd"
SHIPPED_PROGRAM = "/usr/bin/conductor"
NOTIFY_RELOAD = 253
"""The first systemd that knows `Type=notify-reload`."""
SYSTEM_UNITS = PurePosixPath("etc/systemd/system")
KEYS = (".ssh", ".gnupg", ".aws", ".azure", ".config/gcloud", ".kube", ".docker", ".netrc")
"""What a pack has no business to read in the home of the workspace's owner."""
_HOMES = ("/home", "/root", "/run/user")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to render."""

    program: Path
    """The installed `conductor`, absolute."""
    workspace: Path | None = None
    """Absolute; None: the host's own."""
    manager: Manager = "system"
    user: str | None = None
    """Whose workspace it is; needed for a workspace under the system's manager."""
    home: Path | None = None
    """That user's home; under the user's manager, where its units go."""
    listen: str | None = None
    """`host:port` of a socket unit for the tools; None: no socket unit."""
    url: str | None = None
    """The conductor's address, for the first enrollment."""
    version: int = NOTIFY_RELOAD - 1
    """Of the systemd that will read them."""


@dataclass(frozen=True, slots=True)
class UnitFile:
    """One file."""

    path: PurePosixPath
    """Relative to the root of the host."""
    text: str
    shared: bool = False
    """Whether the units of other workspaces need it too."""


def unit_name(wanted: Wanted, suffix: str = "service") -> str:
    """Return the name that `systemctl` takes.

    Raises:
        UnitRefused: No unit can carry the workspace's path.
    """
    if wanted.workspace is None:
        return f"{NAME}.{suffix}"
    return instance_of(NAME, wanted.workspace, suffix)


def shipped(name: str) -> str:
    """Return a shipped file, as it stands in the `systemd` folder."""
    return resources.files(PACKAGE).joinpath("files", name).read_text(encoding="utf-8")


def render(wanted: Wanted) -> list[UnitFile]:
    """Return every file, the shared ones first.

    Raises:
        UnitRefused: The host has no unit under a user's manager; a path, user, address or URL
            cannot stand in a unit.
    """
    _check(wanted)
    kind = NAME if wanted.workspace is None else f"{NAME}@"
    shared = wanted.workspace is not None
    directory, source = SYSTEM_UNITS, f"{kind}.service"
    if wanted.manager == "user":
        home = wanted.home or Path("/")
        directory = PurePosixPath(*home.parts[1:], ".config/systemd/user")
        source = f"user/{source}"
    service = _service(shipped(source), wanted)
    files = [UnitFile(directory / f"{kind}.service", service, shared)]
    if wanted.version >= NOTIFY_RELOAD:
        dropin = directory / f"{kind}.service.d" / "10-notify-reload.conf"
        files.append(UnitFile(dropin, shipped("notify-reload.conf"), shared))
    if wanted.workspace is None:
        for folder in ("sysusers", "tmpfiles"):
            path = PurePosixPath(f"etc/{folder}.d/{NAME}.conf")
            files.append(UnitFile(path, shipped(f"{NAME}.{folder}")))
    if wanted.listen is not None:
        files.append(UnitFile(directory / f"{kind}.socket", shipped(f"{kind}.socket"), shared))
    return [*files, *_dropins(wanted, directory)]


def _dropins(wanted: Wanted, directory: PurePosixPath) -> list[UnitFile]:
    files: list[UnitFile] = []
    lines = _own_lines(wanted)
    if lines:
        path = directory / f"{unit_name(wanted)}.d" / "50-conductor.conf"
        files.append(UnitFile(path, "\n".join(["[Service]", *lines, ""])))
    if wanted.listen is not None:
        path = directory / f"{unit_name(wanted, 'socket')}.d" / "50-listen.conf"
        note = "# The empty one takes back what the unit says."
        text = f"[Socket]\n{note}\nListenStream=\nListenStream={wanted.listen}\n"
        files.append(UnitFile(path, text))
    return files


def _own_lines(wanted: Wanted) -> list[str]:
    lines: list[str] = []
    if wanted.workspace is not None and wanted.manager == "system":
        lines += ["# The owner of the workspace.", f"User={wanted.user}"]
        if wanted.home is not None and wanted.home != Path("/"):
            lines.append("# Keys of that user, which no pack has to read.")
            lines += [f"InaccessiblePaths={_unreadable(wanted.home / key)}" for key in KEYS]
    if wanted.url is not None:
        lines.append(
            "# Asked once, with the enrollment token, by a workspace that is not enrolled."
        )
        lines.append(f"Environment={assigned('CONDUCTOR_URL', wanted.url)}")
    return lines


def _unreadable(path: Path) -> str:
    """Return a path that need not exist, for `InaccessiblePaths=`."""
    word = quoted(path)
    return f'"-{word[1:]}' if word.startswith('"') else f"-{word}"


def _service(text: str, wanted: Wanted) -> str:
    text = text.replace(f"ExecStart={SHIPPED_PROGRAM} ", f"ExecStart={quoted(wanted.program)} ")
    if str(wanted.program).startswith(tuple(f"{home}/" for home in _HOMES)):
        # With homes hidden the program itself would not be found.
        text = text.replace("ProtectHome=yes\n", "ProtectHome=read-only\n")
    return text


def _check(wanted: Wanted) -> None:
    if not wanted.program.is_absolute():
        raise UnitRefused(f"{wanted.program} is not an absolute path")
    if wanted.workspace is None and wanted.manager == "user":
        raise UnitRefused("the host's sidecar belongs to the system", hint="use --workspace DIR")
    if wanted.workspace is not None:
        if not str(wanted.workspace).isprintable():
            raise UnitRefused(f"{wanted.workspace!r} cannot stand in a unit")
        if wanted.manager == "system" and (not wanted.user or not _USER.fullmatch(wanted.user)):
            raise UnitRefused(f"{wanted.user!r} is not the name of a user", hint="use --as USER")
    if wanted.listen is not None:
        _check_listen(wanted.listen)
    if wanted.url is not None and urlsplit(wanted.url).scheme not in {"http", "https"}:
        raise UnitRefused(f"{wanted.url!r} is not an http or https URL")


def _check_listen(listen: str) -> None:
    host, _, port = listen.rpartition(":")
    try:
        local = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        local = False
    if not local or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 2**16:
        hint = "name it as 127.0.0.1:7433 or [::1]:7433"
        raise UnitRefused(f"{listen} is no address and port of this machine", hint=hint)
