"""Which version of every file is in force, found without a lock.

Promise: the versions of one survey were in force at one instant, also while another process puts a
commit in place, and also where a dead one left that to others. Refusal: nothing is created, written
or locked.

How: a commit that was decided counts as done, so for each file that it moves the temporary one is
looked at as long as it is there; renaming keeps a signature. Without a commit the files are looked
at twice, around the moment at which there was none: what is the same on both sides was in force
then, since no version ever comes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from conductor_packs.sidekick.storage import directory as files
from conductor_packs.sidekick.storage.commit import Append, Commit, read_commit
from conductor_packs.sidekick.storage.directory import Signature
from conductor_packs.sidekick.storage.errors import StoreBusy
from conductor_packs.sidekick.storage.layout import AUDIT, PLACES

_TRIES = 10_000


class Moved(BaseException):
    """A file is no longer the version that the survey saw; survey again.

    Not an `Exception`: it passes through a caller's work, which must not mistake it for its own.
    """


@dataclass(frozen=True, slots=True)
class Located:
    """Where a store's content is in force."""

    version: Signature
    legacy: bool = False
    temporary: str | None = None
    """Its other name, as long as a commit has not been put in place."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What is in force."""

    stores: Mapping[str, Located]
    """By the store's name; a store without a file is missing."""
    audit: Signature | None
    """The open audit file."""
    append: Append | None
    """Audit lines that count, and are perhaps not in that file yet."""


def survey(root: int) -> Survey:
    """Look at the files below `root`.

    Raises:
        StorageError: They cannot be looked at.
    """
    for _ in range(_TRIES):
        commit = read_commit(root)
        found = _look(root, commit)
        if read_commit(root) != commit:
            continue
        if commit is None and _look(root, None) != found:
            continue
        return found
    raise StoreBusy("it changed at every look")


def _look(root: int, commit: Commit | None) -> Survey:
    moves = {move.store: move.temporary for move in commit.moves} if commit else {}
    stores = {name: located for name in PLACES if (located := _locate(root, name, moves.get(name)))}
    return Survey(stores, files.status_of(root, AUDIT.path), commit.audit if commit else None)


def _locate(root: int, store: str, temporary: str | None) -> Located | None:
    place = PLACES[store]
    if temporary is not None:
        version = files.status_of(root, f"{place.directory}/{temporary}")
        if version is not None:
            return Located(version, temporary=temporary)
    version = files.status_of(root, place.path)
    if version is not None:
        return Located(version)
    if place.legacy is not None:
        version = files.status_of(root, f"{place.directory}/{place.legacy}")
        if version is not None:
            return Located(version, legacy=True)
    return None
