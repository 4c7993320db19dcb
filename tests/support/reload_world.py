"""A sidecar whose settings and manifests are files that a test changes while it runs."""

from __future__ import annotations

import asyncio
import http.client
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from conductor_sdk.client import SidecarAnswered
from conductor_server.settings import HubSettings
from conductor_sidecar.config import load_configuration
from conductor_sidecar.reload.reloader import Reloading
from conductor_sidecar.serve import Service, serve
from conductor_sidecar.settings import Settings
from delivery_world import World, begun
from reload_pack import GUEST, STEADY, manifest, module_of

SETTINGS: dict[str, Any] = {
    "reconnect": {"first_spread_s": 0.05, "cap_s": 0.2},
    "dispatch": {"retry_first_s": 0.02, "window": 256},
    "packs": {"disabled": ["acme-demo", "sidekick", "plan"]},
    "drain": {"deadline_s": 0.5},
    "logs": {"level": "error"},
}


class ReloadWorld(World):
    """A world with `conductor.toml`; `write` changes it, `reload` asks for it."""

    hub = HubSettings(beat_s=2.0, hello_s=5.0, close_s=0.5, drain_s=0.3)
    """Patient: under load a link that is only slow must not be taken for deaf."""

    def __init__(self, directory: Path, adapter: Any) -> None:
        super().__init__(directory, adapter)
        self.packs = directory / "installed"
        self.applied: list[Settings] = []
        self.reloading: Reloading
        self.service: Service | None = None
        self.write({})

    def write(self, changes: Mapping[str, Any]) -> None:
        """Write the settings, with changes by section."""
        sections = SETTINGS | {"link": {"adapter": self.adapter}}
        for name, fields in changes.items():
            sections[name] = {**sections.get(name, {}), **fields}
        self.write_text("\n".join(_lines(sections)))

    def write_text(self, text: str) -> None:
        (self.workspace.root / "conductor.toml").write_text(text)

    def manifest(self, slug: str, text: str | None = None, **fields: Any) -> None:
        """Write a pack's manifest file."""
        file = self.packs / module_of(slug) / "manifest.yaml"
        file.write_text(manifest(slug, **fields) if text is None else text)

    def pack(self, slug: str = STEADY) -> ModuleType:
        """A pack's module as it is imported."""
        return sys.modules[f"{module_of(slug)}.pack"]

    def open_gates(self) -> None:
        """Let handlers that wait go on."""
        for slug in (STEADY, GUEST):
            self.pack(slug).gate.set()

    async def start(self, **changes: Any) -> None:
        def read() -> Any:
            return load_configuration(self.workspace.root, environ={})

        configuration = read()
        self.settings = configuration.settings
        self.reloading = Reloading(configuration, read, self._took)
        stop, ready = asyncio.Event(), asyncio.Event()
        serving = serve(
            self.workspace,
            self.settings,
            stop,
            ready=ready,
            reloading=self.reloading,
            service=self.service,
        )
        self.daemon, self._stop = await begun(serving, ready), stop

    def _took(self, settings: Settings) -> None:
        self.applied[:] = [*self.applied[-3:], settings]

    async def reload(self, *, dry_run: bool = False) -> dict[str, Any]:
        """Ask for a reload; raises what the daemon answers."""
        return dict(await self.post("/v1/reload", {"dry_run": dry_run}))

    async def refused(self) -> dict[str, Any]:
        """Ask for a reload that is refused; returns the error's data."""
        try:
            report = await self.reload()
        except SidecarAnswered as error:
            return dict(error.data)
        raise AssertionError(f"not refused: {report}")

    async def tcp_tools(self) -> list[str]:
        """The names of the tools that a caller over TCP sees."""
        address = str((await self.status())["http"]).removeprefix("http://")
        token = self.workspace.http_token.read_text().strip()

        def asked() -> Any:
            connection = http.client.HTTPConnection(address, timeout=20)
            try:
                connection.request("GET", "/tools", headers={"Authorization": f"Bearer {token}"})
                return json.loads(connection.getresponse().read())
            finally:
                connection.close()

        answer = await asyncio.to_thread(asked)
        return sorted(tool["name"] for tool in answer["tools"])

    async def loaded(self) -> list[str]:
        """The slugs of loaded packs of ours."""
        packs = (await self.status())["packs"]
        return [p["slug"] for p in packs if p["state"] == "loaded" and p["slug"] in (STEADY, GUEST)]


def changes(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What a report names, in short."""
    return [(c["what"], c["name"], c["action"]) for c in report["changes"]]


def _lines(sections: Mapping[str, Any], prefix: str = "") -> list[str]:
    lines: list[str] = []
    for name, fields in sections.items():
        tables = {key: value for key, value in fields.items() if isinstance(value, dict)}
        lines.append(f"[{prefix}{name}]")
        lines += [
            f"{key} = {msgspec.json.encode(value).decode()}"
            for key, value in fields.items()
            if key not in tables
        ]
        lines += _lines(tables, f"{prefix}{name}.")
    return lines
