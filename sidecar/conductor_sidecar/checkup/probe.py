"""What the network says of the conductor's host: name, connection, certificate, clock.

Promise: one connection, ended within its time, in a thread that holds nothing up; the credential
is not sent. Refusal: no request to the conductor's interface, only for its date.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import cast
from urllib.parse import urlsplit

TOTAL_S = 9.0
STEP_S = 4.0
"""Seconds for connecting, and for each of the later steps."""
_PORTS = {"ws": 80, "wss": 443, "http": 80, "https": 443, "mqtt": 1883, "mqtts": 8883}
_SECURE = frozenset({"wss", "https", "mqtts"})
_DATED = frozenset({"ws", "wss", "http", "https"})
ANSWER_MAX = 16_384


@dataclass(frozen=True, slots=True)
class Target:
    """Where the link goes."""

    scheme: str
    host: str
    port: int

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.scheme in _SECURE

    @property
    def dated(self) -> bool:
        """Whether it answers with a date."""
        return self.scheme in _DATED

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(slots=True)
class Probe:
    """What was learned; `failed` says at which step it ended."""

    addresses: tuple[str, ...] = ()
    connect_ms: float | None = None
    tls: str = ""
    """The version of TLS that was spoken."""
    cipher: str = ""
    not_after: datetime | None = None
    issuer: str = ""
    server_time: datetime | None = None
    asked_at: datetime | None = None
    """Our time in the middle of the question for theirs."""
    failed: str = ""
    """`dns`, `tcp`, `tls`, `date`; empty: every step was made."""
    error: str = ""


def target_of(address: str) -> Target | None:
    """Return host and port of a link's address; None where it has none."""
    try:
        parts = urlsplit(address)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    if not parts.hostname or port is None or parts.scheme not in _PORTS:
        return None
    return Target(parts.scheme, parts.hostname, port)


def start_probe(
    target: Target, ca_file: str | None, now: Callable[[], datetime], total_s: float = TOTAL_S
) -> Callable[[], Probe]:
    """Begin in a thread of its own; what is returned waits for the rest of the time.

    A resolver can hang for longer than anybody waits, and cannot be interrupted: the thread is
    left behind then, and does not keep the process.
    """
    probe, end = Probe(failed="dns", error=f"no answer within {total_s:g} s"), 0.0
    end = time.monotonic() + total_s

    def run() -> None:
        _run(target, ca_file, now, probe)

    thread = threading.Thread(target=run, name="probe", daemon=True)
    thread.start()

    def wait() -> Probe:
        thread.join(max(0.0, end - time.monotonic()))
        return probe

    return wait


def _run(target: Target, ca_file: str | None, now: Callable[[], datetime], probe: Probe) -> None:
    with contextlib.ExitStack() as stack:
        try:
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
            probe.addresses = tuple(dict.fromkeys(str(each[4][0]) for each in found))
            probe.failed = "tcp"
            began = time.monotonic()
            plain = socket.create_connection((target.host, target.port), STEP_S)
            stack.enter_context(plain)
            probe.connect_ms = (time.monotonic() - began) * 1000
            line: socket.socket = plain
            if target.secure:
                probe.failed = "tls"
                line = stack.enter_context(_encrypted(plain, target.host, ca_file, probe))
            if target.dated:
                probe.failed = "date"
                _ask_date(line, target, now, probe)
        except (OSError, ValueError) as error:
            probe.error = _words(error)
        else:
            probe.failed = probe.error = ""


def _encrypted(plain: socket.socket, host: str, ca_file: str | None, probe: Probe) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=ca_file)
    line = context.wrap_socket(plain, server_hostname=host)
    probe.tls = line.version() or ""
    probe.cipher = (line.cipher() or ("", "", 0))[0]
    certificate = line.getpeercert() or {}
    if isinstance(until := certificate.get("notAfter"), str):
        probe.not_after = datetime.fromtimestamp(ssl.cert_time_to_seconds(until), UTC)
    parts = cast("Sequence[Sequence[tuple[str, str]]]", certificate.get("issuer", ()))
    names = {name: value for part in parts for name, value in part}
    probe.issuer = names.get("organizationName") or names.get("commonName") or ""
    return line


def _ask_date(
    line: socket.socket, target: Target, now: Callable[[], datetime], probe: Probe
) -> None:
    before = now()
    head = f"HEAD / HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n"
    line.sendall(head.encode("idna" if not target.host.isascii() else "ascii"))
    answer = b""
    while b"\r\n\r\n" not in answer and len(answer) < ANSWER_MAX and (more := line.recv(4096)):
        answer += more
    probe.asked_at = before + (now() - before) / 2
    for name, _, value in (row.partition(b":") for row in answer.split(b"\r\n")):
        if name.strip().lower() == b"date":
            probe.server_time = parsedate_to_datetime(value.strip().decode("latin-1"))


def _words(error: Exception) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return error.verify_message or str(error)
        case ssl.SSLError():
            return error.reason or str(error)
        case OSError():
            return error.strerror or str(error) or type(error).__name__
        case _:
            return str(error)
