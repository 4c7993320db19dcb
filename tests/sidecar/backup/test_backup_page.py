"""docs/how-to/backup.md, executed beside a running sidecar."""

from __future__ import annotations

from pathlib import Path

from doc_runner import Reader, blocks
from house import ROOT

PAGE = ROOT / "docs/how-to/backup.md"


def test_a_backup_is_taken_and_restored_as_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    take, look, restore, tail = blocks(PAGE)
    with Reader(tmp_path) as reader:
        reader.bindings["BACKUP"] = lambda: str(next((tmp_path / "backups").glob("*.tar")))
        reader.start("conductor sidecar --adapter memory")
        reader.type("conductor inbox --send conductor:recovery_requested --payload '{}'")
        reader.type("conductor log tail", "...DEAD_LETTERED...", patient=True)
        reader.follow(take)
        reader.running[0].end()
        for block in (look, restore, tail):
            reader.follow(block)
        reader.type("conductor doctor --offline --only stores")

    [kept] = (tmp_path / ".lumenflow/state").glob("before-restore-*")
    assert (kept / "conductor/sidecar.db").exists()
