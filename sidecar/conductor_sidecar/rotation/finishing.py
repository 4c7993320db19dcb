"""The last steps of a rotation: the journal, the candidate's file, the conductor.

Promise: the journal tells of a rotation once, also when a crash came between it and the rest.
Refusal: nothing here decides which credential is in use; that was durable before.
"""

from __future__ import annotations

import contextlib

import msgspec

from conductor_sdk.errors import ConductorError
from conductor_sidecar.credentials import Identity
from conductor_sidecar.logs import get_logger
from conductor_sidecar.rotation.address import PATH, conductor_address, rotation_url
from conductor_sidecar.rotation.means import Means

EVENT = "ROTATED"
ACTOR = "sidecar"
LOOK_BACK = 200
"""Newest entries of the journal in which a rotation is looked for that a crash cut short."""


class Rotated(msgspec.Struct, frozen=True):
    """A rotation that is done."""

    generation: int
    fingerprint: str
    """Of the new credential; tells nothing of it."""


async def finish(means: Means, identity: Identity, *, again: bool = False) -> Rotated:
    """Put a committed rotation into the journal, and forget the candidate's file.

    Args:
        means: What it works with.
        identity: What is in use now.
        again: A crash may have come after the journal's entry.
    """
    fingerprint = identity.credential.fingerprint()
    facts = {
        "subject": identity.subject, "generation": identity.generation,
        "fingerprint": fingerprint,
    }  # fmt: skip
    newest = await means.journal.latest(LOOK_BACK) if again else []
    if not any(one.event_type == EVENT and fingerprint in one.payload for one in newest):
        await means.journal.append(EVENT, ACTOR, facts)
    means.crash_point("rotation.journaled")
    means.files.forget()
    means.crash_point("rotation.forgotten")
    log = get_logger(part="rotation")
    log.info("rotated", generation=identity.generation, fingerprint=fingerprint)
    means.feed.note("rotation", detail=f"credential {identity.generation} is in use")
    await _confirm(means, identity)
    return Rotated(identity.generation, fingerprint)


async def _confirm(means: Means, identity: Identity) -> None:
    """Tell the conductor: over a broker it has not seen the credential.

    Where it does not hear it, the link was proof, or the overlap ends.
    """
    with contextlib.suppress(ConductorError):
        home = conductor_address(identity.conductor, identity.address)
        url = rotation_url(PATH, home, allow_plaintext=means.link().allow_plaintext)
        await means.endpoint.confirm(url, identity.credential, identity.generation)
        means.crash_point("rotation.confirmed")
