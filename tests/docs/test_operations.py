"""docs/operations.md, played from an empty host to its removal.

The host is a directory: paths of the page are bound below it, and what a test must not do to the
machine that it runs on (packages, users, PID 1) is done by `Host`, which starts the daemon as the
installed unit says: its command, directory, variables, credential and notify socket.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from conductor_sidecar.health.answers import Code
from doc_runner import Block, Reader, blocks, matches
from house import ROOT
from own_port import own_port
from practice import Practice
from running import Running, environment

PAGE = ROOT / "docs/operations.md"
TEXT = PAGE.read_text("utf-8")
BENCHMARKS = ROOT / "benchmarks/README.md"
RECOVERY = "conductor:recovery_requested"
UNIT = "conductor-sidecar.service"
READY_S = 30.0
PATIENCE_S = 60.0
PLACES = ("opt", "etc", "usr/local/bin", "var/lib", "var/backups")
OURS = ("/opt/conductor-sidecar", "/etc/credstore", "/etc/conductor-sidecar", "/etc/systemd",
        "/usr/local/bin/conductor", "/var/lib/conductor-sidecar",
        "/var/backups/conductor-sidecar")  # fmt: skip


@dataclass
class Host(Reader):
    """An operator on a host of their own; `directory` is its root."""

    service: Running | None = None
    commands: list[str] = field(default_factory=list[str])
    said: list[str] = field(default_factory=list[str])
    """What ended services have printed."""

    def __post_init__(self) -> None:
        for place in PLACES:
            (self.directory / place).mkdir(parents=True)
        self.programs = self.directory / "usr/local/bin"
        self.bindings |= {path: f"{self.directory}{path}" for path in OURS}
        self.bindings |= {
            "systemd install": f"systemd install --root {self.directory}",
            "systemd uninstall": f"systemd uninstall --root {self.directory}",
            "python3 -m venv": f"{sys.executable} -m venv",
            "-o conductor-sidecar -g conductor-sidecar": "",
            "SOURCE": str(ROOT),
        }

    def type(
        self, command: str, expected: str = "", *,
        code: int = 0, stdin: str = "", patient: bool = False,
    ) -> str:  # fmt: skip
        meant = self.bound(command)
        words = shlex.split(meant)
        self.commands.append(command)
        match words[0]:
            case "apt-get" | "userdel":
                return ""
            case "runuser":
                assert words[1:] == ["-u", "conductor-sidecar", "--", "bash"]
                return ""
            case "systemctl":
                self._systemctl(*words[1:])
                return ""
            case "journalctl":
                printed = "\n".join([*self.said, self._alive().printed])
                assert matches(expected, printed), printed
                return printed
            case "systemd-sysusers" | "systemd-tmpfiles":
                self._as_root(meant)
                return ""
            case _:
                self._harmless(words)
        if patient:
            self._until_it_succeeds(meant)
        printed = super().type(command, expected, code=code, stdin=stdin, patient=patient)
        if " -m venv " in meant:
            self._without_network(Path(words[-1]))
        return printed

    def _until_it_succeeds(self, command: str) -> None:
        until = time.monotonic() + PATIENCE_S
        while self._run(command, "").returncode:
            assert time.monotonic() < until, command

    def _harmless(self, words: list[str]) -> None:
        """Whatever was not bound would touch the machine itself."""
        named = [word for word in words[1:] if word.startswith("/") and word != "/"]
        allowed = (str(self.directory), str(ROOT))
        assert [] == [path for path in named if not path.startswith(allowed)], words

    def _without_network(self, environment_: Path) -> None:
        """Let the new environment see the libraries that are installed here."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        line = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
        path = environment_ / "lib" / version / "site-packages/outer.pth"
        path.write_text(line, encoding="utf-8")

    def _as_root(self, command: str) -> None:
        if os.geteuid() == 0 and shutil.which(command.split(maxsplit=1)[0]):
            super().type(f"{command} --root={self.directory}")
        else:  # what the file that is meant for the program says
            name = command.split(maxsplit=1)[0].removeprefix("systemd-")
            lines = (self.directory / f"etc/{name}.d/conductor-sidecar.conf").read_text("utf-8")
            for path, mode in re.findall(r"^d (\S+) (\d+)", lines, re.MULTILINE):
                made = Path(f"{self.directory}{path}")
                made.mkdir(parents=True, exist_ok=True)
                made.chmod(int(mode, 8))

    def _alive(self) -> Running:
        assert self.service is not None, "the service is not started"
        return self.service

    def _systemctl(self, verb: str, *words: str) -> None:
        wants = self.directory / "etc/systemd/system/multi-user.target.wants" / UNIT
        assert verb == "daemon-reload" or words[-1] == UNIT
        match verb, words[0] if words else "":
            case "daemon-reload", _:
                pass
            case "enable", "--now":
                wants.parent.mkdir(exist_ok=True)
                wants.symlink_to(wants.parents[1] / UNIT)
                self._start()
            case "disable", "--now":
                wants.unlink()
                self._stop()
            case "restart", _:
                self._stop()
                self._start()
            case "reload", _:
                os.kill(self._alive().pid, signal.SIGHUP)
            case "status", _:
                assert self._alive().printed
            case _:
                pytest.fail(f"nobody plays systemctl {verb}")

    def _stop(self) -> None:
        service = self._alive()
        assert service.end(signal.SIGTERM) == 0, service.printed
        self.said.append(service.printed)
        self.service = None

    def _start(self) -> None:
        unit = self._unit()
        variables = dict(word.split("=", 1) for line in unit("Environment") for word in [line])
        for name in unit("EnvironmentFile"):
            path = Path(f"{self.directory}{name.removeprefix('-')}")
            variables |= dict(line.split("=", 1) for line in path.read_text("utf-8").split())
        [credential] = unit("LoadCredential")
        name, _, stored = credential.partition(":")
        kept = self.directory / "credentials"
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(mode=0o700)
        if (self.directory / "etc/credstore" / stored).exists():
            shutil.copy(self.directory / "etc/credstore" / stored, kept / name)
            (kept / name).chmod(0o400)
        place = unit("WorkingDirectory")[-1].replace("%S", f"{self.directory}/var/lib")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            notify = self.directory / "notify"
            notify.unlink(missing_ok=True)
            told.bind(str(notify))
            told.settimeout(READY_S)
            env = environment() | variables
            env |= {"NOTIFY_SOCKET": str(notify), "CREDENTIALS_DIRECTORY": str(kept)}
            service = Running(f"exec {unit('ExecStart')[-1]}", Path(place), env)
            self.service = self._ends.enter_context(service)
            try:
                while b"READY=1" not in told.recv(4096):
                    pass
            except TimeoutError:
                pytest.fail(service.printed)

    def _unit(self) -> Callable[[str], list[str]]:
        """The directives of the installed unit and its drop-ins."""
        installed = self.directory / "etc/systemd/system"
        files = [installed / UNIT, *sorted((installed / f"{UNIT}.d").glob("*.conf"))]
        text = "\n".join(path.read_text("utf-8") for path in files)

        def values(name: str) -> list[str]:
            return [value.strip('"') for value in re.findall(rf"^{name}=(.+)$", text, re.MULTILINE)]

        return values


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """An empty host; its path is short, for the sockets below it."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")  # pip's way to say: do not isolate
    with tempfile.TemporaryDirectory(prefix="host") as place, Host(Path(place)) as operator:
        operator.bindings["7433"] = str(own_port())
        yield operator


def say(conductor: Practice, words: str) -> str:
    """Type a command of the embedded conductor, beside it."""
    return conductor.operator.type(f"conductor dev --directory . {words}")


def prepare(block: Block, host: Host, practice: Practice) -> None:
    """Bring about what the page's next block presupposes."""
    if "systemd-tmpfiles" in block.body:
        return
    if "enable --now" in block.body:
        # Nobody waits half a minute for the first link.
        settings = host.directory / "etc/conductor-sidecar/environment"
        settings.write_text("CONDUCTOR_RECONNECT__FIRST_SPREAD_S=0.1\n", encoding="utf-8")
    elif "CREDENTIAL_REFUSED" in block.body:
        listed = say(practice, "token list")
        for name in re.findall(r"^(\S+)\s+credential\s+valid", listed, re.MULTILINE):
            say(practice, f"token revoke {name}")
    elif "--token-file token" in block.body:
        say(practice, f"token issue {practice.workspace} --output again.token")
        shutil.copy(practice.operator.directory / "again.token", host.here / "token")
        (host.here / "token").chmod(0o600)
    elif "dead-letters list" in block.body:
        event_id = practice.send(RECOVERY, "{}")  # the demo pack rejects it: no wu_id
        host.bindings["EVENT_ID"] = event_id
        host.type("conductor dead-letters list", f"...{event_id}...", patient=True)
    elif "approvals list" in block.body:
        call = 'conductor tools call task:create --input \'{"title": "Water"}\''
        host.type(call, code=1)
        [request] = json.loads(host.type("conductor approvals list --json"))["approvals"]
        host.bindings["REQUEST_ID"] = str(request["request_id"])
    elif "restore BACKUP" in block.body:
        kept = host.directory / "var/backups/conductor-sidecar"
        host.bindings["BACKUP"] = str(next(kept.glob("*.tar")))
    elif "ln -sfn NEW" in block.body:
        (host.directory / "opt/conductor-sidecar/0.1.1").symlink_to("0.1.0")
        host.bindings["NEW"] = "0.1.1"


