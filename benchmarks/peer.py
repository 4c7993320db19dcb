"""The other end of every measurement: a conductor of bytes that were built before the clock starts.

Run as a process of its own: `python -m benchmarks.peer MODE KEY=NUMBER …`. It prints its port, then
what it measured, one JSON object a line; a line on its standard input starts a flood.

    plain       one event in a frame, or more, to any WebSocket client: no protocol
    conductor   speaks the link: hello, welcome, events within the credit, acknowledgements
    paced       the same, one event at a time at a fixed rate; prints each time to the ack
    sink        speaks the link and confirms whatever is pushed

Promise: it never waits for anything but the client. Refusal: nothing is stored or checked.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Mapping

import msgspec

from benchmarks.wire import Connection, PeerGone, text_frame
from benchmarks.workload import event_bodies, events_frames

EPOCH = "bench"
_GATHER = 262_144
"""Bytes of small frames that are written at once."""


class _Said(msgspec.Struct):
    """What is read of a sidecar's messages."""

    type: str
    epoch: str = ""
    cursor: int = 0
    credit: int = 0
    sequence: int = 0
    events: list[_Id] = []


class _Id(msgspec.Struct):
    event_id: str


_said = msgspec.json.Decoder(_Said)


def say(**facts: object) -> None:
    """Print a line for whoever started this process."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


class Credit:
    """How far the sidecar lets the flood go, and how far it has acknowledged."""

    def __init__(self, connection: Connection, limit: int) -> None:
        self._connection = connection
        self._changed = threading.Condition()
        self._over = False
        self.limit = limit
        self.acked = 0
        self.acks: list[tuple[int, float]] = []
        """Each acknowledged sequence and when it came."""
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        try:
            while True:
                said = _said.decode(self._connection.receive())
                now = time.monotonic()
                if said.type == "ack":
                    with self._changed:
                        self.acked, self.limit = said.sequence, said.sequence + said.credit
                        self.acks.append((said.sequence, now))
                        self._changed.notify_all()
                elif said.type in {"error", "bye"}:
                    say(said=said.type)
        except PeerGone:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def wait(self, *, limit: int = 0, acked: int = 0) -> None:
        """Wait until that much may be sent, or is acknowledged.

        Raises:
            PeerGone: The sidecar has left.
        """
        with self._changed:
            while self.limit < limit or self.acked < acked:
                if self._over:
                    raise PeerGone
                self._changed.wait(1.0)


def plain(client: Connection, given: Mapping[str, int]) -> None:
    """Flood any client; what it says is read and thrown away."""
    bodies = event_bodies(given["events"])
    per_frame = given["frame"]
    members = bodies if per_frame == 1 else events_frames(bodies, per_frame)
    chunks = _gathered([text_frame(member) for member in members])
    threading.Thread(target=_ignore, args=(client,), daemon=True).start()
    _wait_for_go()
    say(began=time.monotonic())
    for chunk in chunks:
        client.send(chunk)
    sys.stdin.readline()


def conductor(client: Connection, given: Mapping[str, int]) -> None:
    """Flood a sidecar as fast as its credit allows."""
    per_frame, total = given["frame"], given["events"]
    frames = [text_frame(x) for x in events_frames(event_bodies(total), per_frame)]
    credit = _greet(client)
    _wait_for_go()
    say(began=time.monotonic())
    sent, most = 0, max(1, _GATHER // len(frames[0])) if frames else 1
    while sent < len(frames):
        credit.wait(limit=min(total, (sent + 1) * per_frame))
        allowed = credit.limit // per_frame if credit.limit < total else len(frames)
        until = min(len(frames), sent + most, allowed)
        client.send(b"".join(frames[sent:until]))
        sent = until
    credit.wait(acked=total)
    say(acked=time.monotonic(), acks=len(credit.acks))
    sys.stdin.readline()


def paced(client: Connection, given: Mapping[str, int]) -> None:
    """Send one event at a time at a fixed rate; print the seconds until each was acknowledged."""
    rate, total = given["rate"], given["events"]
    frames = [text_frame(x) for x in events_frames(event_bodies(total), 1)]
    credit = _greet(client)
    _wait_for_go()
    sent_at = [0.0] * (total + 1)
    began = time.monotonic()
    for index, frame in enumerate(frames, 1):
        due = began + index / rate
        while (left := due - time.monotonic()) > 0:
            time.sleep(left)
        sent_at[index] = time.monotonic()
        client.send(frame)
    credit.wait(acked=total)
    latencies, done = [], 0
    for sequence, at in credit.acks:
        latencies += [at - sent_at[number] for number in range(done + 1, sequence + 1)]
        done = max(done, sequence)
    say(latencies=latencies)
    sys.stdin.readline()


def sink(client: Connection, given: Mapping[str, int]) -> None:
    """Confirm what is pushed; prints when the first and when the last of `events` came."""
    hello = _said.decode(client.receive())
    client.send(text_frame(_welcome(hello)))
    say(open=time.monotonic())
    began, seen = 0.0, 0
    while True:
        said = _said.decode(client.receive())
        if said.type != "push":
            continue
        began = began or time.monotonic()
        results = ",".join(
            f'{{"event_id":"{event.event_id}","status":"accepted"}}' for event in said.events
        )
        client.send(text_frame(b'{"type":"pushed","results":[%s]}' % results.encode()))
        before, seen = seen, seen + len(said.events)
        if before < given["events"] <= seen:
            say(began=began, ended=time.monotonic(), seen=seen)


def _greet(client: Connection) -> Credit:
    hello = _said.decode(client.receive())
    client.send(text_frame(_welcome(hello)))
    credit = Credit(client, hello.cursor + hello.credit)
    say(open=time.monotonic())
    return credit


def _welcome(hello: _Said) -> bytes:
    resumed = hello.epoch == EPOCH
    message = {
        "type": "welcome", "version": 1, "session": "bench-1", "subject": "bench-workspace",
        "epoch": EPOCH, "resumed": resumed, "start": hello.cursor if resumed else 0,
        "limits": {}, "beat_s": 3600,
    }  # fmt: skip
    return json.dumps(message).encode()


def _gathered(frames: list[bytes]) -> list[bytes]:
    at_once = max(1, _GATHER // len(frames[0]))
    return [b"".join(frames[at : at + at_once]) for at in range(0, len(frames), at_once)]


def _ignore(client: Connection) -> None:
    try:
        while True:
            client.receive()
    except PeerGone:
        return


def _wait_for_go() -> None:
    say(prepared=True)
    if not sys.stdin.readline():
        sys.exit(0)


MODES = {"plain": plain, "conductor": conductor, "paced": paced, "sink": sink}


def main() -> None:
    """Serve one client after another until the process is ended."""
    mode = MODES[sys.argv[1]]
    given = {name: int(number) for name, _, number in (x.partition("=") for x in sys.argv[2:])}
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    say(port=listener.getsockname()[1])
    while True:
        client, _ = listener.accept()
        connection = Connection(client)
        try:
            connection.handshake()
            mode(connection, given)
        except PeerGone:
            say(gone=True)
        client.close()


if __name__ == "__main__":
    main()
