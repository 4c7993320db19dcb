"""Three MQTT clients compared: late acknowledgement under SIGKILL, speed, memory.

Run it where all three are installed, with Mosquitto on the path (see docs/adr/0008):

    python -m venv .run/clients && .run/clients/bin/pip install paho-mqtt gmqtt aiomqtt
    .run/clients/bin/python benchmarks/mqtt_clients.py

Each client subscribes in a process of its own with a persistent session, QoS 1 and a receive
maximum of 256. "Committed" is a line in a file, synced once for each batch that has arrived.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TOPIC = "bench/down"
WINDOW = 256
LOSS_MESSAGES = 1000
LOSS_KILLS = 5
HANDLER_S = 0.001
SPEED_MESSAGES = 20_000
CLIENTS = ("paho-mqtt manual", "gmqtt late", "gmqtt default", "aiomqtt documented")


class Store:
    """Where a subscriber commits: a file of numbers."""

    def __init__(self, path: Path, slow: bool) -> None:
        self._file = path.open("ab", buffering=0)
        self._slow = slow

    def commit(self, payloads: list[bytes]) -> None:
        """Make numbers durable; slowly, where a kill is to find something unfinished."""
        if self._slow:
            time.sleep(HANDLER_S * len(payloads))
        self._file.write(b"".join(payload[:8] + b"\n" for payload in payloads))
        os.fsync(self._file.fileno())


def paho_manual(port: int, store: Store) -> None:
    """Paho's own loop in this thread; `ack` after the commit of what has arrived."""
    import select

    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    arrived: list[tuple[int, bytes]] = []
    client = Client(
        CallbackAPIVersion.VERSION2, "bench", protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True
    )
    client.on_message = lambda _c, _d, m: arrived.append((m.mid, bytes(m.payload)))
    client.on_connect = lambda *_: client.subscribe(TOPIC, 1)
    client.connect("127.0.0.1", port, clean_start=False, properties=_connect_properties())
    while True:
        select.select([client.socket()], [], [], 1.0)
        before = -1
        while before != len(arrived) < WINDOW:
            before = len(arrived)
            client.loop_read()
        if arrived:
            store.commit([payload for _, payload in arrived])
            for mid, _ in arrived:
                client.ack(mid, 1)
            arrived.clear()
        client.loop_write()
        client.loop_misc()


def _connect_properties() -> Any:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 600
    properties.ReceiveMaximum = WINDOW
    return properties


def gmqtt_late(port: int, store: Store, *, optimistic: bool = False) -> None:
    """gmqtt; its callback returns when the batch with its message is committed."""
    from gmqtt import Client
    from gmqtt.mqtt.constants import MQTTv50

    async def main() -> None:
        waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        loop, ready = asyncio.get_running_loop(), asyncio.Event()

        async def on_message(_c: Any, _t: str, payload: bytes, _q: int, _p: Any) -> int:
            done = loop.create_future()
            waiting.append((payload, done))
            ready.set()
            await done
            return 0

        client = Client(
            "bench", clean_session=False, optimistic_acknowledgement=optimistic,
            session_expiry_interval=600, receive_maximum=WINDOW,
        )  # fmt: skip
        client.on_message = on_message
        client.on_connect = lambda *_: client.subscribe(TOPIC, qos=1)
        await client.connect("127.0.0.1", port, version=MQTTv50)
        while True:
            await ready.wait()
            ready.clear()
            batch, waiting = waiting, []
            store.commit([payload for payload, _ in batch])
            for _, done in batch:
                done.set_result(None)

    asyncio.run(main())


def aiomqtt_documented(port: int, store: Store) -> None:
    """Aiomqtt as its documentation shows it: one message at a time out of `messages`."""
    import aiomqtt

    async def main() -> None:
        async with aiomqtt.Client(
            "127.0.0.1", port, identifier="bench", protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=False, properties=_connect_properties(),
        ) as client:  # fmt: skip
            await client.subscribe(TOPIC, qos=1)
            queue: asyncio.Queue[bytes] = asyncio.Queue()

            async def read() -> None:
                async for message in client.messages:
                    queue.put_nowait(bytes(message.payload))

            reading = asyncio.create_task(read())
            while not reading.done():
                batch = [await queue.get()]
                while not queue.empty():
                    batch.append(queue.get_nowait())
                store.commit(batch)
                await asyncio.sleep(0)

    asyncio.run(main())


