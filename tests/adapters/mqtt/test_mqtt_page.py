"""The how-to page's broker, started with exactly its files, between real processes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from conductor_sdk.errors import Exit
from house import ROOT
from mosquitto import Broker, write_passwords
from real_world import QUEUED, QUICK, RECOVERY, Conductor, World, until

PAGE = ROOT / "docs/how-to/mqtt.md"
FILES = ROOT / "docs/how-to/mqtt"
WORKSPACE = "acme"


@dataclass
class Site:
    """A broker as the page builds it, and a conductor behind it."""

    world: World
    broker: Broker
    conductor: Conductor
    workspace: Path

    @property
    def words(self) -> tuple[str, ...]:
        return ("--adapter", "mqtt", "--set", f"link.ca_file={self.broker.ca_file}", *QUICK)

    def know(self, password: str) -> None:
        """Make the workspace's password known to the broker."""
        users = {"conductor": "the conductor's", WORKSPACE: password}
        write_passwords(self.broker.directory / "passwords", users)
        self.broker.reload()

    @property
    def credential(self) -> str:
        path = self.workspace / ".lumenflow/state/conductor/enrollment.json"
        return str(msgspec.json.decode(path.read_bytes())["token"])


def listener_of(broker: Broker) -> str:
    """The page's listener, with a port and a user of this test."""
    block = re.search(r"^# listeners/tls.conf\n(listener 8883\n.*?)^```", PAGE.read_text(),
                      re.MULTILINE | re.DOTALL)  # fmt: skip
    assert block, "the page shows listeners/tls.conf"
    return block[1].replace("listener 8883", f"listener {broker.port} 127.0.0.1")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    broker = Broker(tmp_path / "etc", tls=True)
    for name in ("data", "listeners"):
        (broker.directory / name).mkdir(parents=True)
    broker.write()  # certificates; the configuration is the page's
    for name in ("mosquitto.conf", "acl"):
        shutil.copy(FILES / name, broker.directory / name)
    (broker.directory / "listeners/tls.conf").write_text(
        listener_of(broker) + broker.user_line + "\n"
    )
    write_passwords(broker.directory / "passwords", {"conductor": "the conductor's"})
    home = tmp_path / "conductor"
    home.mkdir(mode=0o700)
    (home / "mqtt.password").write_text("the conductor's\n")
    (home / "mqtt.password").chmod(0o600)
    try:
        broker.run(broker.directory / "mosquitto.conf")
        shutil.copy(broker.ca_file, home / "mqtt-ca.pem")
        with World(tmp_path) as world:
            conductor = world.conductor("--mqtt", broker.address(), "--workspace", WORKSPACE)
            yield Site(world, broker, conductor, tmp_path / WORKSPACE)
    finally:
        broker.stop()


def test_a_sidecar_connects_over_the_brokers_example_as_the_page_says(site: Site) -> None:
    site.conductor.running.wait_for(f"listening on {re.escape(site.broker.address())}")
    site.conductor.enroll(site.workspace)
    site.know(site.credential)
    sidecar = site.world.sidecar(site.workspace, *site.words)
    sidecar.wait_for_link()
    assert f"{site.broker.address()}/{WORKSPACE}/main" == sidecar.status()["link"]["address"]
    site.conductor.send(WORKSPACE, RECOVERY, {"wu_id": "acme-job-1"})
    sidecar.until(RECOVERY, delivered=1)
    sidecar.push({"kind": QUEUED, "payload": {"job_id": "j"}})
    sidecar.until(QUEUED, "outbound", delivered=1)
    assert QUEUED == site.conductor.events(WORKSPACE)[0]["kind"]
    site.broker.stop()
    sidecar.wait_for_link("waiting")
    site.broker.run(site.broker.directory / "mosquitto.conf")
    sidecar.wait_for_link()
    site.conductor.send(WORKSPACE, RECOVERY, {"wu_id": "acme-job-2"})
    sidecar.until(RECOVERY, delivered=2)
    assert 0 == sidecar.stop()
    said = sidecar.running.printed + site.conductor.running.printed + site.broker.log()
    assert site.credential not in said
    assert "the conductor's" not in said


def test_a_wrong_password_exits_77_and_names_the_next_command(site: Site) -> None:
    site.conductor.enroll(site.workspace)
    site.know("another password")
    done = site.world.command("sidecar", "-w", str(site.workspace), *site.words)
    assert Exit.TOKEN_REFUSED == done.code
    assert "conductor enroll" in done.err
    assert site.credential not in done.err + done.out


def test_a_revoked_credential_is_turned_away_by_the_conductor(site: Site) -> None:
    site.conductor.enroll(site.workspace)
    site.know(site.credential)
    sidecar = site.world.sidecar(site.workspace, *site.words)
    sidecar.wait_for_link()
    [credential] = site.conductor.credentials(WORKSPACE)
    site.conductor.dev("token", "revoke", credential)
    until(lambda: "no valid credential" in sidecar.status()["link"]["reason"], "it is told why")


def test_the_page_names_every_code_of_the_adapter() -> None:
    from conductor_adapters import errors

    codes = {
        one.code
        for one in vars(errors).values()
        if isinstance(one, type) and one.__module__ == errors.__name__
    }
    text = PAGE.read_text(encoding="utf-8")
    assert {"ADDRESS_TAKEN"} == {code for code in codes if f"`{code}`" not in text}
