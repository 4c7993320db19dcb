"""Where settings come from: defaults < TOML file < environment < command line.

Promise: every value knows its source, and a wrong one is refused with its name, its source and
what would be right. Refusal: no setting is defined here, and no secret is read from here.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from conductor_sidecar.errors import ConfigInvalid
from conductor_sidecar.settings import Section, Settings

FILE_NAME = "conductor.toml"
ENV_PREFIX = "CONDUCTOR_"
ENV_OTHERS = frozenset({"CONDUCTOR_WORKSPACE", "CONDUCTOR_CONFIG"})
"""Variables of ours that are not settings."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One effective value."""

    name: str
    """Dotted, as in the TOML file: `dispatch.deadline_s`."""
    value: Any
    source: str
    """`default`, a file's path, `environment NAME` or `command line`."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings, and the source of each."""

    settings: Settings
    sources: Mapping[str, str]

    def listing(self) -> list[Setting]:
        """Return every effective value with its source, by name."""
        flat = _flatten(self.settings.model_dump(mode="json"))
        return [Setting(name, value, self._source(name)) for name, value in sorted(flat.items())]

    def _source(self, name: str) -> str:
        for known, source in self.sources.items():
            if name == known or name.startswith(known + "."):
                return source
        return "default"


@dataclass(frozen=True, slots=True)
class Described:
    """One setting as it is documented."""

    name: str
    default: Any
    meaning: str


def describe_settings() -> list[Described]:
    """Return every setting with its default and its sentence, in the order of the sections."""
    described: list[Described] = []
    for section, field in Settings.model_fields.items():
        model = field.annotation
        if not (isinstance(model, type) and issubclass(model, Section)):
            described.append(Described(section, {}, field.description or ""))
            continue
        defaults = model().model_dump(mode="json")
        described += [
            Described(f"{section}.{name}", defaults[name], inner.description or "")
            for name, inner in model.model_fields.items()
        ]
    return described


def load_configuration(
    workspace: Path,
    *,
    file: Path | None = None,
    environ: Mapping[str, str],
    flags: Mapping[str, Any] | None = None,
) -> Configuration:
    """Read all sources.

    Args:
        workspace: Where `conductor.toml` is looked for.
        file: Another file; it must exist.
        environ: The environment: `CONDUCTOR_DISPATCH__DEADLINE_S=5` sets `dispatch.deadline_s`.
        flags: Dotted names to values, from the command line.

    Raises:
        ConfigInvalid: With the setting, its source and what is wrong.
    """
    sources: dict[str, str] = {}
    merged: dict[str, Any] = {}
    if file is None and "CONDUCTOR_CONFIG" in environ:
        file = Path(environ["CONDUCTOR_CONFIG"])
    path = file or workspace / FILE_NAME
    if file is not None or path.exists():
        # As it stands: a quoted key of a pack's own section may hold a dot.
        merged = _read_toml(path)
        sources = dict.fromkeys(_flatten(merged), str(path))
    _merge_environment(merged, sources, environ)
    _merge(merged, sources, dict(flags or {}), "command line")
    return Configuration(_validated(merged, sources), sources)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigInvalid(f"{path} does not exist", hint=f"create it: touch {path}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigInvalid(f"{path}: {error}", hint=f"edit {path}") from None


def _merge_environment(
    merged: dict[str, Any], sources: dict[str, str], environ: Mapping[str, str]
) -> None:
    for name in sorted(environ):
        if not name.startswith(ENV_PREFIX) or name in ENV_OTHERS or "__" not in name:
            continue
        section, _, field = name.removeprefix(ENV_PREFIX).partition("__")
        dotted = f"{section}.{field.replace('__', '.')}".lower()
        _merge(merged, sources, {dotted: parse_value(environ[name])}, f"environment {name}")


def parse_value(text: str) -> Any:
    """Read a value given as text: JSON where it is JSON, otherwise the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        # Kinds contain no dot, so a dotted name is unambiguous.
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat.update(_flatten(value, name + "."))  # pyright: ignore[reportUnknownArgumentType]  TOML keys are strings
        else:
            flat[name] = value
    return flat


def _merge(
    merged: dict[str, Any], sources: dict[str, str], values: Mapping[str, Any], source: str
) -> None:
    for name, value in values.items():
        node = merged
        *parents, leaf = name.split(".")
        for parent in parents:
            child: Any = node.setdefault(parent, {})
            if not isinstance(child, dict):
                raise ConfigInvalid(f"{parent} ({source}) is a value, not a section")
            node = cast("dict[str, Any]", child)
        node[leaf] = value
        sources[name] = source


def _validated(merged: dict[str, Any], sources: Mapping[str, str]) -> Settings:
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        source = next((s for n, s in sources.items() if n == name or n.startswith(name)), "?")
        data = {"setting": name, "source": source, "problem": first["msg"]}
        raise ConfigInvalid(
            f"{name} (from {source}): {first['msg']}",
            hint="see: conductor config show --defaults",
            data=data,
        ) from None