@pytest.mark.timeout(300)  # every command is a process of its own, some sixty of them
def test_a_new_operator_gets_what_the_page_says(host: Host, practice: Practice) -> None:
    token = host.directory / "given.token"
    token.write_text(practice.token, encoding="utf-8")
    host.bindings |= {"https://conductor.example": practice.url, "TOKEN_FILE": str(token)}
    for block in blocks(PAGE):
        prepare(block, host, practice)
        host.follow(block)

    console = [block for block in blocks(PAGE) if block.language == "console"]
    assert {step for block in console for step, _ in block.steps} <= set(host.commands)
    assert host.service is None
    assert "Traceback" not in "".join(host.said)
    left = [path for path in host.directory.rglob("*conductor*") if path.is_file()]
    assert [] == left


def test_every_reason_for_not_being_ready_that_needs_an_operator_is_on_the_page() -> None:
    passing = {"starting", "draining", "stopped"}
    itself = {
        "link_silent",
        "store_stuck",
        "dispatcher_stuck",
    }  # given up, or ended by the watchdog

    assert set() == {str(code) for code in Code} - passing - itself - set(
        re.findall(r"`(\w+)`", TEXT)
    )


def test_the_figures_of_the_page_are_about_those_of_the_benchmarks() -> None:
    rows = re.findall(r"^\| ([\d.,]+) [^|]+\| [^|]+ \| ([^|]+) \|$", TEXT, re.MULTILINE)
    measured = dict(
        re.findall(r"^\| (.+?) \| ([\d.,]+) \|", BENCHMARKS.read_text("utf-8"), re.MULTILINE)
    )

    assert len(rows) > 8
    for about, row in rows:
        found = float(measured[row].replace(",", ""))
        found /= 1000 if row == "control socket answers" else 1  # ms there, s here
        assert found / 2 <= float(about.replace(",", "")) <= found * 2, row


def test_every_code_that_the_page_names_exists() -> None:
    errors = (ROOT / "docs/reference/errors.md").read_text("utf-8")
    journal = (ROOT / "docs/reference/journal.md").read_text("utf-8")
    named = set(re.findall(r"`([A-Z]+_[A-Z_]+)`", TEXT)) - {"TOKEN_FILE"}

    assert len(named) > 8
    assert set() == {code for code in named if f"`{code}`" not in errors + journal}
