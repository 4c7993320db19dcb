"""The journal's store: the contract on both twins, tampering, and many processes on one file."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from conductor_sdk.chain.entry import Draft, Head, genesis, link_hash
from conductor_sdk.chain.verify import Verdict
from conductor_sdk.clock import ManualClock
from conductor_state.errors import SchemaTooNew, StoreClosed, StoreIOError
from conductor_state.journal import SqliteJournal
from conductor_state.journal_errors import JournalBusy, JournalCorrupt, JournalMissing
from conductor_state.memory.journal import MemoryJournal
from conductor_state.testing.journal import JournalContract, JournalUnderTest

COLUMNS = ("sequence", "chain_version", "time", "event_type", "actor", "session_id", "task_id",
           "payload", "previous", "hash")  # fmt: skip
SIZE = 5
COPY = """
{} INTO journal
SELECT {}, chain_version, time, event_type, 'x', session_id, task_id, payload, {}, {}
FROM journal WHERE sequence = 5
"""


class TestSqliteJournal(JournalContract):
    @pytest.fixture
    async def journal(self, tmp_path: Path) -> AsyncIterator[JournalUnderTest]:
        journal = SqliteJournal(tmp_path / "journal.db")
        yield journal
        await journal.close()


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    async def journal(self) -> AsyncIterator[JournalUnderTest]:
        return MemoryJournal()


def drafts(count: int) -> list[Draft]:
    return [Draft("NOTED", "tester", {"at": at}, f"s-{at}", f"t-{at}") for at in range(count)]


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    journal = SqliteJournal(tmp_path / "journal.db", clock=ManualClock())
    yield journal
    await journal.close()


def unguarded(path: Path) -> sqlite3.Connection:
    """Open the file as an attacker would: without triggers and checks."""
    connection = sqlite3.connect(path, isolation_level=None)
    triggers = connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall()
    for (name,) in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    return connection


def tampered(path: Path, *statements: str | tuple[str, tuple[Any, ...]]) -> None:
    connection = unguarded(path)
    for statement in statements:
        sql, values = (statement, ()) if isinstance(statement, str) else statement
        connection.execute(sql, values)
    connection.close()


async def verified(path: Path, *anchors: Head) -> Verdict:
    journal = SqliteJournal(path)
    try:
        return await journal.verify(anchors)
    finally:
        await journal.close()


@pytest.fixture
async def written(tmp_path: Path) -> tuple[Path, Head]:
    """A closed journal of five entries, and the head that somebody kept."""
    path = tmp_path / "written.db"
    journal = SqliteJournal(path)
    await journal.append_many(drafts(SIZE))
    head = Head(*await journal.head())
    await journal.close()
    return path, head


# --- tampering --------------------------------------------------------------------------------


@pytest.mark.parametrize("sequence", range(1, SIZE + 1))
@pytest.mark.parametrize("column", COLUMNS)
async def test_any_change_of_any_column_of_any_row_is_detected(
    written: tuple[Path, Head], column: str, sequence: int
) -> None:
    path, anchor = written
    value = {"sequence": 77, "chain_version": 2, "previous": "f" * 64, "hash": "f" * 64,
             "payload": '{"at":99}'}.get(column, "else")  # fmt: skip
    tampered(path, (f"UPDATE journal SET {column} = ? WHERE sequence = ?", (value, sequence)))

    verdict = await verified(path, anchor)

    assert (verdict.chain, verdict.first_bad) == ("CORRUPTED", sequence)
    assert not verdict.intact


@pytest.mark.parametrize("value", [None, 1.5, b"\xff", "\x00"])
@pytest.mark.parametrize("column", COLUMNS[1:])
async def test_values_of_other_types_are_detected(
    written: tuple[Path, Head], column: str, value: Any
) -> None:
    path, _ = written
    schema = "CREATE TABLE loose (sequence INTEGER PRIMARY KEY, " + ", ".join(COLUMNS[1:]) + ")"
    everything = ", ".join(COLUMNS)
    tampered(
        path, schema, f"INSERT INTO loose SELECT {everything} FROM journal", "DROP TABLE journal",
        "ALTER TABLE loose RENAME TO journal",
        (f"UPDATE journal SET {column} = ? WHERE sequence = 3", (value,)),
    )  # fmt: skip

    verdict = await verified(path)

    assert (verdict.chain, verdict.first_bad) == ("CORRUPTED", 3)


async def test_bytes_that_are_not_text_are_detected(written: tuple[Path, Head]) -> None:
    path, _ = written
    tampered(path, "UPDATE journal SET actor = CAST(x'ff41' AS TEXT) WHERE sequence = 2")

    verdict = await verified(path)

    assert (verdict.chain, verdict.first_bad) == ("CORRUPTED", 2)


@pytest.mark.parametrize("column", ["log_id", "size", "head"])
async def test_a_change_of_the_logs_own_record_is_detected(
    written: tuple[Path, Head], column: str
) -> None:
    path, anchor = written
    value = {"size": 3}.get(column, "f" * 64)
    tampered(path, (f"UPDATE journal_log SET {column} = ?", (value,)))

    assert (await verified(path, anchor)).chain == "CORRUPTED"


async def test_a_log_without_its_record_is_detected(written: tuple[Path, Head]) -> None:
    path, anchor = written
    tampered(path, "DELETE FROM journal_log")

    assert (await verified(path, anchor)).chain == "CORRUPTED"


@pytest.mark.parametrize("sequence", range(1, SIZE))
async def test_any_row_taken_out_is_detected(written: tuple[Path, Head], sequence: int) -> None:
    path, anchor = written
    tampered(path, f"DELETE FROM journal WHERE sequence = {sequence}")

    verdict = await verified(path, anchor)

    assert (verdict.chain, verdict.reason) == ("CORRUPTED", "ENTRY_MISSING")
    assert verdict.first_bad == sequence


@pytest.mark.parametrize("kept", range(SIZE))
async def test_a_cut_tail_is_truncated_with_an_anchor_and_unanchored_without(
    written: tuple[Path, Head], kept: int
) -> None:
    path, anchor = written
    connection = unguarded(path)
    connection.execute("DELETE FROM journal WHERE sequence > ?", (kept,))
    log_id = connection.execute("SELECT log_id FROM journal_log").fetchone()[0]
    last = connection.execute("SELECT hash FROM journal WHERE sequence = ?", (kept,)).fetchone()
    digest = genesis(log_id) if last is None else last[0]
    connection.execute("UPDATE journal_log SET size = ?, head = ?", (kept, digest))
    connection.close()

    blind, seeing = await verified(path), await verified(path, anchor)

    assert (blind.chain, blind.completeness) == ("OK", "UNANCHORED")
    assert (seeing.chain, seeing.completeness) == ("OK", "TRUNCATED")
    assert seeing.first_bad == kept + 1


async def test_a_carelessly_cut_tail_is_seen_without_an_anchor(written: tuple[Path, Head]) -> None:
    path, _ = written
    tampered(path, f"DELETE FROM journal WHERE sequence = {SIZE}")

    assert (await verified(path)).completeness == "TRUNCATED"


async def test_a_wholly_rewritten_log_is_caught_by_an_anchor_only(
    written: tuple[Path, Head], tmp_path: Path
) -> None:
    path, anchor = written
    log_id = sqlite3.connect(path).execute("SELECT log_id FROM journal_log").fetchone()[0]
    forged = SqliteJournal(tmp_path / "forged.db", make_log_id=lambda: log_id)
    await forged.append_many([Draft("NOTED", "forger", {"at": at}) for at in range(SIZE + 2)])
    await forged.close()

    blind = await verified(tmp_path / "forged.db")
    seeing = await verified(tmp_path / "forged.db", anchor)

    assert (blind.chain, blind.completeness) == ("OK", "UNANCHORED")
    assert (seeing.chain, seeing.reason) == ("CORRUPTED", "ANCHOR_MISMATCH")


async def test_a_second_successor_is_a_fork(written: tuple[Path, Head]) -> None:
    path, _ = written
    journal = SqliteJournal(path)
    last = (await journal.latest(1))[0]
    await journal.close()
    fields = {name: getattr(last, name) for name in COLUMNS} | {"sequence": 6, "actor": "other"}
    sibling = type(last)(log_id=last.log_id, **fields)
    row = [{**fields, "hash": link_hash(sibling)}[name] for name in COLUMNS]
    loose = "CREATE TABLE loose (sequence INTEGER PRIMARY KEY, " + ", ".join(COLUMNS[1:]) + ")"
    tampered(
        path, loose, f"INSERT INTO loose SELECT {', '.join(COLUMNS)} FROM journal",
        "DROP TABLE journal", "ALTER TABLE loose RENAME TO journal",
        (f"INSERT INTO journal VALUES ({', '.join('?' * len(COLUMNS))})", tuple(row)),
    )  # fmt: skip

    verdict = await verified(path)

    assert (verdict.chain, verdict.first_bad) == ("FORKED", 6)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal SET actor = 'x' WHERE sequence = 1",
        "DELETE FROM journal WHERE sequence = 5",
        COPY.format("REPLACE", "5", "previous", "hash"),
        COPY.format("INSERT", "6", "previous || 'x'", "hash"),
        COPY.format("INSERT", "9", "hash", "'x'"),
        "UPDATE journal_log SET size = 2",
        "UPDATE journal_log SET log_id = 'x'",
        "DELETE FROM journal_log",
    ],
)
async def test_the_file_itself_refuses_every_change(
    written: tuple[Path, Head], statement: str
) -> None:
    path, anchor = written
    connection = sqlite3.connect(path)

    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)
    connection.close()

    assert (await verified(path, anchor)).completeness == "OK"


async def test_nothing_is_appended_to_a_log_that_contradicts_itself(
    written: tuple[Path, Head],
) -> None:
    path, _ = written
    tampered(path, f"DELETE FROM journal WHERE sequence = {SIZE}")
    journal = SqliteJournal(path)

    with pytest.raises(JournalCorrupt) as caught:
        await journal.append("NOTED", "tester", {})
    with pytest.raises(JournalCorrupt):
        await journal.head()
    await journal.close()

    assert caught.value.hint == "run: conductor log verify"
    assert (await verified(path)).completeness == "TRUNCATED"


@pytest.mark.parametrize("damage", ["garbage", "page", "table"])
async def test_a_damaged_file_is_a_verdict_and_an_error_for_the_rest(
    written: tuple[Path, Head], damage: str
) -> None:
    path, anchor = written
    if damage == "garbage":
        path.write_bytes(b"not a database" * 500)
    elif damage == "page":
        data = bytearray(path.read_bytes())
        data[4096:] = os.urandom(len(data) - 4096)
        path.write_bytes(data)
    else:
        tampered(path, "DROP TABLE journal")

    verdict = await verified(path, anchor)
    journal = SqliteJournal(path)
    with pytest.raises(JournalCorrupt):
        await journal.append("NOTED", "tester", {})
    with pytest.raises(JournalCorrupt):
        await journal.tail()
    await journal.close()

    assert (verdict.chain, verdict.completeness) == ("CORRUPTED", "TRUNCATED")
    assert verdict.reason == "LOG_UNREADABLE"


# --- the file ---------------------------------------------------------------------------------


async def test_reading_never_creates_the_file(tmp_path: Path) -> None:
    path = tmp_path / "none" / "journal.db"
    journal = SqliteJournal(path)

    for read in (journal.head, journal.tail, journal.latest):
        with pytest.raises(JournalMissing):
            await read()
    assert (await journal.verify()).source == "MISSING"
    await journal.close()

    assert not path.parent.exists()


async def test_an_empty_file_is_empty_and_not_missing(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.touch()

    verdict = await verified(path)
    anchored = await verified(path, Head(3, "0" * 64))

    assert (verdict.source, verdict.chain, verdict.intact) == ("EMPTY", "OK", True)
    assert anchored.completeness == "TRUNCATED"


async def test_the_file_and_its_directories_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        journal = SqliteJournal(tmp_path / "a" / "b" / "journal.db")
        await journal.append("NOTED", "tester", {})
        await journal.close()
    finally:
        os.umask(before)

    modes = [stat.S_IMODE(path.stat().st_mode) for path in sorted((tmp_path / "a").rglob("*"))]
    assert set(modes) == {0o600, 0o700}


async def test_a_file_open_to_others_is_narrowed_and_a_link_refused(
    written: tuple[Path, Head], tmp_path: Path
) -> None:
    path, _ = written
    path.chmod(0o644)
    journal = SqliteJournal(path)
    await journal.append("NOTED", "tester", {})
    await journal.close()
    link = tmp_path / "link.db"
    link.symlink_to(path)
    linked = SqliteJournal(link)

    with pytest.raises(StoreIOError, match="symbolic link"):
        await linked.append("NOTED", "tester", {})
    await linked.close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_newer_schema_is_refused_by_readers_and_writers(written: tuple[Path, Head]) -> None:
    path, _ = written
    tampered(path, "PRAGMA user_version = 99")
    journal = SqliteJournal(path)

    for call in (journal.head(), journal.verify(), journal.append("NOTED", "tester", {})):
        with pytest.raises(SchemaTooNew):
            await call
    await journal.close()


async def test_the_rollback_journal_is_used_and_synced(journal: SqliteJournal) -> None:
    await journal.append("NOTED", "tester", {})
    connection = journal._file._file._connection
    assert connection is not None

    assert connection.execute("PRAGMA journal_mode").fetchone() == ("truncate",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


async def test_processes_with_other_rollback_modes_share_the_file(
    written: tuple[Path, Head],
) -> None:
    path, anchor = written
    for mode in ("TRUNCATE", "DELETE", "PERSIST"):
        other = sqlite3.connect(path, isolation_level=None)
        assert other.execute(f"PRAGMA journal_mode = {mode}").fetchone() == (mode.lower(),)
        other.execute("CREATE TABLE IF NOT EXISTS beside (value)")
        other.execute("INSERT INTO beside VALUES (1)")
        other.close()
        journal = SqliteJournal(path)
        await journal.append("NOTED", "tester", {"mode": mode})
        await journal.close()

    verdict = await verified(path, anchor)
    assert (verdict.chain, verdict.completeness, verdict.size) == ("OK", "OK", SIZE + 3)


async def test_a_file_that_somebody_put_into_wal_mode_is_taken_out_of_it(
    written: tuple[Path, Head],
) -> None:
    path, anchor = written
    tampered(path, "PRAGMA journal_mode = WAL")
    journal = SqliteJournal(path)
    await journal.append("NOTED", "tester", {})
    await journal.close()

    mode = sqlite3.connect(path).execute("PRAGMA journal_mode").fetchone()[0]
    assert mode == "delete"
    assert (await verified(path, anchor)).completeness == "OK"


async def test_a_file_that_was_removed_or_replaced_is_not_written_behind_its_name(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    await journal.append_many(drafts(3))
    journal.path.unlink()

    with pytest.raises(JournalMissing):
        await journal.head()
    assert await journal.append("NOTED", "tester", {}) == 1

    other = SqliteJournal(tmp_path / "other.db")
    await other.append_many(drafts(4))
    await other.close()
    (tmp_path / "other.db").rename(journal.path)
    assert await journal.append("NOTED", "tester", {}) == 5


async def test_times_come_from_the_clock(journal: SqliteJournal) -> None:
    await journal.append("NOTED", "tester", {})

    assert [entry.time for entry in await journal.tail()] == ["2026-01-01T00:00:00.000Z"]


async def test_create_keeps_what_is_there(journal: SqliteJournal) -> None:
    await journal.append_many(drafts(2))
    await journal.create()

    assert (await journal.head())[0] == 2


# --- waiting and closing ----------------------------------------------------------------------


async def test_a_lock_that_stays_is_busy_within_the_bound_and_costs_nothing(
    written: tuple[Path, Head],
) -> None:
    path, _ = written
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    journal = SqliteJournal(path, timeout_s=0.05)

    with pytest.raises(JournalBusy) as caught:
        await journal.append("NOTED", "tester", {})
    with pytest.raises(JournalBusy):
        await journal.verify()
    holder.execute("ROLLBACK")
    holder.close()
    sequence = await journal.append("NOTED", "tester", {})
    await journal.close()

    assert (caught.value.exit_code, caught.value.retryable) == (6, True)
    assert sequence == SIZE + 1


async def test_an_append_waits_for_a_reader_in_another_connection(
    written: tuple[Path, Head],
) -> None:
    path, _ = written
    reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM journal").fetchone()
    journal = SqliteJournal(path, timeout_s=20)
    appending = asyncio.create_task(journal.append("NOTED", "tester", {}))
    await asyncio.to_thread(wait_for, lambda: journal._file._file._connection is not None)

    assert not appending.done()
    reader.execute("COMMIT")
    reader.close()

    assert await appending == SIZE + 1
    await journal.close()


async def test_a_file_that_is_replaced_while_an_append_waits_is_not_written(
    written: tuple[Path, Head], tmp_path: Path
) -> None:
    path, _ = written
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    journal = SqliteJournal(path, timeout_s=20)
    appending = asyncio.create_task(journal.append("NOTED", "tester", {}))
    shared = journal._file._file
    await asyncio.to_thread(wait_for, lambda: shared._inode is not None)
    await asyncio.to_thread(path.rename, tmp_path / "moved.db")
    holder.execute("ROLLBACK")
    holder.close()

    assert await appending == 1
    assert (await verified(tmp_path / "moved.db")).size == SIZE
    await journal.close()


async def test_closing_does_not_wait_for_a_lock(written: tuple[Path, Head]) -> None:
    path, _ = written
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    journal = SqliteJournal(path, timeout_s=600)
    appending = asyncio.create_task(journal.append("NOTED", "tester", {}))
    await asyncio.sleep(0)
    await journal.close()
    holder.close()

    with pytest.raises((JournalBusy, StoreClosed)):
        await appending


async def test_closing_lets_finish_what_was_asked_before(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.db")
    appending = [asyncio.create_task(journal.append("NOTED", "t", {})) for _ in range(20)]
    await asyncio.sleep(0)
    await journal.close()

    assert await asyncio.gather(*appending) == list(range(1, 21))


async def test_callers_that_wait_together_share_a_commit(tmp_path: Path) -> None:
    commits: list[str] = []
    gate = threading.Event()

    def point(name: str) -> None:
        if name == "journal.committed":
            commits.append(name)
        elif not commits:
            gate.wait(10)

    journal = SqliteJournal(tmp_path / "journal.db", crash_point=point)
    calls = [asyncio.create_task(journal.append("NOTED", "t", {"n": n})) for n in range(200)]
    await asyncio.sleep(0)
    gate.set()

    assert await asyncio.gather(*calls) == list(range(1, 201))
    assert len(commits) == 2
    await journal.close()


async def test_a_cancelled_append_that_has_not_begun_never_happens(tmp_path: Path) -> None:
    begun, gate = threading.Event(), threading.Event()

    def point(name: str) -> None:
        begun.set()
        gate.wait(10)

    journal = SqliteJournal(tmp_path / "journal.db", crash_point=point)
    first = asyncio.create_task(journal.append("NOTED", "t", {"n": 1}))
    await asyncio.to_thread(begun.wait, 10)
    second = asyncio.create_task(journal.append("NOTED", "t", {"n": 2}))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    gate.set()

    assert await first == 1
    assert await journal.append("NOTED", "t", {"n": 3}) == 2
    await journal.close()


def test_a_process_that_forgets_to_close_exits_all_the_same(tmp_path: Path) -> None:
    program = """
        import asyncio, sys
        from pathlib import Path
        from conductor_state.journal import SqliteJournal

        async def main():
            journal = SqliteJournal(Path(sys.argv[1]))
            print(await journal.append("NOTED", "t", {}))

        asyncio.run(main())
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "journal.db")],
        capture_output=True, check=True, timeout=20,
    )  # fmt: skip

    assert (run.stdout, run.stderr) == (b"1\n", b"")


