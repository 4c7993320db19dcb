"""Make packs and adapters of a test look installed, without a package manager.

A directory with a `dist-info` on the import path is all that an entry point needs; the modules it
names are found beside the tests' support modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def install(
    directory: Path, *, packs: Mapping[str, str] | None = None,
    adapters: Mapping[str, str] | None = None, commands: Mapping[str, str] | None = None,
) -> Path:  # fmt: skip
    """Write a distribution whose entry points are `{name: "module:attribute"}`.

    Returns the directory to put on the import path.
    """
    info = directory / "delivery_tests-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: delivery-tests\nVersion: 1.0\n")
    groups = {
        "conductor.packs": packs, "conductor.adapters": adapters, "conductor.commands": commands,
    }  # fmt: skip
    lines: list[str] = []
    for group, points in groups.items():
        lines.append(f"[{group}]")
        lines += [f"{name} = {target}" for name, target in (points or {}).items()]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return directory
