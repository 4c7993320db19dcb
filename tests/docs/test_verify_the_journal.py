"""The how-to page on the journal, followed to the letter."""

from __future__ import annotations

import asyncio
from pathlib import Path

from conductor_sdk.chain.entry import Draft
from conductor_sdk.workspace import resolve_workspace
from conductor_state.journal import SqliteJournal
from doc_runner import Reader
from house import ROOT


def test_the_page_says_what_happens(tmp_path: Path) -> None:
    async def work() -> None:
        workspace = resolve_workspace(tmp_path)
        workspace.create()
        journal = SqliteJournal(workspace.journal_db)
        await journal.append_many([Draft("NOTED", "tester", {"at": at}, "s-1") for at in range(9)])
        await journal.close()

    asyncio.run(work())

    with Reader(tmp_path) as reader:
        reader.read(ROOT / "docs/how-to/verify-the-journal.md")

    assert (tmp_path / "witness.json").exists()