# --- several processes ------------------------------------------------------------------------

APPENDER = textwrap.dedent("""
    import asyncio, sys
    from pathlib import Path
    from conductor_state.journal import SqliteJournal

    async def main(path, name, count):
        journal = SqliteJournal(Path(path), timeout_s=60)
        for at in range(count):
            print(await journal.append("NOTED", name, {"at": at}), flush=True)
        await journal.close()

    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
""")


def appender(path: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-c", APPENDER, str(path), name, str(count)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE)


def wait_for(condition: Callable[[], bool], bound_s: float = 20) -> None:
    deadline = time.monotonic() + bound_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


async def test_six_processes_append_to_one_gapless_chain(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    processes = [appender(path, f"p-{n}", 50) for n in range(6)]

    outputs = [(await asyncio.to_thread(process.communicate))[0] for process in processes]

    sequences = [[int(line) for line in output.split()] for output in outputs]
    verdict = await verified(path)
    assert [process.returncode for process in processes] == [0] * 6
    assert sorted(n for got in sequences for n in got) == list(range(1, 301))
    assert all(got == sorted(got) for got in sequences)
    assert (verdict.chain, verdict.size) == ("OK", 300)


@pytest.mark.parametrize("after", [0, 1, 7, 23])
async def test_a_killed_process_leaves_a_sound_chain_with_all_it_was_told(
    tmp_path: Path, after: int
) -> None:
    path = tmp_path / "journal.db"
    victim, witness = appender(path, "victim", 100_000), appender(path, "witness", 30)
    assert victim.stdout is not None
    told = [int((await asyncio.to_thread(victim.stdout.readline)) or 0) for _ in range(after)]
    victim.send_signal(signal.SIGKILL)
    rest, _ = await asyncio.to_thread(victim.communicate)
    await asyncio.to_thread(witness.communicate)

    told += [int(line) for line in rest.splitlines() if rest.endswith(b"\n")]
    journal = SqliteJournal(path)
    kept = {e.sequence for e in await journal.tail(0, 100_000) if e.actor == "victim"}
    next_one = await journal.append("NOTED", "after", {})
    verdict = await journal.verify()
    await journal.close()

    assert witness.returncode == 0
    assert set(told) <= kept
    assert (verdict.chain, verdict.size) == ("OK", next_one)


@pytest.mark.parametrize("point", ["journal.begun", "journal.inserted", "journal.committed"])
async def test_a_kill_at_each_named_point_keeps_all_or_nothing(tmp_path: Path, point: str) -> None:
    path = tmp_path / "journal.db"
    program = textwrap.dedent("""
        import asyncio, os, signal, sys
        from pathlib import Path
        from conductor_sdk.chain.entry import Draft
        from conductor_state.journal import SqliteJournal

        def die(point):
            if point == sys.argv[2]:
                os.kill(os.getpid(), signal.SIGKILL)

        async def main():
            journal = SqliteJournal(Path(sys.argv[1]), crash_point=die)
            await journal.append_many([Draft("NOTED", "victim", {"at": at}) for at in range(9)])

        asyncio.run(main())
    """)
    before = SqliteJournal(path)
    await before.append_many(drafts(2))
    anchor = Head(*await before.head())
    await before.close()

    run = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program, str(path), point], check=False
    )

    verdict = await verified(path, anchor)
    assert run.returncode == -signal.SIGKILL
    assert (verdict.chain, verdict.completeness) == ("OK", "OK")
    assert verdict.size == (11 if point == "journal.committed" else 2)


async def test_verifying_page_by_page_lets_writers_in(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal, other = SqliteJournal(path), SqliteJournal(path)
    await journal.append_many(drafts(3000))
    verifying = asyncio.create_task(journal.verify())
    grown = [await other.append("NOTED", "other", {}) for _ in range(5)]
    verdict = await verifying

    assert grown == [3001, 3002, 3003, 3004, 3005]
    assert (verdict.chain, verdict.reason) == ("OK", "")
    assert 3000 <= verdict.size <= 3005
    await journal.close()
    await other.close()


async def test_a_copy_can_be_verified_where_it_cannot_be_written(
    written: tuple[Path, Head], tmp_path: Path
) -> None:
    path, anchor = written
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    copy.chmod(0o400)

    assert (await verified(copy, anchor)).completeness == "OK"
