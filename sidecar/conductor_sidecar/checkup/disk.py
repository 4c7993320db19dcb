"""The disk under the workspace, and what has gathered on it.

Promise: a file system that can lose what was synced, or is nearly full, is named. Refusal: what is
set aside is data: no mend removes it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from conductor_sidecar.checkup.finding import Check, Finding, Mend, fail, ok, skip, warn
from conductor_sidecar.checkup.not_looked import NotLooked
from conductor_sidecar.checkup.scene import Scene

LOW_BYTES = 256 * 2**20
MIN_BYTES = 32 * 2**20
LOW_INODES = 1_000
NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "afs", "glusterfs", "ceph", "lustre"})
FORGETFUL = frozenset({"tmpfs", "ramfs"})
LAYERED = frozenset({"overlay", "aufs"})
WEEK_S = 7 * 86_400
LEFT = re.compile(
    r".*\.(bak|tmp)|snapshot-[0-9a-f]{16}|\.[a-z.-]+\.(json|db|tar|token)\.[\w.-]+|.+\.salvaging.*"
)
"""Names that our own unfinished work has; a copy from before a migration ends in `.bak`."""
ASIDE = re.compile(r".+\.corrupt-\d.*|.+\.damaged-\d.*|before-restore-.+")


def filesystem(scene: Scene) -> Finding:
    """Look at the kind of file system."""
    kind, place = mount_of(scene)
    if kind in NETWORK:
        return warn(f"{kind} at {place}: locks and syncs depend on a server",
                    "use a local disk for the workspace")  # fmt: skip
    if kind in FORGETFUL:
        return warn(f"{kind} at {place}: a restart of the machine forgets all",
                    "use a disk for the workspace")  # fmt: skip
    if kind in LAYERED:
        return warn(f"{kind} at {place}: gone with its container",
                    "mount a volume for the workspace")  # fmt: skip
    return ok(f"{kind} at {place}")


def space(scene: Scene) -> Finding:
    """Look at the space that is left."""
    free = shutil.disk_usage(scene.workspace.root).free
    text = f"{free // 2**20} MiB free"
    if free < MIN_BYTES:
        return fail(text, f"make room: df -h {scene.workspace.root}")
    return ok(text) if free >= LOW_BYTES else warn(text, f"make room: df -h {scene.workspace.root}")


def inodes(scene: Scene) -> Finding:
    """Look at the files that can still be made."""
    facts = os.statvfs(scene.workspace.root)
    if not facts.f_files:
        return skip("this file system does not count them")
    text = f"{facts.f_favail} more files can be made"
    if facts.f_favail < LOW_INODES:
        return fail(text, f"remove files: df -i {scene.workspace.root}")
    return ok(text)


def read_only(scene: Scene) -> Finding:
    """Look whether the file system takes writes."""
    if os.statvfs(scene.workspace.root).f_flag & os.ST_RDONLY:
        return fail("it is mounted read-only", f"look why: findmnt -T {scene.workspace.root}")
    return ok("takes writes")


def leftovers(scene: Scene) -> Finding:
    """Look for unfinished work of our own that is older than a week."""
    found = list(_old(scene))
    if not found:
        return ok("none older than a week")
    names = ", ".join(path.name for path in found[:3])
    return warn(f"{len(found)} older than a week: {names}", "run: conductor doctor --fix")


def set_aside(scene: Scene) -> Finding:
    """Look for damaged and replaced stores that were kept."""
    places = (scene.workspace.state_dir, scene.workspace.state_dir.parent)
    found = [
        path for place in places if place.is_dir() for path in sorted(place.iterdir())
        if ASIDE.fullmatch(path.name) and path.suffix != ".json"
    ]  # fmt: skip
    if not found:
        return ok("nothing was set aside")
    now = scene.clock.now().timestamp()
    days = max(0, (now - min(path.stat().st_mtime for path in found)) / 86_400)
    total = sum(_size(path) for path in found) / 2**20
    text = f"{len(found)}, {total:.1f} MiB, the oldest {days:.0f} days old: {found[0].name}"
    return warn(text, "look: conductor log tail; remove them when nobody needs them")


def clear(scene: Scene) -> list[str]:
    """Remove what `leftovers` has found."""
    done: list[str] = []
    for path in _old(scene):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        done.append(f"rm {path}")
    return done


def mount_of(scene: Scene) -> tuple[str, str]:
    """Return the kind and the place of the mount that holds the workspace.

    Raises:
        NotLooked: The kernel does not say.
    """
    try:
        table = scene.below("proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        raise NotLooked("there is no /proc/self/mountinfo here") from None
    root, best = str(scene.workspace.root), ("", "")
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        place = re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), fields[4])
        inside = root == place or root.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(best[1]):
            best = after.split()[0], place
    if not best[0]:
        raise NotLooked("no mount holds the workspace")
    return best


def _old(scene: Scene) -> Iterator[Path]:
    now = scene.clock.now().timestamp()
    for path in scene.private_files():
        if LEFT.fullmatch(path.name) and now - path.lstat().st_mtime > WEEK_S:
            yield path


def _size(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        return sum(inner.lstat().st_size for inner in path.rglob("*"))
    return path.lstat().st_size


CHECKS = (
    Check("disk.filesystem", "file system", "warn",
          "The workspace is on a local disk: not NFS and the like, tmpfs or overlay.", filesystem),
    Check("disk.space", "disk space", "fail", "256 MiB are free; under 32 MiB is a failure.",
          space),
    Check("disk.inodes", "free inodes", "fail", "A thousand more files can be made.", inodes),
    Check("disk.read_only", "read-only", "fail", "The file system takes writes.", read_only),
    Check("disk.leftovers", "leftovers", "warn",
          "No copies from before a migration and no unfinished files older than a week.",
          leftovers,
          Mend("Removes them, once somebody agreed or with --yes.", clear, asks=True)),
    Check("disk.set_aside", "set aside", "warn",
          "No damaged or replaced store is kept; each has what could not be read.", set_aside),
)  # fmt: skip
