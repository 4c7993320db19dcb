"""A rotation put together from what a daemon has.

Promise: an adapter without a credential has no rotation. Refusal: nothing runs yet.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from conductor_sidecar.credentials import Credentials
from conductor_sidecar.feed import Feed
from conductor_sidecar.rotation.fetch import HttpEndpoint
from conductor_sidecar.rotation.files import EnrollmentFiles, Held
from conductor_sidecar.rotation.fixed import Fixed, Turning, stay
from conductor_sidecar.rotation.means import Means
from conductor_sidecar.rotation.turn import Rotation
from conductor_sidecar.settings import LinkSettings
from conductor_sidecar.stores import Stores


def build_rotation(
    held: Held | None, credentials: Credentials, stores: Stores, feed: Feed,
    link: Callable[[], LinkSettings],
) -> Turning:  # fmt: skip
    """Put a rotation together, and offer the candidate that a crash left.

    Args:
        held: The credential's files; None where there are none.
        credentials: What the link is opened with.
        stores: For the journal and the time.
        feed: Told what happens.
        link: How the conductor is reached now. Whoever keeps the link sets `reconnect`.
    """
    if held is None:
        return Fixed(credentials, feed)
    rotation = Rotation(
        Means(
            credentials=credentials, files=EnrollmentFiles(held),
            endpoint=HttpEndpoint(stores.clock, link),
            journal=stores.journal, feed=feed, clock=stores.clock, random=random.random,
            crash_point=held.crash_point, link=link,
        ),
        stay,
    )  # fmt: skip
    rotation.prepare()
    return rotation
