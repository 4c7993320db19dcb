"""Reading the secrets of webhooks.

Promise: a secret is a `Secret` from the moment it is read, and no error shows it. Refusal: a file
that others can read is not a secret, and is not used.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from conductor_packs.sidekick.channels.errors import SecretMissing
from conductor_packs.sidekick.channels.settings import SecretSource
from conductor_sdk.secret import Secret

SECRET_MAX_BYTES = 4096
SECRET_MIN_BYTES = 16
PREFIX = "whsec_"


def read_secret(
    source: SecretSource, workspace: Path, environ: Mapping[str, str] | None = None
) -> Secret:
    """Read a webhook's secret: base64, with or without `whsec_`, of at least 16 bytes.

    Raises:
        SecretMissing: It is not there, not protected, or no such secret.
    """
    surroundings = os.environ if environ is None else environ
    text = _text(source, workspace, surroundings).strip()
    encoded = text.removeprefix(PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise SecretMissing("it is not base64") from None
    if len(key) < SECRET_MIN_BYTES:
        raise SecretMissing(f"it is shorter than {SECRET_MIN_BYTES} bytes")
    return Secret(text)


def _text(source: SecretSource, workspace: Path, environ: Mapping[str, str]) -> str:
    if source.secret_env is not None:
        value = environ.get(source.secret_env)
        if not value:
            raise SecretMissing(f"the environment has no {source.secret_env}")
        return value
    if source.secret_credential is not None:
        directory = environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise SecretMissing("there is no CREDENTIALS_DIRECTORY")
        return _file(Path(directory, source.secret_credential), guarded=False)
    return _file(workspace / (source.secret_file or ""), guarded=True)


def _file(path: Path, *, guarded: bool) -> str:
    try:
        with path.open("rb") as file:
            if guarded and os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise SecretMissing(f"others can read {path}", hint=f"run: chmod 600 {path}")
            content = file.read(SECRET_MAX_BYTES + 1)
    except OSError as error:
        raise SecretMissing(f"{path}: {error.strerror}") from None
    if len(content) > SECRET_MAX_BYTES:
        raise SecretMissing(f"{path} is longer than {SECRET_MAX_BYTES} bytes")
    try:
        return content.decode("ascii")
    except UnicodeDecodeError:
        raise SecretMissing(f"{path} is not text") from None
