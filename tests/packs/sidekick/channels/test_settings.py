"""Webhooks as the configuration names them, and their secrets."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from conductor_packs.sidekick.channels.errors import ChannelSettingsInvalid, SecretMissing
from conductor_packs.sidekick.channels.port import SendRequest
from conductor_packs.sidekick.channels.providers import configured_transports
from conductor_packs.sidekick.channels.secrets import read_secret
from conductor_packs.sidekick.channels.settings import SecretSource, channel_settings
from conductor_sdk.clock import ManualClock

TEXT = "whsec_" + base64.b64encode(b"a-secret-of-24-bytes-abc").decode()
OUT = {"url": "https://hooks.example/in", "secret_env": "HOOK"}


def test_other_keys_of_the_section_are_not_looked_at() -> None:
    settings = channel_settings({"toolset": "full", "webhooks_out": {"Alerts": OUT}})
    assert (list(settings.webhooks_out), settings.outbox_max_attempts) == (["alerts"], 8)


@pytest.mark.parametrize(
    ("section", "where"),
    [
        ({"webhooks_out": {"a": {"url": "https://x.example"}}}, "exactly one of"),
        ({"webhooks_out": {"a": OUT | {"secret_file": "x"}}}, "exactly one of"),
        ({"webhooks_out": {"a": OUT | {"url": "http://x.example"}}}, "plain http needs"),
        ({"webhooks_out": {"a": OUT | {"url": "ftp://x.example"}}}, "not an https URL"),
        ({"webhooks_out": {"a": OUT | {"url": "https://u:p@x.example"}}}, "holds credentials"),
        ({"webhooks_out": {"a": OUT | {"url": "https://x.example:99999"}}}, "not a URL"),
        ({"webhooks_out": {"a": OUT | {"timeout_s": 0}}}, "webhooks_out.a.timeout_s"),
        ({"webhooks_out": {"a": OUT | {"colour": "red"}}}, "webhooks_out.a.colour"),
        ({"webhooks_out": {"a b": OUT}}, "webhooks_out.a b"),
        ({"webhooks_in": {"a": {"secret_env": "X", "window_s": 0}}}, "webhooks_in.a.window_s"),
        ({"webhooks_in": {"a": {"secret": TEXT}}}, "webhooks_in.a.secret"),
        ({"outbox_max_attempts": 0}, "outbox_max_attempts"),
        ({"webhooks_out": []}, "webhooks_out"),
    ],
)
def test_a_wrong_value_is_named_and_no_secret_is_shown(section: dict[str, Any], where: str) -> None:
    with pytest.raises(ChannelSettingsInvalid) as refused:
        channel_settings(section)
    assert (where in refused.value.message, TEXT in refused.value.message) == (True, False)


def test_a_secret_comes_from_the_environment_a_file_or_a_credential(tmp_path: Path) -> None:
    file = tmp_path / "hook.secret"
    file.write_text(TEXT + "\n")
    file.chmod(0o600)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "hook").write_text(TEXT)
    environ = {"HOOK": TEXT, "CREDENTIALS_DIRECTORY": str(credentials)}
    for source in (
        SecretSource(secret_env="HOOK"),
        SecretSource(secret_file="hook.secret"), SecretSource(secret_credential="hook"),
    ):  # fmt: skip
        assert read_secret(source, tmp_path, environ).reveal() == TEXT


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (TEXT, 0o640, "others can read"),
        (TEXT, 0o604, "others can read"),
        ("not base64!", 0o600, "not base64"),
        ("c2hvcnQ=", 0o600, "shorter than 16 bytes"),
        ("é", 0o600, "not text"),
        ("A" * 5000, 0o600, "longer than 4096"),
        ("", 0o600, "shorter than"),
    ],
)
def test_what_is_no_secret_is_refused(tmp_path: Path, content: str, mode: int, said: str) -> None:
    file = tmp_path / "hook.secret"
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(SecretMissing, match=said):
        read_secret(SecretSource(secret_file="hook.secret"), tmp_path, {})


@pytest.mark.parametrize(
    "source",
    [
        {"secret_env": "GONE"}, {"secret_file": "gone"}, {"secret_credential": "gone"},
    ],
)  # fmt: skip
def test_a_secret_that_is_not_there_is_missed(tmp_path: Path, source: dict[str, str]) -> None:
    with pytest.raises(SecretMissing):
        read_secret(SecretSource(**source), tmp_path, {})


async def test_a_provider_without_its_secret_is_there_and_says_why(
    tmp_path: Path, clock: ManualClock
) -> None:
    hook = {"url": "https://hooks.example/in", "secret_env": "GONE"}
    settings = channel_settings({"webhooks_out": {"alerts": hook}})
    registry = configured_transports(settings, tmp_path, clock, {})
    assert registry.names() == ["alerts", "terminal"]
    transport = registry.find("ALERTS")
    assert transport is not None
    reply = await transport.send(SendRequest("w", "alerts", "c", "text"))
    assert (reply.success, reply.failure_class, "GONE" in (reply.error or "")) == (
        False, "terminal", True,
    )  # fmt: skip
