"""Enrollment by the service: the token that the manager loaded, used once.

Promise: a workspace that is enrolled is left as it is, and the token is read only where nobody
else could have put or read it. Refusal: no retry; the service manager starts the daemon again,
except after a refusal, which no restart mends.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from conductor_sdk.clock import Clock, SystemClock
from conductor_sdk.workspace import Workspace
from conductor_sidecar import app, enrollment
from conductor_sidecar.errors import ConfigInvalid
from conductor_sidecar.identity import MEMORY
from conductor_sidecar.settings import LinkSettings
from conductor_sidecar.systemd.errors import CredentialUnsafe

DIRECTORY = "CREDENTIALS_DIRECTORY"
CREDENTIAL = "enrollment-token"
URL = "CONDUCTOR_URL"
_SIZE_MAX = 65_536


def enroll_at_start(
    workspace: Workspace, link: LinkSettings, environ: Mapping[str, str],
    clock: Clock | None = None,
) -> bool:  # fmt: skip
    """Enroll a workspace that is not, if the service manager brought a token; tells whether.

    Call before the event loop runs.

    Raises:
        ConfigInvalid: There is a token and no CONDUCTOR_URL, or one that is not allowed.
        CredentialUnsafe: The token is not private.
        TokenMalformed: And the like: as `conductor enroll`.
        EnrollmentRefused: The conductor does not accept the token.
        EnrollmentFailed: The conductor was not reached.
    """
    if DIRECTORY not in environ or link.adapter == MEMORY or workspace.enrollment.exists():
        return False
    path = Path(environ[DIRECTORY], CREDENTIAL)
    if not path.exists():
        return False
    if not environ.get(URL):
        hint = f"set {URL}=https://… in /etc/conductor-sidecar/environment"
        raise ConfigInvalid(f"there is an enrollment token, and no {URL}", hint=hint)
    base = enrollment.check_url(environ[URL], allow_plaintext=link.allow_plaintext)
    token = enrollment.read_token_file(path, read_credential, clock or SystemClock())
    enrollment.try_writing(workspace)
    grant = enrollment.request_grant(base, token.text, ca_file=link.ca_file)
    asyncio.run(app.enroll_workspace(workspace, grant, base))
    return True


def read_credential(path: Path) -> bytes:
    """Read a credential of the service manager.

    Raises:
        FileNotFoundError: There is none.
        CredentialUnsafe: Somebody else owns it, or everybody can read it.
    """
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CredentialUnsafe(f"{path}: {error.strerror}") from None
    with os.fdopen(opened, "rb") as file:
        if not private(os.fstat(file.fileno()), user=os.geteuid()):
            raise CredentialUnsafe(f"{path} is not a plain file of ours or of root, for us alone")
        return file.read(_SIZE_MAX)


def private(facts: os.stat_result, *, user: int) -> bool:
    """Tell whether a credential is for this user alone.

    The manager makes it the user's own, mode 0400; or root's with an access list for the user,
    whose mask stands where the group's bits are.
    """
    forbidden = 0o077 if facts.st_uid == user else 0o037
    known = facts.st_uid in {user, 0}
    return known and stat.S_ISREG(facts.st_mode) and not facts.st_mode & forbidden
