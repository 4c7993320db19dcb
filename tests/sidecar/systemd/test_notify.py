"""What the daemon tells its service manager, through a real datagram socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conductor_sidecar.systemd import notify
from conductor_sidecar.systemd.notify import Notifier


def test_each_message_is_one_datagram(manager: Any) -> None:
    notifier = Notifier(manager.address)

    assert notifier.send(notify.ready(), notify.status("running"))
    assert notifier.send(notify.watchdog())
    notifier.close()

    assert ["READY=1\nSTATUS=running", "WATCHDOG=1"] == manager.heard()


def test_messages_are_spelled_as_sd_notify_spells_them() -> None:
    said = [
        notify.ready(), notify.stopping(), notify.watchdog(), notify.status("draining"),
        notify.reloading(12.5), notify.extend_timeout(1.5),
    ]  # fmt: skip

    assert [
        "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=draining",
        "RELOADING=1\nMONOTONIC_USEC=12500000", "EXTEND_TIMEOUT_USEC=1500000",
    ] == said  # fmt: skip


def test_a_status_cannot_add_a_field_nor_drive_a_terminal() -> None:
    said = notify.status("link: \n\x1b[31mREADY=1\r\nMAINPID=1\u2028x" + "y" * 10_000)

    assert said.startswith("STATUS=link:  [31mREADY=1 MAINPID=1 xyyy")
    assert len(said) == len("STATUS=") + notify.STATUS_MAX
    assert "\n" not in said


def test_without_a_manager_nothing_is_sent_and_nothing_fails() -> None:
    notifier = Notifier.take({})

    assert not notifier.listening
    assert not notifier.send(notify.ready())


@pytest.mark.parametrize("address", ["", "relative/socket", "vsock:2:9999"])
def test_an_address_that_is_no_unix_socket_is_no_manager(address: str) -> None:
    assert not Notifier(address).listening


def test_a_manager_that_is_gone_fails_the_message_and_not_the_daemon(tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "nobody"))

    assert not notifier.send(notify.ready())
    notifier.close()


def test_a_manager_that_does_not_read_never_makes_the_daemon_wait(manager: Any) -> None:
    notifier = Notifier(manager.address)

    sent = 0
    while sent < 100_000 and notifier.send(notify.watchdog()):
        sent += 1
    notifier.close()

    assert sent < 100_000
    assert sent == len(manager.heard())


def test_the_socket_is_left_to_no_child_process() -> None:
    environ = {"NOTIFY_SOCKET": "/run/nobody", "HOME": "/"}

    assert Notifier.take(environ).listening
    assert {"HOME": "/"} == environ
