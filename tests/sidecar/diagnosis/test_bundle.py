"""A bundle: what is in it is named, and no secret that anybody here can read."""

from __future__ import annotations

import asyncio
import hashlib
import json
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from backup_world import Served
from conductor_sdk.clock import SystemClock
from conductor_sdk.records import Arrival, Outgoing
from conductor_sdk.secret import Secret
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.app import open_stores
from conductor_sidecar.checkup.scene import Scene
from conductor_sidecar.diagnosis.bundle import MANIFEST, write_bundle
from conductor_sidecar.diagnosis.errors import BundleFailed, BundleUnsafe
from conductor_sidecar.diagnosis.parts import PARTS, Part, log_part
from conductor_sidecar.diagnosis.secrets import known_secrets
from conductor_sidecar.settings import Settings
from conductor_state.enrollment import Enrollment
from conductor_state.identity import write_enrollment
from typed import typed

CANARIES = {
    name: f"canary-{name}-0123456789abcdef"
    for name in ("enrollment", "http", "config", "environ", "file", "dotenv", "next")
}
PAYLOAD = "payload-canary-0123456789"


@pytest.fixture
async def workspace(tmp_path: Path) -> Workspace:
    """A workspace with a secret in every place, and payloads in every store."""
    (tmp_path / "ws").mkdir()
    found = resolve_workspace(tmp_path / "ws")
    body = json.dumps({"payload": PAYLOAD}).encode()
    async with open_stores(found, Settings(), clock=SystemClock()) as stores:
        await stores.log.receive("e", 1, [Arrival("in-1", "demo:thing", body)])
        await stores.outbox.put([Outgoing("out-1", "demo:up", body)])
        await stores.journal.append("NOTED", "operator", {"text": PAYLOAD})
    await asyncio.to_thread(hide_secrets, found)
    return found


def hide_secrets(workspace: Workspace) -> None:
    token = Secret(CANARIES["enrollment"])
    write_enrollment(workspace, Enrollment("wss://c.example/", token, "ws1", None))
    workspace.http_token.write_text(CANARIES["http"] + "\n")
    candidate = workspace.state_dir / "enrollment.next.json"
    candidate.write_text(json.dumps({"token": CANARIES["next"]}))
    (workspace.root / "conductor.toml").write_text(
        f'[pack.demo]\napi_key = "{CANARIES["config"]}"\nplain = "shown"\n'
    )
    (workspace.root / "enroll.token").write_text(CANARIES["file"])
    (workspace.root / ".env").write_text(f"DB_PASSWORD='{CANARIES['dotenv']}'\nDEBUG=1\n")
    for path in (workspace.http_token, candidate):
        path.chmod(0o600)


@pytest.fixture
def scene(workspace: Workspace) -> Scene:
    environ = {"HOME": str(workspace.root), "GITHUB_TOKEN": CANARIES["environ"], "LANG": "C"}
    return Scene(workspace, environ, SystemClock(), offline=True)


