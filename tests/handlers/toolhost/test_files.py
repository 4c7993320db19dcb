"""The files of a call: what is opened is what was checked."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from conductor_sdk.manifest_tools import PathScope
from conductor_sdk.pack_errors import ScopeDenied
from conductor_sdk.scoped_files import WorkspaceFiles

SECRET = b"the token of the enrollment"


def scope(pattern: str, access: Literal["read", "write"]) -> PathScope:
    return PathScope(type="path", pattern=pattern, access=access)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    workspace = tmp_path / "workspace"
    for directory in ("docs/deep", "src", ".lumenflow/state", ".demo"):
        (workspace / directory).mkdir(parents=True)
    (workspace / ".lumenflow/state/enrollment.json").write_bytes(SECRET)
    (workspace / "docs/a.md").write_bytes(b"a")
    (workspace / "src/b.py").write_bytes(b"b")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(SECRET)
    return workspace


@pytest.fixture
def docs(root: Path) -> WorkspaceFiles:
    return WorkspaceFiles(root, [scope("docs/**", "read"), scope("docs/**", "write")])


@pytest.fixture
def everything(root: Path) -> WorkspaceFiles:
    return WorkspaceFiles(root, [scope("**", "read"), scope("**", "write")])


def every_way(files: WorkspaceFiles, path: str) -> list[Callable[[], Any]]:
    return [
        lambda: files.resolve(path, "read"),
        lambda: files.resolve(path, "write"),
        lambda: files.directory(path, "read"),
        lambda: files.directory(path, "write"),
        lambda: files.read_bytes(path),
        lambda: files.write_bytes(path, b"x"),
    ]


def snapshot(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_what_the_scopes_cover_is_read_and_written(root: Path, docs: WorkspaceFiles) -> None:
    assert b"a" == docs.read_bytes("docs/a.md")
    docs.write_bytes("./docs//deep/new.md", b"new")
    assert b"new" == docs.read_bytes("docs/deep/new.md")
    assert root.resolve() / "docs/not/there/yet" == docs.resolve("docs/not/there/yet", "write")
    assert root.resolve() / "docs" == docs.directory("docs", "write")
    assert {"a.md": b"a", "deep/new.md": b"new"} == snapshot(root / "docs")


def test_reading_is_not_leave_to_write(root: Path) -> None:
    files = WorkspaceFiles(root, [scope("docs/**", "read")])
    assert b"a" == files.read_bytes("docs/a.md")
    for refused in (
        lambda: files.write_bytes("docs/a.md", b"x"),
        lambda: files.resolve("docs/a.md", "write"),
        lambda: files.directory("docs", "write"),
    ):
        with pytest.raises(ScopeDenied):
            refused()


@pytest.mark.parametrize(
    "path",
    [
        "src/b.py", "/etc/passwd", "~/x", "docs/../src/b.py", "docs/../../outside/secret", "..",
        "docs/a\0.md", "docs\\..\\src", "docs/" + "x" * 5000, "docs/\ud800", "../workspace/docs",
    ],
)  # fmt: skip
def test_no_text_leads_out_of_the_scopes(root: Path, docs: WorkspaceFiles, path: str) -> None:
    before = snapshot(root.parent)
    for way in every_way(docs, path):
        with pytest.raises(ScopeDenied):
            way()
    assert before == snapshot(root.parent)


@pytest.mark.parametrize(
    "path",
    [
        ".lumenflow", ".lumenflow/state/enrollment.json", "./.lumenflow//state/new",
        ".LUMENFLOW/state/enrollment.json", ".Lumenflow/new", ".lumenflow./x", ".lu\u200dmenflow/x",
        ".lumenflow/state/new/er",
    ],
)  # fmt: skip
def test_the_reserved_directory_is_reached_by_no_spelling(
    root: Path, everything: WorkspaceFiles, path: str
) -> None:
    before = snapshot(root)
    for way in every_way(everything, path):
        with pytest.raises(ScopeDenied):
            way()
    assert before == snapshot(root)


@pytest.mark.parametrize(
    ("target", "inside"),
    [
        ("../.lumenflow", "state/enrollment.json"), ("../.lumenflow/state", "enrollment.json"),
        ("../src/../.lumenflow/state", "enrollment.json"), ("{root}/.lumenflow", "state/new"),
        ("../../outside", "secret"), ("{root}/../outside", "secret"), ("/etc", "passwd"),
        ("../../workspace/src", "b.py"), ("loop", "x"),
    ],
)  # fmt: skip
def test_a_symbolic_link_leads_neither_out_nor_into_what_is_reserved(
    root: Path, everything: WorkspaceFiles, target: str, inside: str
) -> None:
    (root / "docs/loop").symlink_to("loop")
    (root / "docs/link").symlink_to(target.format(root=root))
    before = snapshot(root.parent)
    for way in every_way(everything, f"docs/link/{inside}"):
        with pytest.raises(ScopeDenied):
            way()
    assert before == snapshot(root.parent)


def test_a_link_to_a_file_outside_is_neither_read_nor_written(
    root: Path, everything: WorkspaceFiles
) -> None:
    (root / "docs/link").symlink_to(root.parent / "outside/secret")
    for way in every_way(everything, "docs/link"):
        with pytest.raises(ScopeDenied):
            way()
    assert SECRET == (root.parent / "outside/secret").read_bytes()


def test_a_link_within_the_workspace_is_judged_by_where_it_leads(
    root: Path, docs: WorkspaceFiles
) -> None:
    (root / "docs/to-source").symlink_to("../src")
    (root / "src/to-docs").symlink_to(root / "docs")
    with pytest.raises(ScopeDenied):
        docs.read_bytes("docs/to-source/b.py")
    assert b"a" == docs.read_bytes("src/to-docs/a.md")
    docs.write_bytes("src/to-docs/new", b"new")
    assert b"new" == (root / "docs/new").read_bytes()


def test_writing_through_a_link_to_a_file_replaces_the_file_and_keeps_the_link(
    root: Path, docs: WorkspaceFiles
) -> None:
    (root / "docs/link").symlink_to("a.md")
    docs.write_bytes("docs/link", b"changed")
    assert (root / "docs/link").is_symlink()
    assert b"changed" == (root / "docs/a.md").read_bytes()


def test_another_name_of_the_reserved_directory_is_the_reserved_directory(
    root: Path, everything: WorkspaceFiles
) -> None:
    (root / ".lumenflow").rename(root / "state-of-the-daemon")
    (root / ".lumenflow").symlink_to("state-of-the-daemon")
    for way in every_way(everything, "state-of-the-daemon/state/enrollment.json"):
        with pytest.raises(ScopeDenied):
            way()


def test_a_hard_link_to_a_file_of_the_daemon_is_not_read(
    root: Path, everything: WorkspaceFiles
) -> None:
    os.link(root / ".lumenflow/state/enrollment.json", root / "docs/harmless")
    os.link(root / "docs/a.md", root / "docs/twin")
    with pytest.raises(ScopeDenied):
        everything.read_bytes("docs/harmless")
    with pytest.raises(ScopeDenied):
        everything.resolve("docs/harmless", "write")
    assert b"a" == everything.read_bytes("docs/twin")
    everything.write_bytes("docs/harmless", b"replaced")
    assert SECRET == (root / ".lumenflow/state/enrollment.json").read_bytes()


def test_the_whole_workspace_is_no_directory_to_hand_out(everything: WorkspaceFiles) -> None:
    for path in ("", ".", "./"):
        with pytest.raises(ScopeDenied):
            everything.directory(path, "read")


def test_a_directory_is_handed_out_only_with_all_that_it_holds(root: Path) -> None:
    files = WorkspaceFiles(root, [scope("docs/*.md", "read"), scope("docs", "read")])
    assert root.resolve() / "docs" == files.resolve("docs", "read")
    with pytest.raises(ScopeDenied):
        files.directory("docs", "read")


def test_what_is_missing_or_of_the_wrong_kind_is_an_error_of_the_system(
    root: Path, docs: WorkspaceFiles
) -> None:
    os.mkfifo(root / "docs/pipe")
    cases: list[tuple[type[OSError], Callable[[], Any]]] = [
        (FileNotFoundError, lambda: docs.read_bytes("docs/none")),
        (FileNotFoundError, lambda: docs.write_bytes("docs/none/new", b"")),
        (IsADirectoryError, lambda: docs.read_bytes("docs/deep")),
        (IsADirectoryError, lambda: docs.write_bytes("docs/deep", b"")),
        (NotADirectoryError, lambda: docs.read_bytes("docs/a.md/x")),
        (OSError, lambda: docs.read_bytes("docs/pipe")),
    ]
    for expected, way in cases:
        with pytest.raises(expected):
            way()


def test_a_file_keeps_its_mode_and_a_failed_write_leaves_the_old_one(
    root: Path, docs: WorkspaceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "docs/a.md").chmod(0o640)
    docs.write_bytes("docs/a.md", b"new")
    assert 0o640 == (root / "docs/a.md").stat().st_mode & 0o777

    def full(_descriptor: int) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        docs.write_bytes("docs/a.md", b"newer")
    assert {"a.md": b"new"} == snapshot(root / "docs")


def test_nothing_is_held_open(docs: WorkspaceFiles) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    for _ in range(20):
        docs.read_bytes("docs/a.md")
        docs.write_bytes("docs/deep/x", b"x")
        for way in every_way(docs, "src/b.py"):
            with pytest.raises(ScopeDenied):
                way()
    assert before == count()


def swapping(
    patch: pytest.MonkeyPatch, moment: int, place: Path, aside: Path, target: Path
) -> None:
    """Put a link in a name's place just before the n-th call into the kernel: no luck needed."""
    calls = iter(range(1000))

    def before(real: Callable[..., Any], option: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if options.get(option) is not None and next(calls) == moment:
                place.rename(aside)
                place.symlink_to(target)
            return real(*args, **options)

        return call

    patch.setattr(os, "stat", before(os.stat, "dir_fd"))
    patch.setattr(os, "open", before(os.open, "dir_fd"))
    patch.setattr(os, "rename", before(os.rename, "src_dir_fd"))


@pytest.mark.parametrize("action", ["read", "write"])
@pytest.mark.parametrize(
    ("swapped", "target"),
    [
        ("docs/deep", ".lumenflow/state"),
        ("docs/deep", "../outside"),
        ("docs/deep/enrollment.json", ".lumenflow/state/enrollment.json"),
        ("docs/deep/secret", "../outside/secret"),
    ],
)
def test_a_name_swapped_for_a_link_at_any_moment_leads_nowhere(
    root: Path, everything: WorkspaceFiles, swapped: str, target: str, action: str
) -> None:
    place, aside = root / swapped, root / "docs/aside"
    (root / "docs/deep/enrollment.json").write_bytes(b"harmless")
    (root / "docs/deep/secret").write_bytes(b"harmless")
    path = (
        swapped
        if swapped != "docs/deep"
        else f"docs/deep/{'secret' if '..' in target else 'enrollment.json'}"
    )
    kept = {name: snapshot(root / name) for name in (".lumenflow", "../outside")}
    swaps = 0
    for moment in range(12):
        with pytest.MonkeyPatch.context() as patch:
            swapping(patch, moment, place, aside, (root / target).resolve())
            try:
                if action == "read":
                    assert b"harmless" == everything.read_bytes(path)
                else:
                    everything.write_bytes(path, b"harmless")
            except (ScopeDenied, OSError):
                pass
        assert kept == {name: snapshot(root / name) for name in kept}
        if aside.exists():
            swaps += 1
            if place.is_symlink() or place.is_file():
                place.unlink()
            aside.rename(place)
    assert swaps > 2


def test_a_thread_that_swaps_links_all_the_time_gets_nothing_out_or_in(
    root: Path, everything: WorkspaceFiles
) -> None:
    place, aside = root / "docs/deep", root / "docs/aside"
    (place / "secret").write_bytes(b"harmless")
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            place.rename(aside)
            place.symlink_to(root.parent / "outside")
            place.unlink()
            aside.rename(place)

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen: set[bytes] = set()
    try:
        for number in range(1500):
            try:
                if number % 3:
                    seen.add(everything.read_bytes("docs/deep/secret"))
                else:
                    everything.write_bytes("docs/deep/secret", b"harmless")
            except (ScopeDenied, OSError):
                continue
    finally:
        ended.set()
        swapper.join()
    assert seen <= {b"harmless"}
    assert {"secret": SECRET} == snapshot(root.parent / "outside")
