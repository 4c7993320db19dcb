"""A credential that ends is renewed in time, spread, and by nobody twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from conductor_sdk.secret import Secret
from conductor_sidecar.credentials import Identity
from conductor_sidecar.rotation.timing import RETRY_CAP_S, Retries, renewal_s
from conductor_state.identity import read_enrollment, write_enrollment
from rotation_world import RotationWorld

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY_S = 86_400


def identity(**times: datetime) -> Identity:
    return Identity("ws", "ws://x", Secret("s"), **times)  # type: ignore[arg-type]


@pytest.mark.parametrize(("roll", "share"), [(0.0, 0.5), (0.5, 7 / 12), (1.0, 2 / 3)])
def test_a_renewal_is_due_between_half_and_two_thirds_of_a_life(roll: float, share: float) -> None:
    one = identity(issued_at=NOW, expires_at=NOW + timedelta(days=30))

    assert pytest.approx(share * 30 * DAY_S) == renewal_s(one, NOW, NOW, roll)


def test_a_life_of_unknown_beginning_is_counted_from_the_start() -> None:
    one = identity(expires_at=NOW + timedelta(days=2))

    assert pytest.approx(DAY_S / 2) == renewal_s(one, NOW + timedelta(days=0.5), NOW, 0.0)


def test_a_credential_without_an_end_is_not_renewed() -> None:
    assert renewal_s(identity(), NOW, NOW, 0.5) is None


def test_tries_that_fail_are_further_apart_up_to_ten_minutes_for_ever() -> None:
    retries = Retries(lambda: 1.0)
    pauses = [retries.next_s() for _ in range(100)]

    assert [5, 10, 20, 40] == pauses[:4]
    assert [RETRY_CAP_S] * 90 == pauses[10:]
    retries.over()
    assert 5 == retries.next_s()


async def test_a_sidecar_renews_a_credential_that_is_due(world: RotationWorld) -> None:
    await world.open()
    now = world.conductor.clock.now()
    aged = msgspec.structs.replace(
        read_enrollment(world.workspace), issued_at=now - timedelta(days=7),
        expires_at=now + timedelta(days=2),
    )  # fmt: skip
    write_enrollment(world.workspace, aged)
    await world.start()
    await world.rotated(2)
