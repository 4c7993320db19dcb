"""How names and paths are written for systemd.

Promise: `escape_path` writes what `systemd-escape --path` writes, and what `quoted` writes comes
back as one word. Refusal: a path that no unit can carry is refused, not changed.
"""

from __future__ import annotations

import os
from pathlib import Path

from conductor_sidecar.systemd.errors import UnitRefused

UNIT_NAME_MAX = 255
_KEPT = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.")


def escape_path(path: Path) -> str:
    """Return the instance name of an absolute path.

    Raises:
        UnitRefused: It is not absolute, or has `.` or `..` in it.
    """
    parts = [os.fsencode(part) for part in path.parts[1:]]
    if not path.is_absolute() or b".." in parts:
        raise UnitRefused(f"{path} is not an absolute path")
    if not parts:
        return "-"
    escaped = "-".join("".join(map(_escaped, part)) for part in parts)
    # A name must not begin with a dot.
    return "\\x2e" + escaped[1:] if escaped.startswith(".") else escaped


def instance_of(prefix: str, path: Path, suffix: str) -> str:
    """Return the name of the unit of a path, as `conductor-sidecar@srv-robots.service`.

    Raises:
        UnitRefused: As `escape_path`; or the name is too long.
    """
    name = f"{prefix}@{escape_path(path)}.{suffix}"
    if len(name) > UNIT_NAME_MAX:
        raise UnitRefused(
            f"{path} is too long for the name of a unit", hint="give it a shorter name: ln -s"
        )
    return name


def quoted(path: Path) -> str:
    r"""Return a path as one word of `ExecStart=` or `ReadOnlyPaths=`.

    Raises:
        UnitRefused: It holds control characters, quotes, `$` or `\`, or is no text.
    """
    text = str(path)
    if not text.isprintable() or any(sign in text for sign in "\"'$\\"):
        raise UnitRefused(f"{path!r} cannot stand in a unit", hint="install it somewhere else")
    text = text.replace("%", "%%")
    return f'"{text}"' if " " in text else text


def assigned(name: str, value: str) -> str:
    """Return `NAME=VALUE` as one word of `Environment=`.

    Raises:
        UnitRefused: The value holds control characters, or is no text.
    """
    if not value.isprintable():
        raise UnitRefused(f"{name} holds control characters")
    value = value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{name}={value}"'


def _escaped(byte: int) -> str:
    return chr(byte) if byte in _KEPT else f"\\x{byte:02x}"
