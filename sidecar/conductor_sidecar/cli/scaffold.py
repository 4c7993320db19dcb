"""Make a new pack project from the templates.

Promise: what is made validates, passes its own tests and conforms, as it stands. Refusal: no
existing file is touched.
"""

from __future__ import annotations

import keyword
import sys
from collections.abc import Mapping
from pathlib import Path
from string import Template

from conductor_sdk.errors import ConductorError, Exit
from conductor_sdk.event import RESERVED_SLUGS, SLUG

TEMPLATES = Path(__file__).with_name("templates") / "pack"
SUFFIX = ".tmpl"
NAME_MAX = 64


class PackNameRefused(ConductorError):
    """The name cannot be a pack's."""

    code = "PACK_NAME_REFUSED"
    default_hint = "use lower-case words joined by hyphens, for example: acme-jobs"
    exit_code = Exit.USAGE


class DirectoryOccupied(ConductorError):
    """The directory is not empty."""

    code = "DIRECTORY_OCCUPIED"
    default_hint = "choose another place: conductor pack new NAME --directory DIR"


def scaffold(name: str, directory: Path) -> list[Path]:
    """Write a pack project; returns the files, relative to the directory, sorted.

    Args:
        name: The slug; also the distribution's name.
        directory: Created if missing; refused unless empty.

    Raises:
        PackNameRefused: Not a slug, reserved, or not usable as a Python package.
        DirectoryOccupied: There is something already.
    """
    _check_name(name)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        occupied = any(directory.iterdir())
    except FileExistsError:
        occupied = True
    if occupied:
        raise DirectoryOccupied(str(directory))
    module = name.replace("-", "_")
    names = {"slug": name, "module": module}
    written = [
        _write(template, directory, names) for template in sorted(TEMPLATES.rglob("*" + SUFFIX))
    ]
    return sorted(written)


def _write(template: Path, directory: Path, names: Mapping[str, str]) -> Path:
    steps = template.relative_to(TEMPLATES).with_suffix("").parts
    target = Path(*(names["module"] if step == "module" else step for step in steps))
    file = directory / target
    file.parent.mkdir(parents=True, exist_ok=True)
    text = Template(template.read_text(encoding="utf-8")).substitute(names)
    file.write_text(text, encoding="utf-8")
    return target


def _check_name(name: str) -> None:
    module = name.replace("-", "_")
    if SLUG.match(name) is None or len(name) > NAME_MAX:
        raise PackNameRefused(repr(name[:NAME_MAX]))
    if name in RESERVED_SLUGS:
        raise PackNameRefused(f"{name!r} belongs to the daemon", hint="choose another name")
    if keyword.iskeyword(module) or module in sys.stdlib_module_names | {"tests"}:
        hint = f"choose another name, for example: {name}-pack"
        raise PackNameRefused(f"{module!r} is taken by Python", hint=hint)
    if module.startswith("conductor_"):
        hint = f"choose another name, for example: {name.removeprefix('conductor-')}"
        raise PackNameRefused("the prefix conductor_ is ours", hint=hint)
