"""A private Mosquitto on a free loopback port, ended by its process id.

A missing server fails whoever asks for one: `sh tests/servers/install.sh` brings it.
"""

from __future__ import annotations

import getpass
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme

from own_port import own_port

SECONDS = 10.0
PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin", "/opt/homebrew/sbin")
CONDUCTOR = "conductor"


def program(name: str) -> str:
    """Where a program of the Mosquitto package is."""
    found = shutil.which(name) or next(
        (f"{place}/{name}" for place in PLACES if Path(place, name).exists()), None
    )
    assert found, f"{name} is not installed; run: sh tests/servers/install.sh"
    return found


@dataclass
class Broker:
    """One broker with its files. Use as a context; `stop` and `start` in between restart it."""

    directory: Path
    users: Mapping[str, str] = field(default_factory=dict)
    """User name to password; empty: everybody may connect."""
    acl: str = ""
    extra: str = ""
    """More lines of the configuration."""
    tls: bool = False
    client_certificates: bool = False
    """Whether clients must present one, whose common name is then the user."""
    port: int = field(default_factory=own_port)
    authority: trustme.CA = field(default_factory=trustme.CA)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def ca_file(self) -> str:
        return str(self.directory / "ca.pem")

    @property
    def authority_address(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://127.0.0.1:{self.port}"

    @property
    def user_line(self) -> str:
        """Mosquitto would give up root's rights, and with them the way to a test's files."""
        return f"user {getpass.getuser()}"

    def address(self, root: str = "conductor") -> str:
        """The address at which a conductor listens."""
        return f"{self.authority_address}/{root}"

    def log(self) -> str:
        path = self.directory / "mosquitto.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def write(self) -> Path:
        """Write the configuration; returns its path."""
        lines = [
            f"listener {self.port} 127.0.0.1", "persistence true",
            f"persistence_location {self.directory}/",
            "log_dest stdout", "log_type all",
            "set_tcp_nodelay true",
            self.user_line, *self._tls_lines(), *self._user_lines(), self.extra,
        ]  # fmt: skip
        path = self.directory / "mosquitto.conf"
        path.write_text("\n".join(lines) + "\n")
        return path

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        self.run(self.write())

    def run(self, config: Path) -> None:
        """Start it with this configuration and wait until it takes connections."""
        log = (self.directory / "mosquitto.log").open("ab")
        self._process = subprocess.Popen(
            [program("mosquitto"), "-c", str(config)], stdout=log, stderr=log,
            stdin=subprocess.DEVNULL, cwd=self.directory,
        )  # fmt: skip
        log.close()
        end = time.monotonic() + SECONDS
        while True:
            assert self._process.poll() is None, f"mosquitto ended:\n{self.log()}"
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
            except OSError:
                assert time.monotonic() < end, f"mosquitto does not listen:\n{self.log()}"
                time.sleep(0.005)
            else:
                return

    def stop(self, *, kill: bool = False) -> None:
        """End it; with `kill` as a power cut would."""
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        else:
            process.terminate()
        process.wait(SECONDS)

    def reload(self) -> None:
        """Make it read passwords and access list again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def client_certificate(self, name: str) -> Path:
        """Issue a client certificate with its key; returns the PEM file."""
        path = self.directory / f"{name}.pem"
        issued = self.authority.issue_cert(f"{name}.test", common_name=name)
        issued.private_key_and_cert_chain_pem.write_to_path(str(path))
        return path

    def _tls_lines(self) -> list[str]:
        if not self.tls:
            return []
        self.authority.cert_pem.write_to_path(self.ca_file)
        served = self.authority.issue_cert("localhost", "127.0.0.1")
        served.private_key_pem.write_to_path(str(self.directory / "server.key"))
        served.cert_chain_pems[0].write_to_path(str(self.directory / "server.pem"))
        lines = [
            f"certfile {self.directory}/server.pem", f"keyfile {self.directory}/server.key",
            f"cafile {self.ca_file}",
        ]  # fmt: skip
        if self.client_certificates:
            lines += ["require_certificate true", "use_identity_as_username true"]
        return lines

    def _user_lines(self) -> list[str]:
        lines = ["allow_anonymous true"]
        if self.users:
            lines = ["allow_anonymous false", f"password_file {self.directory}/passwords"]
            write_passwords(self.directory / "passwords", self.users)
        if self.acl:
            (self.directory / "acl").write_text(self.acl)
            (self.directory / "acl").chmod(0o600)
            lines.append(f"acl_file {self.directory}/acl")
        return lines

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.stop()


def write_passwords(path: Path, users: Mapping[str, str]) -> None:
    """Write a password file; the passwords are hashed by Mosquitto's own program."""
    path.write_text("".join(f"{user}:{password}\n" for user, password in users.items()))
    path.chmod(0o644)
    subprocess.run([program("mosquitto_passwd"), "-U", str(path)], check=True, capture_output=True)
