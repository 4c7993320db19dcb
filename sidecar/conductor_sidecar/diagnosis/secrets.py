"""The secrets that a bundle must not hold: all that this user can read here.

Promise: they are only compared with, and kept as `Secret`. Refusal: a file that cannot be read is
passed over: what nobody here can read, no part of a bundle can hold.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from conductor_sdk.errors import ConductorError
from conductor_sdk.secret import Secret
from conductor_sidecar.checkup.scene import Scene
from conductor_sidecar.redaction import is_secret_name

FILE_MAX = 65_536
SUFFIXES = frozenset({".token", ".key", ".pem", ".secret", ".env"})
NAMES = frozenset({".env", "token", "enrollment-token", "http.token"})


def known_secrets(scene: Scene) -> Iterator[Secret]:
    """Give every secret of the state files, the settings, the environment and files by name."""
    state = scene.workspace.state_dir
    if state.is_dir():
        for path in sorted(state.glob("*.json")):
            yield from _of_json(path)
    for path in _files(scene):
        yield from _of_text(path)
    for name, value in scene.environ.items():
        if value and is_secret_name(name.lower()):
            yield Secret(value)
    with contextlib.suppress(ConductorError):
        for setting in scene.configuration().listing():
            yield from _of_value(setting.value, setting.name)


def _files(scene: Scene) -> Iterator[Path]:
    places = [scene.workspace.root, scene.workspace.state_dir]
    if directory := scene.environ.get("CREDENTIALS_DIRECTORY"):
        with contextlib.suppress(OSError):
            yield from sorted(Path(directory).iterdir())
    for place in places:
        with contextlib.suppress(OSError):
            for path in sorted(place.iterdir()):
                if path.name in NAMES or path.suffix in SUFFIXES:
                    yield path


def _of_json(path: Path) -> Iterator[Secret]:
    with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        yield from _of_value(msgspec.json.decode(path.read_bytes()), "")


def _of_value(value: Any, name: str) -> Iterator[Secret]:
    match value:
        case Secret():
            yield value
        case str() if value and is_secret_name(name):
            yield Secret(value)
        case Mapping():
            for key, inner in cast("Mapping[object, Any]", value).items():
                yield from _of_value(inner, str(key))
        case list():
            for inner in cast("list[object]", value):
                yield from _of_value(inner, name)
        case _:
            pass


def _of_text(path: Path) -> Iterator[Secret]:
    """Take each line of a file as a secret, and what stands behind a `=` in it."""
    try:
        with path.open("rb") as file:
            text = file.read(FILE_MAX).decode("utf-8", "replace")
    except OSError:
        return
    for line in text.splitlines():
        if line.strip().startswith(("#", "-----")):
            continue
        name, equals, value = line.partition("=")
        if equals and is_secret_name(name.strip().lower()):
            yield Secret(value.strip().strip("'\""))
        elif path.suffix != ".env":
            yield Secret(line.strip())
