"""A sidecar's whole life, good days and bad, with planted secrets: none of them gets out."""

from __future__ import annotations

import base64
import http.client
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from canaries import Canaries, files, processes
from house import ROOT
from mosquitto import Broker
from real_world import QUEUED, QUICK, RECOVERY, Conductor, Sidecar, World, until

pytestmark = pytest.mark.timeout(300)  # some thirty commands, each a process
ENROLLMENT = Path(".lumenflow/state/conductor/enrollment.json")
TOKEN = Path(".lumenflow/state/conductor/http.token")
CONFIG = """
[http]
listen = "127.0.0.1:0"
allow_tools = ["sidekick:*", "channel:*", "task:*"]
[traces]
otlp_endpoint = "http://127.0.0.1:9"
headers_file = "{headers}"
timeout_s = 0.5
[pack.sidekick.webhooks_in.github]
secret_file = "hook.secret"
channel = "inbox"
"""
EVERY = [
    ("status",), ("status", "--json"), ("doctor",), ("doctor", "--json"), ("packs", "--json"),
    ("config", "show", "--json"), ("log", "tail", "--json"), ("log", "verify", "--json"),
    ("dead-letters", "list", "--json"), ("explain", "nope", "--json"), ("health", "--json"),
    ("tools", "list", "--json"), ("approvals", "list", "--all", "--json"),
]  # fmt: skip


