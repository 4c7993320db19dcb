"""A small file of checkpoints: the last one that was signed, or the last one a witness took.

Promise: comparing with what is kept and keeping the next one happen under one OS lock, and a new
content is durable and whole before the lock is given back. Refusal: a file that cannot be read is
never taken for an empty one, because forgetting is what it guards against.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

from conductor_sdk.chain.checkpoint import (
    Checkpoint,
    CheckpointMalformed,
    decode,
    encode,
)
from conductor_sdk.errors import ConductorError, Exit
from conductor_state.private_file import write_private

_FORMAT = 1


class HeadsUnreadable(ConductorError):
    """The file of kept checkpoints cannot be read, so nothing is compared with it."""

    code = "KEPT_CHECKPOINTS_UNREADABLE"
    default_hint = "look at the file; take a copy of it from a backup, do not remove it"
    exit_code = Exit.INTEGRITY


class KeptHeads:
    """The content of such a file while its lock is held."""

    def __init__(self, path: Path, heads: dict[str, Checkpoint]) -> None:
        self._path = path
        self._heads = heads

    def get(self, origin: str) -> Checkpoint | None:
        """Return what is kept of a log."""
        return self._heads.get(origin)

    def all(self) -> list[Checkpoint]:
        """Return everything that is kept, by origin."""
        return [self._heads[origin] for origin in sorted(self._heads)]

    def put(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in the place of its log's last one; durable when this returns.

        Raises:
            HeadsUnreadable: The disk refused; what was kept is unchanged.
        """
        heads = {**self._heads, checkpoint.origin: checkpoint}
        content = {
            "format": _FORMAT,
            "heads": {
                origin: {"size": head.size, "root": encode(head.root)}
                for origin, head in sorted(heads.items())
            },
        }
        try:
            write_private(self._path, (json.dumps(content, indent=2) + "\n").encode())
        except OSError as error:
            raise HeadsUnreadable(f"{self._path}: {error.strerror}") from error
        self._heads = heads


@contextlib.contextmanager
def holding_heads(path: Path) -> Generator[KeptHeads]:
    """Hold the file's lock and read it; waits for whoever holds it, who is never long.

    Raises:
        HeadsUnreadable: There is content that is not ours, or no way to the file.
    """
    lock = path.with_name(f"{path.name}.lock")
    try:
        opened = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise HeadsUnreadable(f"{lock}: {error.strerror}") from error
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield KeptHeads(path, _read(path))
    finally:
        os.close(opened)


def read_heads(path: Path) -> list[Checkpoint]:
    """Return what a file keeps, without a lock; nothing where there is no file.

    Raises:
        HeadsUnreadable: Its content is not ours.
    """
    heads = _read(path)
    return [heads[origin] for origin in sorted(heads)]


def _read(path: Path) -> dict[str, Checkpoint]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise HeadsUnreadable(f"{path}: {error}") from error
    try:
        content = cast("dict[str, Any]", json.loads(text))
        if content["format"] != _FORMAT:
            raise HeadsUnreadable(f"{path} has a format that this program does not know")
        heads = cast("dict[str, dict[str, Any]]", content["heads"])
        return {
            origin: Checkpoint(origin, int(head["size"]), decode(head["root"]))
            for origin, head in heads.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, CheckpointMalformed) as error:
        raise HeadsUnreadable(f"{path} is not such a file ({type(error).__name__})") from error
