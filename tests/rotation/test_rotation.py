"""A credential is turned over while everything runs."""

from __future__ import annotations

import msgspec
import pytest

from conductor_sdk.clock import SystemClock
from conductor_sdk.errors import ConductorError
from conductor_sdk.secret import Secret
from conductor_server.errors import (
    CredentialExpired,
    CredentialRevoked,
    NothingToRotate,
    RotationNotWaiting,
)
from conductor_server.rotation import URL, version_of
from conductor_state.identity import CredentialFiles, read_enrollment
from rotation_world import RotationWorld


async def test_a_connected_sidecar_turns_its_credential_over_when_it_is_told(
    world: RotationWorld,
) -> None:
    await world.run()
    await world.order()
    await world.rotated(2)

    assert [(1, "revoked"), (2, "valid")] == await world.states()


async def test_nothing_is_lost_or_repeated_while_the_credential_is_turned_over(
    world: RotationWorld,
) -> None:
    await world.run()
    await world.send(*range(50))
    await world.order()
    await world.send(*range(50, 100))
    await world.rotated(2)
    await world.send(*range(100, 120))
    await world.handled(range(120))


async def test_a_sidecar_that_was_away_turns_over_when_it_connects(world: RotationWorld) -> None:
    await world.open()
    await world.order()
    await world.start()
    await world.rotated(2)


async def test_the_present_credential_works_until_the_new_one_is_used(
    world: RotationWorld,
) -> None:
    await world.open()
    await world.order()
    text = world.file["token"]

    assert 1 == version_of(await world.conductor.rotations.authenticate(text))
    assert [(1, "valid"), (2, "waiting")] == await world.states()


async def test_the_present_credential_ends_with_the_overlap(world: RotationWorld) -> None:
    await world.open()
    await world.order(overlap_s=0)
    with pytest.raises(CredentialExpired):
        await world.conductor.rotations.authenticate(world.file["token"])


async def test_a_second_order_while_one_waits_makes_no_further_version(
    world: RotationWorld,
) -> None:
    await world.open()

    assert [2, 2] == [(await world.order()).version for _ in range(2)]


async def test_a_version_that_is_not_newer_is_ignored_however_often_it_comes(
    world: RotationWorld,
) -> None:
    await world.run()
    await world.order()
    await world.rotated(2)
    before = world.workspace.enrollment.read_bytes()
    [session] = world.conductor._sessions
    for version in (0, 1, 2):
        await session._perform(session._session.rotate(version, URL, session._now()))
    await world.order()
    await world.rotated(3)

    assert before != world.workspace.enrollment.read_bytes()
    assert [(1, "revoked"), (2, "revoked"), (3, "valid")] == await world.states()


@pytest.mark.parametrize("url", [
    "https://elsewhere.invalid/api/v1/enrollments", "http://127.0.0.1:1/api/v1/enrollments",
    "http://user:pass@127.0.0.1/x", "ftp://127.0.0.1/x", "//elsewhere.invalid/x", "\x00", "",
])  # fmt: skip
async def test_a_url_elsewhere_is_refused_and_counted(world: RotationWorld, url: str) -> None:
    await world.run()
    before = world.workspace.enrollment.read_bytes()
    [session] = world.conductor._sessions
    await session._perform(session._session.rotate(2, url, session._now()))

    async def refused() -> bool:
        refusals = (await world.status())["refusals"]
        return refusals == {"ROTATION_ELSEWHERE": 1}

    await world.until("it is counted", refused)
    assert before == world.workspace.enrollment.read_bytes()
    assert not world.candidate.exists()


async def test_a_candidate_that_is_refused_does_not_cost_the_link(world: RotationWorld) -> None:
    await world.run()
    await world.order()
    await world.rotated(2)
    await world.stop()
    made_up = msgspec.structs.replace(
        read_enrollment(world.workspace), token=Secret("csc_" + "x" * 43), generation=3
    )
    CredentialFiles(world.workspace, SystemClock()).offer(made_up)
    before = world.workspace.enrollment.read_bytes()
    await world.start()
    await world.linked()

    assert before == world.workspace.enrollment.read_bytes()
    assert world.candidate.exists()
    await world.order()
    await world.rotated(3)


async def test_an_enrollment_meanwhile_beats_a_candidate(world: RotationWorld) -> None:
    await world.open()
    await world.order()
    await world.die_at("candidate.durable")
    assert world.candidate.exists()
    world.workspace.enrollment.unlink()
    await world._enroll(f"ws://127.0.0.1:{world._port}/link")
    enrolled = world.workspace.enrollment.read_bytes()
    await world.start()
    await world.linked()

    assert enrolled == world.workspace.enrollment.read_bytes()
    assert not world.candidate.exists()


async def test_an_operator_gets_a_new_credential_at_once(world: RotationWorld) -> None:
    await world.run()
    done = await world.post("/v1/rotate", {})
    await world.rotated(2)

    assert 2 == done["generation"]
    assert read_enrollment(world.workspace).token.fingerprint() == done["fingerprint"]


async def test_an_operator_is_told_why_there_is_no_new_credential(world: RotationWorld) -> None:
    await world.run()
    await world.conductor.revoke(world.credential_id)
    with pytest.raises(ConductorError) as caught:
        await world.post("/v1/rotate", {})

    assert "CREDENTIAL_REFUSED" in str(caught.value)
    assert 1 == world.generation


async def test_an_enrollment_that_expired_here_is_no_obstacle_for_its_candidate(
    world: RotationWorld,
) -> None:
    await world.open()
    await world.order()
    await world.die_at("candidate.durable")
    file = {**world.file, "version": 2, "expires_at": "2020-01-01T00:00:00Z"}
    world.workspace.enrollment.write_bytes(msgspec.json.encode(file))
    await world.start()
    await world.rotated(2)


async def test_a_revoked_credential_takes_its_candidate_along(world: RotationWorld) -> None:
    await world.open()
    await world.order()
    await world.conductor.revoke(world.credential_id)

    assert [(1, "revoked"), (2, "revoked")] == await world.states()


async def test_a_lost_answer_is_answered_anew_with_another_text(world: RotationWorld) -> None:
    await world.open()
    await world.order()
    rotations = world.conductor.rotations
    record = await rotations.authenticate(world.file["token"])
    first, second = await rotations.fetch(record, 2), await rotations.fetch(record, 2)
    assert first is not None
    assert second is not None
    assert first.text != second.text
    assert [1, 2, 2] == await world.valid()
    await rotations.authenticate(first.text.reveal())
    assert [2] == await world.valid()
    with pytest.raises(CredentialRevoked):
        await rotations.authenticate(second.text.reveal())


async def test_a_version_that_does_not_wait_is_refused(world: RotationWorld) -> None:
    await world.open()
    record = await world.conductor.rotations.authenticate(world.file["token"])
    with pytest.raises(RotationNotWaiting):
        await world.conductor.rotations.fetch(record, 7)


async def test_a_workspace_without_a_credential_cannot_be_rotated(world: RotationWorld) -> None:
    await world.open()
    with pytest.raises(NothingToRotate):
        await world.conductor.rotate("nobody")
