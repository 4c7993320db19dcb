"""The part of the section `sidekick` that is about webhooks and the outbox.

Promise: a wrong key or value is named with where it stands. Refusal: no secret stands in the
configuration, which is printed; nothing is resolved, opened or connected to here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from conductor_packs.sidekick.channels.errors import ChannelSettingsInvalid
from conductor_packs.sidekick.channels.port import provider_key

KEYS = ("webhooks_out", "webhooks_in", "outbox_max_attempts")
"""The keys of the section that are read here."""

_SECRETS = ("secret_env", "secret_file", "secret_credential")
ProviderName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
    AfterValidator(provider_key),
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SecretSource(_Part):
    """Where a secret is: exactly one of the three. The configuration itself never holds one."""

    secret_env: str | None = None
    """The environment variable that holds it."""
    secret_file: str | None = None
    """A file that only its owner can read, relative to the workspace."""
    secret_credential: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+$")] | None = None
    """A systemd credential's name: a file below `$CREDENTIALS_DIRECTORY`."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in _SECRETS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(_SECRETS)}")
        return self


class WebhookOut(SecretSource):
    """A provider whose messages are posted to a URL."""

    url: str
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0
    allow_private: bool = False
    """Whether it may be on this machine or in a private network, and speak plain HTTP there."""

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        try:
            parts = urlsplit(self.url)
            _ = parts.port
        except ValueError:
            raise ValueError("url is not a URL") from None
        if parts.username or parts.password:
            raise ValueError("url holds credentials; sign with the secret instead")
        if not parts.hostname or parts.scheme not in {"https", "http"}:
            raise ValueError("url is not an https URL")
        if parts.scheme == "http" and not self.allow_private:
            raise ValueError("url is not an https URL; plain http needs allow_private")
        return self


class WebhookIn(SecretSource):
    """A sender whose messages are taken at `/hooks/sidekick/<name>`."""

    channel: Annotated[str, StringConstraints(min_length=1, max_length=200)] = "inbox"
    """The local channel that its messages are put into."""
    sender: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """Who speaks; `webhook:<name>` by default. Never taken from the body."""
    window_s: Annotated[int, Field(ge=1, le=3600)] = 300
    """How far a message's time may be from ours."""


class ChannelSettings(_Part):
    """Webhooks and the outbox."""

    webhooks_out: Mapping[ProviderName, WebhookOut] = Field(default_factory=dict[str, WebhookOut])
    webhooks_in: Mapping[ProviderName, WebhookIn] = Field(default_factory=dict[str, WebhookIn])
    outbox_max_attempts: Annotated[int, Field(ge=1, le=100)] = 8


def channel_settings(section: Mapping[str, Any]) -> ChannelSettings:
    """Read the pack's section; other keys than `KEYS` are not looked at.

    Raises:
        ChannelSettingsInvalid: Naming the first wrong value.
    """
    try:
        return ChannelSettings.model_validate({key: section[key] for key in KEYS if key in section})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "sidekick"
        message = str(first["msg"]).removeprefix("Value error, ")
        raise ChannelSettingsInvalid(f"{where}: {message}") from None
