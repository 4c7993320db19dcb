"""Services are made from bindings and closed at the end."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from conductor_flows.capabilities.bindings.spec import parse_all
from conductor_flows.capabilities.errors import BindingRefused
from conductor_flows.capabilities.sqlite_rows import SqliteRows
from conductor_flows.durable.services import Durability, on_rows
from conductor_flows.host.services import serving


@pytest.fixture(autouse=True)
def _a_place_for_temporary_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


def folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("conductor-flows-*"))


async def test_what_spills_goes_to_a_private_folder_that_is_deleted() -> None:
    before = folders()
    async with serving() as services:
        store = services.spill["disk"]
        await store.put("a/b", b"1")
        assert b"1" == await services.spill["local"].get("a/b")
        (folder,) = folders() - before
        assert 0o700 == folder.stat().st_mode & 0o777
        assert services.spill.get("elsewhere") is None
    assert before == folders()


async def test_what_spills_goes_to_the_bound_blobs_whatever_the_tier(tmp_path: Path) -> None:
    before = folders()
    async with serving(bindings=parse_all([f"blob=filesystem:{tmp_path}"])) as services:
        assert services.capabilities["resource::blob::write"] is services.spill.get("cold")
        assert before == folders()


async def test_checkpoints_go_where_the_bindings_name() -> None:
    async with serving(bindings=parse_all(["checkpoint_store=memory"])) as services:
        assert isinstance(services.durability, Durability)
    async with serving() as services:
        assert services.durability is None


async def test_durability_that_is_given_comes_before_the_bindings_and_is_closed(
    tmp_path: Path,
) -> None:
    closed: list[bool] = []

    class Rows(SqliteRows):
        async def close(self) -> None:
            closed.append(True)
            await super().close()

    given = on_rows(Rows(tmp_path / "checkpoints.db"))
    assert given.store is not None
    async with serving(bindings=parse_all(["checkpoint_store=memory"]),
                       durability=given) as services:  # fmt: skip
        assert given is services.durability
        assert [] == await given.store.list()
        assert [] == closed
    assert [True] == closed


async def test_an_error_inside_closes_too() -> None:
    before = folders()
    with pytest.raises(LookupError):
        async with serving():
            raise LookupError
    assert before == folders()


async def test_a_binding_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(BindingRefused):
        async with serving(bindings=parse_all(["rng=seeded:none"])):
            raise AssertionError