SUBSCRIBERS: dict[str, Callable[[int, Store], None]] = {
    "paho-mqtt manual": paho_manual,
    "gmqtt late": gmqtt_late,
    "gmqtt default": lambda port, store: gmqtt_late(port, store, optimistic=True),
    "aiomqtt documented": aiomqtt_documented,
}


class Broker:
    """A private Mosquitto."""

    def __init__(self, directory: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        config = directory / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"
            "max_queued_messages 0\nlog_type none\n"
        )
        found = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        if found is None:
            raise SystemExit("mosquitto is missing: sh tests/servers/install.sh")
        self._process = subprocess.Popen([found, "-c", str(config)])
        wait_for(self._listens, 5.0)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.2).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


def wait_for(reached: Callable[[], bool], seconds: float) -> bool:
    """Poll a condition; False if it did not come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if reached():
            return True
        time.sleep(0.01)
    return False


def publish(port: int, count: int, size: int) -> None:
    """Publish numbers with QoS 1, each once, and wait until the broker has them."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    client = Client(CallbackAPIVersion.VERSION2, "feeder", protocol=MQTTProtocolVersion.MQTTv5)
    client.connect("127.0.0.1", port)
    client.loop_start()
    sent = [client.publish(TOPIC, b"%08d" % n + b"x" * (size - 8), 1) for n in range(count)]
    for one in sent:
        one.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


def start(name: str, port: int, store: Path, *, slow: bool) -> subprocess.Popen[bytes]:
    """Start a subscriber."""
    words = [sys.executable, __file__, "--child", name, "--port", str(port), "--store", str(store)]
    return subprocess.Popen(words + (["--slow"] if slow else []), stderr=subprocess.DEVNULL)


def numbers(store: Path) -> list[bytes]:
    """What has been committed."""
    return store.read_bytes().split() if store.exists() else []


def peak_kb(pid: int) -> int:
    """Peak resident memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    return 0


def lost(name: str, directory: Path) -> dict[str, int]:
    """Kill the subscriber while messages wait; count what never was committed."""
    broker, store, chance = Broker(directory), directory / "store", random.Random(1)
    child = start(name, broker.port, store, slow=True)
    time.sleep(1.0)
    publish(broker.port, LOSS_MESSAGES, 200)
    for _ in range(LOSS_KILLS):
        time.sleep(chance.uniform(0.05, 0.15))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child = start(name, broker.port, store, slow=True)
        before = len(numbers(store))
        wait_for(lambda before=before: len(numbers(store)) > before, 3.0)
    wait_for(lambda: len(set(numbers(store))) == LOSS_MESSAGES, 5.0)
    child.kill()
    child.wait()
    broker.stop()
    found = numbers(store)
    return {"lost": LOSS_MESSAGES - len(set(found)), "repeated": len(found) - len(set(found))}


def speed(name: str, directory: Path) -> dict[str, int]:
    """Fill the session while the subscriber is away, then let it catch up."""
    broker, store = Broker(directory), directory / "store"
    child = start(name, broker.port, store, slow=False)
    time.sleep(1.0)
    child.kill()
    child.wait()
    publish(broker.port, SPEED_MESSAGES, 1000)
    child = start(name, broker.port, store, slow=False)
    wait_for(lambda: bool(numbers(store)), 10.0)
    begun, first = time.monotonic(), len(numbers(store))
    wait_for(lambda: len(set(numbers(store))) >= SPEED_MESSAGES, 60.0)
    rate = (len(numbers(store)) - first) / (time.monotonic() - begun)
    memory = peak_kb(child.pid)
    child.kill()
    child.wait()
    broker.stop()
    return {"messages_per_s": round(rate), "peak_mb": memory // 1024}


def main() -> None:
    """Measure all clients, print one JSON line for each."""
    options = argparse.ArgumentParser()
    options.add_argument("--child")
    options.add_argument("--port", type=int)
    options.add_argument("--store", type=Path)
    options.add_argument("--slow", action="store_true")
    given = options.parse_args()
    if given.child:
        SUBSCRIBERS[given.child](given.port, Store(given.store, given.slow))
        return
    for name in CLIENTS:
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            for directory in (one, two):
                Path(directory).chmod(0o755)
            found = {"client": name, **lost(name, Path(one)), **speed(name, Path(two))}
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