def opened(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as tar:
        found = {member.name: tar.extractfile(member) for member in tar}
        return {name: content.read() for name, content in found.items() if content}


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def secrets_in(contents: dict[str, bytes]) -> list[str]:
    return [
        f"{name} in {part}" for part, data in contents.items()
        for name, canary in CANARIES.items() if canary.encode() in data
    ]  # fmt: skip


async def test_every_part_is_there_and_no_secret_and_no_payload(
    scene: Scene, tmp_path: Path
) -> None:
    log = tmp_path / "sidecar.log"
    log.write_text("".join(f"refused {canary}\n" for canary in CANARIES.values()))
    file = tmp_path / "d.tar.gz"
    parts = [*PARTS, log_part(log)]
    done = await asyncio.to_thread(write_bundle, scene, file, parts)
    contents = opened(file)
    manifest = json.loads(contents[MANIFEST])

    assert [MANIFEST, *(part.name for part in parts)] == list(contents)
    assert [] == secrets_in(contents)
    assert [] == [name for name, data in contents.items() if PAYLOAD.encode() in data]
    assert (0o600, file.stat().st_size) == (stat.S_IMODE(file.stat().st_mode), done.bytes)
    for listed in manifest["files"]:
        data = contents[listed["path"]]
        assert (len(data), hashlib.sha256(data).hexdigest()) == (listed["bytes"], listed["sha256"])
        assert bool(listed["missing"]) == (not data)
    settings = {each["name"]: each["value"] for each in json.loads(contents["settings.json"])}
    assert ("(redacted)", "shown") == (settings["pack.demo.api_key"], settings["pack.demo.plain"])
    assert ["GITHUB_TOKEN", "HOME", "LANG"] == json.loads(contents["environment.json"])["command"]
    assert "NOTED" == json.loads(contents["journal.json"])["newest"][0]["type"]


async def test_all_that_can_be_read_here_is_a_known_secret(scene: Scene) -> None:
    found = {secret.reveal() for secret in known_secrets(scene)}

    assert set(CANARIES.values()) <= found
    assert "shown" not in found


@pytest.mark.parametrize("hidden", [
    lambda text: text.encode().hex(), lambda text: f"{text[:9]}{text[9:]}".encode().hex(),
])  # fmt: skip
async def test_a_secret_that_redaction_missed_stops_the_bundle(
    scene: Scene, tmp_path: Path, hidden: Any
) -> None:
    leak = Part("leak.txt", "a leak", lambda _: f"see {hidden(CANARIES['http'])}")
    with pytest.raises(BundleUnsafe) as refused:
        await asyncio.to_thread(write_bundle, scene, tmp_path / "d.tar.gz", [leak])

    assert {"part": "leak"} == refused.value.data
    assert ["ws"] == names_in(tmp_path)


async def test_a_part_that_breaks_says_so_and_hides_no_other(scene: Scene, tmp_path: Path) -> None:
    def broken(_: Scene) -> Any:
        raise KeyError(CANARIES["http"])

    parts = [Part("a.json", "breaks", broken), Part("b.json", "works", lambda _: {"n": 1})]
    done = await asyncio.to_thread(write_bundle, scene, tmp_path / "d.tar.gz", parts)

    assert ["it could not be collected: KeyError", ""] == [
        each.missing for each in done.manifest.files
    ]


async def test_parts_can_be_left_out_and_a_zip_made(scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / "d.zip"
    keys = {part.key for part in PARTS} - {"versions"}
    await asyncio.to_thread(write_bundle, scene, file, PARTS, keys)
    with zipfile.ZipFile(file) as packed:
        assert [MANIFEST, "versions.json"] == packed.namelist()
        assert b"conductor-sidecar" in packed.read("versions.json")


async def test_nothing_is_overwritten_and_no_place_is_a_failure(
    scene: Scene, tmp_path: Path
) -> None:
    (tmp_path / "d.tar.gz").write_bytes(b"mine")
    for file in (tmp_path / "d.tar.gz", tmp_path / "nowhere/d.tar.gz"):
        with pytest.raises(BundleFailed):
            await asyncio.to_thread(write_bundle, scene, file, [])
    assert b"mine" == (tmp_path / "d.tar.gz").read_bytes()


async def test_a_running_sidecar_is_asked_for_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ws").mkdir()
    workspace = resolve_workspace(tmp_path / "ws")
    file = tmp_path / "d.tar.gz"
    async with Served(workspace):
        words = ("diagnose", "-w", str(workspace.root), "--output", str(file), "--offline")
        ran = await asyncio.to_thread(typed, capsys, *words)
    contents = opened(file)
    missing = [each["path"] for each in json.loads(contents[MANIFEST])["files"] if each["missing"]]

    assert 0 == ran.code
    assert "Not in it:" in ran.out
    assert [] == [name for name in missing if name not in {"logs.txt", "units.txt"}]
    assert json.loads(contents["status.json"])["running"]
    assert any(task["name"] == "keeper" for task in json.loads(contents["tasks.json"])["tasks"])
