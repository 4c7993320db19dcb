"""Unit files onto a host, and off it again.

Promise: what would change is known before anything does; a file is replaced whole; a file that
somebody else wrote or edited is left alone, and then nothing is changed at all. Refusal: no state,
credential or user is removed, and `systemctl` is never called.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from conductor_sidecar.systemd.errors import UnitInUse, UnitNotOurs
from conductor_sidecar.systemd.units import NAME, UnitFile

MARK = "# Written by `conductor systemd install`; change it with `systemctl edit`. sha256:"
_MARKED = re.compile(re.escape(MARK) + r"([0-9a-f]{64})\n")
State = Literal["create", "update", "unchanged", "remove", "absent", "kept"]


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one file."""

    path: Path
    state: State
    """`kept`: the units of other workspaces need it."""
    before: str = ""
    after: str = ""

    @property
    def acts(self) -> bool:
        """Whether anything is to be done."""
        return self.state in {"create", "update", "remove"}

    def diff(self) -> str:
        """Return the change as a unified diff; empty where there is none."""
        if not self.acts:
            return ""
        old, new = (text.splitlines(keepends=True) for text in (self.before, self.after))
        was, becomes = (
            str(self.path) if text else "/dev/null" for text in (self.before, self.after)
        )
        return "".join(difflib.unified_diff(old, new, was, becomes))


def marked(text: str) -> str:
    """Return a file's text under the line by which we know it again."""
    return f"{MARK}{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def plan_install(files: Sequence[UnitFile], root: Path) -> list[Change]:
    """Say what installing would do; nothing is written.

    Raises:
        UnitNotOurs: A file in the way was written or edited by somebody else.
    """
    changes: list[Change] = []
    for file in files:
        path, text = root / file.path, marked(file.text)
        before = _ours(path)
        if before is None:
            changes.append(Change(path, "create", "", text))
        else:
            state: State = "unchanged" if before == text else "update"
            changes.append(Change(path, state, before, text))
    return changes


def plan_uninstall(files: Sequence[UnitFile], root: Path, unit: str) -> list[Change]:
    """Say what uninstalling would do; nothing is removed.

    Args:
        files: What may have been installed.
        root: Where `/` is.
        unit: The service; files that it shares stay while others of its template are there.

    Raises:
        UnitNotOurs: One of the files was written or edited by somebody else.
        UnitInUse: The unit is enabled.
    """
    directory = root / files[0].path.parent
    stem = unit.removesuffix(".service")
    for link in directory.glob("*.wants/*"):
        if link.name.startswith(f"{stem}."):
            hint = f"run: systemctl disable --now {link.name}"
            raise UnitInUse(str(link), hint=hint)
    others = _others(directory, stem)
    changes: list[Change] = []
    for file in files:
        path = root / file.path
        before = _ours(path)
        if before is None:
            changes.append(Change(path, "absent"))
        elif file.shared and others:
            changes.append(Change(path, "kept", before, before))
        else:
            changes.append(Change(path, "remove", before))
    return changes


def apply(changes: Sequence[Change]) -> None:
    """Do what a plan says.

    Raises:
        OSError: The system refused; each file is whole, old or new.
    """
    for change in changes:
        match change.state:
            case "create" | "update":
                _write(change.path, change.after)
            case "remove":
                change.path.unlink()
                if change.path.parent.name.startswith(NAME):
                    with contextlib.suppress(OSError):  # the operator has drop-ins there too
                        change.path.parent.rmdir()
            case "unchanged" | "absent" | "kept":
                pass


def _ours(path: Path) -> str | None:
    """Return the text of a file that we wrote; None where there is none."""
    quoted = f"look at it: ls -l {path}; or change units by: systemctl edit UNIT"
    if path.is_symlink():
        raise UnitNotOurs(f"{path} is a symbolic link", hint=quoted)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    found = _MARKED.match(text)
    if found is None:
        raise UnitNotOurs(str(path), hint=quoted)
    if hashlib.sha256(text[found.end() :].encode()).hexdigest() != found[1]:
        raise UnitNotOurs(f"{path} was edited", hint=f"move it away: mv {path} {path}.edited")
    return text


def _others(directory: Path, stem: str) -> bool:
    """Tell whether another instance of the template is enabled or has drop-ins."""
    template, at, instance = stem.partition("@")
    if not at:
        return False
    found = [*directory.glob(f"{template}@?*"), *directory.glob(f"*.wants/{template}@?*")]
    names = (re.sub(r"\.(service|socket)(\.d)?$", "", path.name) for path in found)
    return any(name not in {f"{template}@", f"{template}@{instance}"} for name in names)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    opened, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)  # units hold no secret, and everybody may read them
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
