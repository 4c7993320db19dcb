"""Claims, leases, tokens, strikes and reserved paths."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor_packs.plan.batch import Settings
from conductor_packs.plan.errors import (
    ClaimHeld,
    NotClaimable,
    NothingReady,
    PathsReserved,
    PlanInputInvalid,
    TokenStale,
)
from conductor_packs.plan.paths import normalised, overlap
from conductor_packs.plan.requests import (
    ClaimItem,
    Heartbeat,
    RecordResult,
    Release,
    Reserve,
    Transition,
)
from plan_world import CODEX, LIAM, World, world


async def test_a_claim_has_one_holder_who_gets_the_same_claim_again(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.add("A")
        first = await made.claim("A")
        assert ("IN_PROGRESS", 2) == ((await made.item("A")).state, first.payload["new_version"])
        again = await made.claim("A")
        assert (first.receipt, 1, True) == (again.receipt, again.payload["token"], again.replayed)
        with pytest.raises(ClaimHeld) as refused:
            await made.claim("A", CODEX)
        assert "Liam" == refused.value.data["holder"]
        assert 1 == (await made.types()).count("PLAN_ITEM_CLAIMED")


async def test_a_release_gives_the_item_to_the_next_with_a_higher_token(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.add("A")
        await made.claim("A", paths=["src"])
        await made.do(Release(item_id="A", token=1))
        assert ("TODO", []) == ((await made.item("A")).state, await made.read("reservations"))
        assert 2 == (await made.claim("A", CODEX)).payload["token"]
        assert ["OK", None] == await made.sound()


async def test_a_heartbeat_prolongs_the_lease(tmp_path: Path) -> None:
    async with world(tmp_path, Settings(lease_s=60)) as made:
        await made.add("A")
        await made.claim("A")
        for _ in range(5):
            made.clock.advance(50)
            await made.do(Heartbeat(item_id="A", token=1))
        assert [] == await made.plans.expire()
        assert 2 == (await made.item("A")).version
        assert ["OK", None] == await made.sound()


async def test_an_expired_lease_returns_the_item_and_fences_its_holder(tmp_path: Path) -> None:
    async with world(tmp_path, Settings(lease_s=60)) as made:
        await made.add("A")
        await made.claim("A")
        made.clock.advance(60)
        second = await made.claim("A", CODEX)
        assert 2 == second.payload["token"]
        kinds = await made.types()
        assert ["PLAN_ITEM_LEASE_EXPIRED", "PLAN_ITEM_CLAIMED"] == kinds[-2:]
        for write in (
            Heartbeat(item_id="A", token=1),
            Release(item_id="A", token=1),
            Reserve(item_id="A", token=1, paths=["x"]),
            Transition(item_id="A", to_state="DONE", expected_version=4, token=1),
            Transition(item_id="A", to_state="DONE", expected_version=4),
            RecordResult(item_id="A", expected_version=4, token=1),
        ):
            with pytest.raises(TokenStale):
                await made.do(write)
            assert "PLAN_ITEM_MOVE_REFUSED" == (await made.types())[-1]
        await made.move("A", "DONE", caller=CODEX, token=2)
        assert ["OK", None] == await made.sound()


async def test_a_late_write_ends_the_lease_by_itself(tmp_path: Path) -> None:
    async with world(tmp_path, Settings(lease_s=60)) as made:
        await made.add("A")
        await made.claim("A")
        made.clock.advance(61)
        with pytest.raises(TokenStale):
            await made.do(Heartbeat(item_id="A", token=1))
        kinds = await made.types()
        assert ["PLAN_ITEM_LEASE_EXPIRED", "PLAN_ITEM_MOVE_REFUSED"] == kinds[-2:]
        assert "TODO" == (await made.item("A")).state
        entries = await made.entries()
        assert "pack:plan" == entries[-2][1]


async def test_an_item_that_outlives_too_many_holders_is_blocked(tmp_path: Path) -> None:
    async with world(tmp_path, Settings(lease_s=60, strike_limit=3)) as made:
        await made.add("A")
        for token in (1, 2, 3):
            assert token == (await made.claim("A")).payload["token"]
            made.clock.advance(60)
            await made.plans.expire()
        assert "BLOCKED" == (await made.item("A")).state
        with pytest.raises(NotClaimable):
            await made.claim("A")
        await made.move("A", "TODO")
        assert 0 == (await made.read("claim", "A")).strikes
        assert 4 == (await made.claim("A")).payload["token"]
        assert ["OK", None] == await made.sound()


async def test_next_takes_the_best_item_that_is_not_someone_elses(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.add("LATER", priority=5)
        await made.add("HERS", priority=0, assigned_to="Mary")
        await made.add("FIRST", priority=1)
        await made.add("BEHIND", priority=0)
        await made.link("BEHIND", "LATER")
        taken = [
            (await made.do(ClaimItem(plan_id="P"), caller)).payload["item_id"]
            for caller in (LIAM, CODEX)
        ]
        assert ["FIRST", "LATER"] == taken
        with pytest.raises(NothingReady):
            await made.do(ClaimItem(plan_id="P"))
        with pytest.raises(NotClaimable):
            await made.claim("HERS")
        with pytest.raises(NotClaimable):
            await made.claim("BEHIND")
        with pytest.raises(PlanInputInvalid):
            await made.do(ClaimItem())


async def reserved(made: World, *paths: str) -> None:
    await made.add("A", "B")
    await made.claim("A", paths=list(paths))


async def test_overlapping_paths_are_refused_with_their_holder(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await reserved(made, "src/app", "docs/*.md")
        for path in ("src", "src/app/main.py", "docs/a.md", "**/x"):
            with pytest.raises(PathsReserved) as refused:
                await made.claim("B", CODEX, paths=[path])
            [first, *_] = refused.value.data["reserved"]  # type: ignore[misc]
            assert ("A", "Liam") == (first["item_id"], first["holder"])
        assert "TODO" == (await made.item("B")).state
        await made.claim("B", CODEX, paths=["src/apple", "docs/a.txt"])
        with pytest.raises(PathsReserved):
            await made.do(Reserve(item_id="B", token=1, paths=["lib", "src/app/x"]), CODEX)
        await made.move("A", "DONE", token=1)
        await made.do(Reserve(item_id="B", token=1, paths=["lib", "src/app/x"]), CODEX)
        assert 4 == len(await made.read("reservations"))
        assert ["OK", None] == await made.sound()


@pytest.mark.parametrize("path", ["/etc", "../x", "a/../b", "~/x"])
def test_a_path_outside_is_refused(path: str) -> None:
    with pytest.raises(PlanInputInvalid):
        normalised(path)


NAMES = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4).map("/".join)
PATTERNS = st.lists(st.sampled_from(["a", "b", "ab", "a*", "?", "**"]), min_size=1, max_size=4)


@given(NAMES, PATTERNS.map("/".join), PATTERNS.map("/".join))
def test_patterns_that_share_a_file_are_found_to_overlap(
    file: str, first: str, second: str
) -> None:
    if covers(first.split("/"), file.split("/")) and covers(second.split("/"), file.split("/")):
        assert overlap(first, second)
    assert overlap(first, second) == overlap(second, first)


def covers(pattern: list[str], file: list[str]) -> bool:
    from fnmatch import fnmatchcase

    if not pattern:
        return True
    if pattern[0] == "**":
        return any(covers(pattern[1:], file[at:]) for at in range(len(file) + 1))
    return bool(file) and fnmatchcase(file[0], pattern[0]) and covers(pattern[1:], file[1:])
