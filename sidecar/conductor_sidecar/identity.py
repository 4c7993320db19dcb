"""Who a workspace's sidecar is: from its enrollment, or from the directory with the memory adapter.

Promise: the daemon and a command without a daemon answer alike. Refusal: nothing is asked over the
network, and nothing is written.
"""

from __future__ import annotations

import re
import secrets

from conductor_sdk.secret import Secret
from conductor_sdk.workspace import Workspace
from conductor_sidecar.app import load_enrollment
from conductor_sidecar.credentials import Identity, identity_of
from conductor_sidecar.settings import Settings

MEMORY = "memory"
_NOT_SUBJECT = re.compile(r"[^A-Za-z0-9._-]+")


def identify(workspace: Workspace, settings: Settings) -> Identity:
    """Read who we are: from the enrollment, or from the directory with the memory adapter.

    Raises:
        EnrollmentError: The workspace is not enrolled, or not any more.
    """
    if settings.link.adapter == MEMORY:
        address = f"memory://{secrets.token_hex(8)}"
        return Identity(local_subject(workspace), address, Secret("loopback"))
    return identity_of(load_enrollment(workspace))


def local_subject(workspace: Workspace) -> str:
    """Return the name of a workspace that no conductor has given one."""
    return _NOT_SUBJECT.sub("-", workspace.root.name)[:128] or "workspace"
