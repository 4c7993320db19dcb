"""Damaged files: set aside, read as far as they go, replaced; and nothing else is touched."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from conductor_sdk.clock import ManualClock
from conductor_sdk.records import Buried, Delivered, RetryLater
from conductor_state.database import Database
from conductor_state.dead_letters import SqliteDeadLetters
from conductor_state.errors import SchemaTooNew, StoreCorrupt
from conductor_state.quarantine import SalvageReport, open_or_quarantine
from conductor_state.replay_log import SqliteReplayLog
from conductor_state.schema import Schema, load_schema
from conductor_state.testing.crash import crash_image
from conductor_state.testing.inbound import KIND, OTHER, arrivals, handled

BATCHES = 6
SIZE = 20


@asynccontextmanager
async def opened(
    path: Path, suspect: str = ""
) -> AsyncGenerator[tuple[Database, SqliteReplayLog, SalvageReport | None]]:
    database, report = await open_or_quarantine(
        path, schema=load_schema("sidecar"), clock=ManualClock(), suspect=suspect
    )
    try:
        yield database, await SqliteReplayLog.open(database, seal_at=32), report
    finally:
        await database.close()


async def fill(log: SqliteReplayLog) -> None:
    """Six batches: the first settled, the second in part, one event dead, one retried."""
    positions: list[list[int]] = []
    for number in range(BATCHES):
        ids = [f"evt-{number}-{index}" for index in range(SIZE)]
        half = SIZE // 2
        events = [*arrivals(*ids[:half]), *arrivals(*ids[half:], kind=OTHER)]
        events = [msgspec.structs.replace(e, body=e.body + b"." * 300) for e in events]
        receipt = await log.receive("e", number, events)
        positions.append([position for position in receipt.positions if position])
    await log.settle(handled(positions[0]))
    await log.settle(handled(positions[1][:5]))
    await log.settle([
        Buried(positions[2][0], 3, "BOOM", "no"),
        RetryLater(positions[3][0], 1, 0, "later"),
        Delivered(positions[3][1], "handled", "x", (("acme", "key"),)),
    ])  # fmt: skip


def names_in(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def content_of(path: str) -> bytes:
    return Path(path).read_bytes()


async def filled(path: Path) -> None:
    async with opened(path) as (_, log, report):
        assert report is None
        await fill(log)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


async def test_a_healthy_file_is_opened_as_it_is(tmp_path: Path) -> None:
    await filled(tmp_path / "sidecar.db")
    async with opened(tmp_path / "sidecar.db") as (_, log, report):
        assert (None, 93) == (report, await log.backlog())
    assert ["sidecar.db"] == names_in(tmp_path)


async def test_a_file_that_was_not_closed_is_looked_through_and_kept(tmp_path: Path) -> None:
    async with opened(tmp_path / "sidecar.db") as (database, log, _):
        await fill(log)
        image = await crash_image(database, tmp_path / "image")
    async with opened(image) as (_, log, report):
        assert (None, 93) == (report, await log.backlog())


async def test_a_file_without_its_header_is_set_aside_and_all_its_rows_are_kept(
    tmp_path: Path,
) -> None:
    path = tmp_path / "sidecar.db"
    await filled(path)
    overwrite(path, 0, b"\0" * 100)
    damaged = path.read_bytes()
    async with opened(path) as (_, log, report):
        assert report is not None
        assert (23, [0]) == (report.kept, list({table.lost for table in report.tables}))
        assert str(tmp_path / "sidecar.db.corrupt-20260101T000000Z") == report.set_aside
        assert damaged == content_of(report.set_aside)
        note = content_of(report.set_aside + ".json")
        assert report == msgspec.json.decode(note, type=SalvageReport)
        assert (await log.receive("e", 1, arrivals("a"))).positions != [None]
    async with opened(path) as (_, log, report):
        assert (None, 94) == (report, await log.backlog())


async def test_a_damaged_body_is_noticed_and_only_its_batch_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.db"
    await filled(path)
    at = path.read_bytes().index(b'{"id":"evt-4-7"}')
    overwrite(path, at + 8, b"XYZ")
    async with opened(path) as (_, log, report):
        assert report is None  # the page is in order, only its content is not
        with pytest.raises(StoreCorrupt) as caught:
            await log.pending(0, 1000)
    async with opened(path, suspect=caught.value.detail) as (_, log, report):
        assert report is not None
        by_name = {table.name: (table.kept, table.lost) for table in report.tables}
        assert ((4, 1), (6, 0), SIZE) == (
            by_name["bodies"], by_name["receipts"], report.inbound_events_lost,
        )  # fmt: skip
        lost = [f"evt-4-{index}" for index in range(SIZE)]
        found = {pending.event_id for pending in await log.pending(0, 1000)}
        assert 93 - SIZE == len(found)
        assert not found.intersection(lost)
        counts = await log.counts()
        assert all(kind.balanced for kind in counts.values())
        assert [10, 10] == [counts[kind].dropped["lost"] for kind in (KIND, OTHER)]
        again = await log.receive("e", 9, arrivals("evt-4-7", "evt-5-0", "evt-0-0", "evt-2-0"))
        assert ([True, False, False, False], 1, 2) == (
            [position is not None for position in again.positions],
            again.duplicates,
            again.replayed,
        )
        assert await log.has_key("acme", "key")
        assert "BOOM" == (await SqliteDeadLetters(log).list())[0].error_code
        assert [1] == [p.attempts for p in await log.pending(0, 1000) if p.event_id == "evt-3-0"]


async def test_events_outlive_their_receipts(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.db"
    await filled(path)
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM receipts WHERE id >= 4")
    connection.commit()
    connection.close()
    async with opened(path, suspect="test") as (_, log, report):
        assert report is not None
        assert (0, 93) == (report.inbound_events_lost, len(await log.pending(0, 1000)))
        assert 2 == (await log.receive("e", 9, arrivals("evt-5-0", "evt-4-19"))).duplicates
        story = await log.story("evt-5-0")
        assert story is not None
        assert ("waiting", KIND) == (story.state, story.kind)


async def test_whatever_page_is_damaged_the_store_starts_and_the_law_holds(
    tmp_path: Path,
) -> None:
    original = tmp_path / "sidecar.db"
    await filled(original)
    content = original.read_bytes()
    size = int.from_bytes(content[16:18], "big")
    pages = len(content) // size
    assert pages > 30
    kept: list[int] = []
    for page in range(pages):
        path = tmp_path / str(page) / "sidecar.db"
        path.parent.mkdir()
        path.write_bytes(content)
        overwrite(path, page * size, bytes((page * 7 + n) % 251 for n in range(size)))
        async with opened(path, suspect="test") as (database, log, report):
            assert report is not None
            counts = await log.counts()
            assert all(kind.balanced for kind in counts.values())
            found = await log.pending(0, 1000)
            assert len(found) == await log.backlog()
            assert all(f'{{"id":"{p.event_id}"}}'.encode() == p.body[:-300] for p in found)
            letters = await SqliteDeadLetters(log).list()
            assert sum(kind.dead_lettered for kind in counts.values()) == len(letters)
            kept.append(len(found))
            (new,) = (await log.receive("e", 99, arrivals("new"))).positions
            assert new is not None
            assert all(new > p.position for p in found)
            check = await database.read(lambda c: c.execute("PRAGMA quick_check").fetchone()[0])
            assert "ok" == check
    assert 0 == kept[0]
    assert max(kept) >= 93
    # A damaged page of the schema, or the only leaf of a table, costs everything; others little.
    assert sum(number >= 50 for number in kept) > 0.8 * pages


async def test_a_damaged_file_that_was_not_closed_is_noticed_at_open(tmp_path: Path) -> None:
    await filled(tmp_path / "sidecar.db")
    async with opened(tmp_path / "sidecar.db") as (database, log, _):
        await log.receive("e", 50, arrivals("one-more"))
        image = await crash_image(database, tmp_path / "image")
    size = 4096
    overwrite(image, (image.stat().st_size // size // 2) * size, b"\xff" * size)
    async with opened(image) as (_, log, report):
        assert report is not None
        assert await log.story("one-more") is not None
        assert all(kind.balanced for kind in (await log.counts()).values())


async def test_the_log_of_a_damaged_file_goes_with_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "sidecar.db") as (database, log, _):
        await fill(log)
        image = await crash_image(database, tmp_path / "image")
    overwrite(image, 0, b"\xff" * 4096)
    overwrite(image.with_name("sidecar.db-wal"), 0, b"\xff" * 40)
    async with opened(image) as (_, log, report):
        assert report is not None
        assert 0 == await log.backlog()
        await log.receive("e", 1, arrivals("a"))
    assert [
        "sidecar.db",
        "sidecar.db.corrupt-20260101T000000Z",
        "sidecar.db.corrupt-20260101T000000Z-wal",
        "sidecar.db.corrupt-20260101T000000Z.json",
    ] == names_in(image.parent)


async def test_a_crash_in_the_middle_of_the_swap_is_finished_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename
    for fatal in range(4):
        path = tmp_path / str(fatal) / "sidecar.db"
        await filled(path)
        renames = iter(range(100))

        def dying(self: Path, target: Path, fatal: int = fatal, renames: object = renames) -> Path:
            if next(renames) == fatal:  # type: ignore[call-overload]
                raise KeyboardInterrupt
            return rename(self, target)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", dying)
            with pytest.raises(KeyboardInterrupt):
                async with opened(path, suspect="test"):
                    pass
        async with opened(path, suspect="test" if fatal == 0 else "") as (_, log, report):
            assert report is not None
            assert 93 == await log.backlog()
        assert [
            "sidecar.db",
            "sidecar.db.corrupt-20260101T000000Z",
            "sidecar.db.corrupt-20260101T000000Z.json",
        ] == names_in(path.parent)


async def test_a_newer_file_is_not_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.db"
    await filled(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SchemaTooNew):
        await open_or_quarantine(path, schema=load_schema("sidecar"), clock=ManualClock())
    assert ["sidecar.db"] == names_in(tmp_path)


async def test_another_schema_is_salvaged_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    schema = Schema("notes", ("CREATE TABLE notes (text TEXT);",))
    database = await Database.open(path, schema=schema, clock=ManualClock())
    await database.write(
        lambda c: c.executemany("INSERT INTO notes VALUES (?)", [("x" * 500,)] * 50) and None
    )
    await database.close()
    overwrite(path, 4096 * 4, b"\xaa" * 4096)
    database, report = await open_or_quarantine(
        path, schema=schema, clock=ManualClock(), suspect="test"
    )
    count = await database.read(lambda c: c.execute("SELECT count(*) FROM notes").fetchone()[0])
    await database.close()
    assert report is not None
    assert count == report.kept
    assert 40 <= count < 50


async def test_counters_that_contradict_each_other_are_salvaged_and_balance_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "sidecar.db"
    async with opened(path) as (_, log, _):
        await fill(log)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE inbound_counts SET accepted = accepted + 4096")
    connection.close()

    with pytest.raises(StoreCorrupt, match="do not add up") as found:
        async with opened(path):
            pass
    async with opened(path, suspect=found.value.detail) as (_, log, report):
        assert report is not None
        assert [0, 0] == [counts.surplus for counts in (await log.counts()).values()]


async def test_a_value_of_the_wrong_type_is_damage_and_no_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.db"
    async with opened(path) as (_, log, _):
        await fill(log)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE log_state SET last_ms = 'soon'")
    connection.close()
    with pytest.raises(StoreCorrupt, match="the cursor"):
        async with opened(path):
            pass


@pytest.mark.parametrize("flip", [0xFF, 0x01])
@pytest.mark.parametrize("word", [b"PRIMARY KEY", b"INTEGER NOT NULL", b"received_ms"])
async def test_a_statement_that_sqlite_still_understands_is_not_ours_and_costs_no_row(
    tmp_path: Path, word: bytes, flip: int
) -> None:
    path = tmp_path / "sidecar.db"
    await filled(path)
    data = path.read_bytes()
    place = data.index(word, data.index(b"CREATE TABLE receipts"))
    overwrite(path, place, bytes([data[place] ^ flip]))

    async with opened(path) as (_, log, report):
        assert report is not None
        assert report.inbound_events_lost == 0
        counts = (await log.counts()).values()
        assert BATCHES * SIZE == sum(kind.accepted for kind in counts)
        assert [True, True] == [kind.balanced for kind in counts]