class Life:
    """One workspace with secrets of every kind, and what came out of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.canaries = Canaries()
        self.workspace = world.directory / "ws1"
        self.workspace.mkdir()
        self.seen: list[tuple[str, bytes]] = []
        self._private("otlp.headers", f"authorization: Bearer {self._new('OTLP header')}\n")
        hook = base64.b64encode(secrets.token_bytes(32)).decode()
        self._private("hook.secret", "whsec_" + self.canaries.plant("webhook secret", hook))
        headers = self.workspace / "otlp.headers"
        (self.workspace / "conductor.toml").write_text(CONFIG.format(headers=headers))

    def type(self, *words: str, **env: str) -> None:
        """Type a command in the workspace; whatever it prints is looked at later."""
        done = self.world.command(*words, "-w", str(self.workspace), env=env)
        self.seen.append((" ".join(words), (done.out + done.err).encode()))

    def credential(self, name: str) -> None:
        """Plant the credential that is in use now."""
        self.canaries.plant(name, json.loads((self.workspace / ENROLLMENT).read_text())["token"])

    def enroll(self, conductor: Conductor) -> None:
        token = conductor.token("ws1")
        text = self.canaries.plant("enrollment token", token.read_text().strip())
        self.canaries.plant("enrollment token's secret", text.rpartition(".")[2])
        operator = (conductor.home / "operator.token").read_text().strip()
        self.canaries.plant("operator token", operator)
        for _ in range(2):  # the second time it is refused: used
            self.type("enroll", conductor.url, "--token-file", str(token))
        self.credential("credential")

    def look_everywhere(self, *, running: bool = True) -> None:
        for words in EVERY if running else EVERY[1:4]:
            self.type(*words)
        if running:
            self.type("sidecar", CONDUCTOR_TRACEBACK="1")  # busy: with a traceback
        self.type("diagnose", "--output", str(self.world.directory / f"b{len(self.seen)}.tar.gz"))
        self.type("backup", str(self.world.directory / f"b{len(self.seen)}.backup"))

    def ask(self, url: str, method: str, path: str, headers: dict[str, str], body: str = "{}"
            ) -> int:  # fmt: skip
        """Ask over TCP, as a stranger or with a token."""
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
        try:
            sent = None if method == "GET" else body
            connection.request(method, path, sent, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            said = answer.read() + repr(answer.getheaders()).encode()
            self.seen.append((f"{method} {path}", said))
            return answer.status
        finally:
            connection.close()

    def strangers(self, sidecar: Sidecar) -> None:
        """Right and wrong tokens, tools that fail, webhooks with bad signatures."""
        url = sidecar.status()["http"]
        token = self.canaries.plant("http.token", (self.workspace / TOKEN).read_text().strip())
        wrong = self._new("a wrong token")
        assert 200 == self.ask(url, "GET", "/tools", {"Authorization": f"Bearer {token}"})
        assert 401 == self.ask(url, "GET", "/tools", {"Authorization": f"Bearer {wrong}"})
        for name in ("no:such", "task:create", "sidekick:status"):
            headers = {"Authorization": f"Bearer {token}"}
            self.ask(url, "POST", f"/tools/{name}", headers, '{"input": {"n": []}}')
        signature = {"webhook-id": "msg_1", "webhook-timestamp": "1", "webhook-signature": "v1,AA="}
        assert 400 <= self.ask(url, "POST", "/hooks/sidekick/github", signature)
        self.ask(url, "GET", "/metrics", {"Authorization": f"Bearer {token}"})
        self.ask(url, "GET", "/health/ready", {})

    def everything(self, *roots: Path) -> Iterator[tuple[str, bytes]]:
        yield from self.seen
        yield from files(self.workspace, *roots)

    def _new(self, name: str) -> str:
        return self.canaries.plant(name, secrets.token_urlsafe(32))

    def _private(self, name: str, text: str) -> None:
        path = self.workspace / name
        path.touch(0o600)
        path.write_text(text)


def generation(life: Life) -> int:
    return int(json.loads((life.workspace / ENROLLMENT).read_text()).get("generation", 1))


def good_and_bad_days(life: Life, conductor: Conductor, sidecar: Sidecar) -> None:
    conductor.send("ws1", RECOVERY, {"wu_id": "acme-job-1"})
    conductor.send("ws1", RECOVERY, {})  # a dead letter: the pack rejects it
    sidecar.push({"kind": QUEUED, "payload": {}})
    until(sidecar.letters, "a dead letter")
    life.strangers(sidecar)
    conductor.dev("token", "rotate", "ws1")
    until(lambda: generation(life) == 2, "the conductor rotates")
    life.credential("rotated credential")
    life.type("rotate", "--json")
    until(lambda: generation(life) == 3, "the operator rotates")
    life.credential("credential that was rotated twice")
    conductor.dev("fault", "set", "refuse=401@1")
    conductor.dev("restart")
    until(lambda: "401" in sidecar.status()["link"]["reason"], "a refusal")
    life.type("rotate")
    conductor.dev("fault", "clear")
    for credential in conductor.credentials("ws1"):
        conductor.dev("token", "revoke", credential)
    life.look_everywhere()
    life.seen += processes(sidecar.running.pid, conductor.running.pid)
    sidecar.stop()
    life.type("sidecar", CONDUCTOR_TRACEBACK="1")  # refused: with a traceback
    again = life.world.command("sidecar", "-w", str(life.workspace))
    assert 77 == again.code, again.err


def outputs(life: Life, conductor: Conductor, sidecar: Sidecar) -> list[tuple[str, bytes]]:
    found = list(processes(sidecar.running.pid, conductor.running.pid))
    sidecar.kill()
    life.look_everywhere(running=False)
    found += [("sidecar's output", sidecar.running.printed.encode()),
              ("conductor's output", conductor.running.printed.encode())]  # fmt: skip
    return [*found, *life.everything(conductor.home, life.world.directory)]


def test_no_canary_gets_out_over_websocket(world: World) -> None:
    conductor = world.conductor()
    life = Life(world)
    life.enroll(conductor)
    sidecar = world.sidecar(life.workspace, *QUICK, "--log-level", "debug")
    sidecar.wait_for_link()
    good_and_bad_days(life, conductor, sidecar)

    assert [] == life.canaries.leaks(outputs(life, conductor, sidecar))
    assert 10 == len(life.canaries.names)


def test_no_canary_gets_out_over_mqtt(world: World) -> None:
    with Broker(world.directory / "broker") as broker:
        conductor = world.conductor("--mqtt", broker.address())
        life = Life(world)
        life.enroll(conductor)
        sidecar = world.sidecar(life.workspace, "--adapter", "mqtt", *QUICK)
        sidecar.wait_for_link()
        conductor.dev("token", "rotate", "ws1")
        until(lambda: generation(life) == 2, "the conductor rotates")
        life.credential("rotated MQTT password")
        sidecar.wait_for_link()

        assert [] == life.canaries.leaks(outputs(life, conductor, sidecar))


@pytest.mark.parametrize("form", ["as it is", "in base64", "percent-encoded", "in a database"])
def test_the_search_finds_a_planted_leak(tmp_path: Path, form: str) -> None:
    canaries = Canaries()
    text = canaries.plant("canary", "csc_" + "Kanarie/" * 5)
    data = {
        "as it is": f"Bearer {text}".encode(),
        "in base64": base64.b64encode(b"user:" + text.encode()),
        "percent-encoded": text.replace("/", "%2F").encode(),
        "in a database": b"\0\1" + text.encode() + b"\0" * 4096,
    }[form]
    (tmp_path / "leaky.log").write_bytes(data)

    assert [f"canary in {tmp_path / 'leaky.log'}"] == canaries.leaks(files(tmp_path))


def test_a_unit_of_ours_leaves_no_core_dump() -> None:
    units = [path.read_text() for path in (ROOT / "systemd").rglob("*.service")]

    assert units
    assert [True] * len(units) == ["LimitCORE=0" in unit for unit in units]
