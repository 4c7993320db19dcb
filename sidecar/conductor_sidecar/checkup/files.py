"""The state directory: whose it is, who may look in, and what lies there.

Promise: every file of ours is named that others could read or replace. Refusal: a mend narrows
modes and removes a dead socket, nothing else; see `leftovers` for what is old.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from conductor_sdk.workspace import SOCKET_PATH_MAX
from conductor_sidecar.checkup.finding import Check, Finding, Mend, fail, ok, skip, warn
from conductor_sidecar.checkup.scene import Scene

NAMES_MAX = 5


def workspace(scene: Scene) -> Finding:
    """Look whether the workspace can be written."""
    root = scene.workspace.root
    if not os.access(root, os.W_OK | os.X_OK):
        return fail(f"{scene.workspace.shown} cannot be written", f"ls -ld {root}")
    return ok(scene.workspace.shown)


def state_directory(scene: Scene) -> Finding:
    """Look at owner and mode of the state directories."""
    directory = scene.workspace.state_dir
    if not directory.exists():
        return skip("there is none yet; the first command makes it")
    scene.workspace.check()
    for place in _directories(scene):
        mode = stat.S_IMODE(place.stat().st_mode)
        if mode & 0o077:
            return fail(f"mode {mode:04o}: others can look into {place.name}", f"chmod 700 {place}")
    return ok("mode 0700, and it is yours")


def modes(scene: Scene) -> Finding:
    """Look at owner and mode of every file in them."""
    files = [path for path in scene.private_files() if stat.S_ISREG(path.lstat().st_mode)]
    if not files:
        return skip("there are none yet")
    foreign = [path for path in files if path.lstat().st_uid != os.geteuid()]
    if foreign:
        return fail(f"of another user: {_names(foreign)}", f"chown $(id -u) {foreign[0]}")
    wide = _wide(scene)
    if wide:
        return fail(f"open to others: {_names(wide)}", f"chmod 600 {scene.workspace.state_dir}/*")
    return ok(f"{len(files)} files, none open to others")


def symlinks(scene: Scene) -> Finding:
    """Look for links where files of ours belong."""
    places = [*scene.private_files(), scene.workspace.root / ".sidekick"]
    links = [path for path in places if path.is_symlink()]
    if links:
        return fail(f"symbolic links: {_names(links)}", f"look at it: ls -l {links[0]}")
    if not scene.workspace.state_dir.exists():
        return skip("there is no state yet")
    return ok("none where a file of ours belongs")


def socket_file(scene: Scene) -> Finding:
    """Look for a control socket that nobody answers on."""
    path = scene.workspace.control_socket
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return (
            ok("there is none")
            if not scene.running()
            else warn("a sidecar answers without one", "restart it: conductor sidecar")
        )
    if not stat.S_ISSOCK(facts.st_mode):
        return fail(f"{path.name} is not a socket", f"rm {path}")
    if stat.S_IMODE(facts.st_mode) & 0o077:
        return fail("others may connect", f"chmod 600 {path}")
    if scene.running():
        return ok("a sidecar answers")
    if not scene.lock_is_free():
        holder = scene.holder()
        who = f"{holder.command}, process {holder.pid}" if holder else "somebody"
        return warn(f"{who} owns the workspace and does not answer", "run: conductor status")
    return warn("stale: nobody answers", "run: conductor doctor --fix")


def socket_path(scene: Scene) -> Finding:
    """Look whether other programs can connect to the control socket by its name."""
    length = len(os.fsencode(scene.workspace.control_socket))
    if length > SOCKET_PATH_MAX:
        return warn(f"{length} bytes: commands reach it all the same, curl by its name does not",
                    "use a shorter path where other programs connect")  # fmt: skip
    return ok(f"{length} of {SOCKET_PATH_MAX} bytes")


def narrow(scene: Scene) -> list[str]:
    """Take the rights of others away."""
    done: list[str] = []
    for place in _directories(scene):
        if stat.S_IMODE(place.stat().st_mode) & 0o077:
            place.chmod(0o700)
            done.append(f"chmod 700 {place}")
    for path in _wide(scene):
        path.chmod(0o600)
        done.append(f"chmod 600 {path}")
    return done


def remove_socket(scene: Scene) -> list[str]:
    """Remove a socket on which nobody answers, while nobody owns the workspace."""
    import asyncio

    from conductor_sdk.workspace import remove_control_socket
    from conductor_sidecar.app import workspace_lock

    path = scene.workspace.control_socket
    if not path.is_socket() or scene.running():
        return []
    lock = workspace_lock(scene.workspace, "conductor doctor")
    asyncio.run(lock.acquire(0.0))
    try:
        remove_control_socket(scene.workspace)
    finally:
        lock.release()
    return [f"rm {path}"]


def _directories(scene: Scene) -> list[Path]:
    places = (scene.workspace.state_dir, scene.workspace.packs_dir)
    return [place for place in places if place.is_dir() and not place.is_symlink()]


def _wide(scene: Scene) -> list[Path]:
    return [
        path
        for path in scene.private_files()
        if stat.S_ISREG(path.lstat().st_mode) and stat.S_IMODE(path.lstat().st_mode) & 0o077
    ]


def _names(paths: list[Path]) -> str:
    more = f" and {len(paths) - NAMES_MAX} more" if len(paths) > NAMES_MAX else ""
    return ", ".join(path.name for path in paths[:NAMES_MAX]) + more


_NARROW = Mend("Takes the rights of others away: 0700 for directories, 0600 for files.", narrow)
CHECKS = (
    Check("files.workspace", "workspace", "fail", "The workspace can be written.", workspace),
    Check("files.state_directory", "state directory", "fail",
          "The state directories are yours, mode 0700, and no link leads out.",
          state_directory, _NARROW),
    Check("files.modes", "private files", "fail", "Each file in them is yours, mode 0600.",
          modes, _NARROW),
    Check("files.symlinks", "symbolic links", "fail",
          "No file of ours is a symbolic link.", symlinks),
    Check("files.socket", "control socket", "fail",
          "The control socket is a socket that somebody answers on.", socket_file,
          Mend("Removes a socket that nobody answers on, under the workspace's lock.",
               remove_socket)),
    Check("files.socket_path", "socket path", "warn",
          "The path of the control socket fits into an address.", socket_path),
)  # fmt: skip
