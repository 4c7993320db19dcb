"""Full-text recall: one tokenizer, one ranking and one order on every adapter.

Promise: the same memories and the same query give the same hits, scores and snippets, whether they
live in a file, in memory or in SQLite: all of them are ranked by SQLite's FTS5 (bm25), so there is
no second ranking that could drift. Refusal: no text of a user reaches FTS5's query language.

The tokenizer is `unicode61` (letters and digits, case and diacritics ignored) under `porter`
(English word stems).
"""

from __future__ import annotations

import re
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import groupby, islice
from operator import attrgetter, itemgetter
from typing import TypeVar

from conductor_packs.sidekick.records import Memory
from conductor_packs.sidekick.storage.port import (
    SNIPPET_CLOSE,
    SNIPPET_OPEN,
    MemoryHit,
    MemoryQuery,
)
from conductor_packs.sidekick.storage.statements import statements

_WORD = re.compile(r'"([^"\0]*)"|(\w+)')
_PREFIX_FROM = 3
_WORDS_MAX = 64
_SNIPPET_CHARS = 160
_ELLIPSIS = "…"

T = TypeVar("T")
Lookup = Callable[[str], Memory | None]


class MemoryIndex:
    """An index in memory over records that live elsewhere; follows them by difference."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._indexed: Mapping[str, Memory] = {}
        self._rows: dict[str, int] = {}
        self._last_row = 0

    def search(self, query: MemoryQuery, memories: Mapping[str, Memory]) -> list[MemoryHit]:
        """Search these memories; the index is brought up to them first."""
        if not _terms(query.text):
            return search(None, query, memories.values, memories.get)
        with self._lock:
            connection = self._follow(memories)
            return search(connection, query, memories.values, memories.get)

    def close(self) -> None:
        """Forget everything; the next search begins anew."""
        with self._lock:
            connection, self._connection = self._connection, None
            self._indexed, self._rows = {}, {}
            if connection is not None:
                connection.close()

    def _follow(self, memories: Mapping[str, Memory]) -> sqlite3.Connection:
        connection = self._connection
        if connection is None:
            connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
            connection.execute(statements("fulltext")["create_text"])
            self._connection = connection
            weakref.finalize(self, connection.close)
        if memories is not self._indexed:
            self._apply(connection, memories)
            self._indexed = memories
        return connection

    def _apply(self, connection: sqlite3.Connection, memories: Mapping[str, Memory]) -> None:
        sql = statements("fulltext")
        before = self._indexed
        gone = [key for key in before if key not in memories]
        new = [
            memory
            for key, memory in memories.items()
            if (old := before.get(key)) is not memory
            and (old is None or old.content != memory.content)
        ]
        connection.execute("BEGIN")
        for key in [*gone, *(memory.id for memory in new if memory.id in self._rows)]:
            connection.execute(sql["drop_text"], (self._rows.pop(key),))
        connection.executemany(sql["put_text"], (self._row(memory) for memory in new))
        connection.execute("COMMIT")

    def _row(self, memory: Memory) -> tuple[int, str, str]:
        self._last_row += 1
        self._rows[memory.id] = self._last_row
        return self._last_row, memory.content, memory.id


def search(
    connection: sqlite3.Connection | None,
    query: MemoryQuery,
    memories: Callable[[], Iterable[Memory]],
    lookup: Lookup,
) -> list[MemoryHit]:
    """Answer a query.

    Args:
        connection: Has the table of `create_text` filled; not needed without words to look for.
        query: What to find.
        memories: Gives all of them.
        lookup: Gives the memory of an id.
    """
    terms = _terms(query.text)
    if connection is not None and terms:
        page = list(_page(_matches(connection, terms, query, lookup), query))
        # An empty later page is an answer; only where no word matches at all, the text itself is
        # looked for: parts of words, and scripts that are written without blanks.
        if page or (query.offset and any(_matches(connection, terms, query, lookup))):
            return [_hit(connection, " OR ".join(terms), *match) for match in page]
    needle = (query.text or "").strip().casefold()
    found = [
        memory
        for memory in memories()
        if _passes(memory, query) and (not needle or needle in memory.content.casefold())
    ]
    found.sort(key=attrgetter("id"))
    found.sort(key=attrgetter("updated_at"), reverse=True)
    return [
        MemoryHit(memory, 0.0, _excerpt(memory.content, needle)) for memory in _page(found, query)
    ]


def _terms(text: str | None) -> list[str]:
    """Translate a user's words and phrases for FTS5; each is quoted, so nothing is code."""
    terms: dict[str, None] = {}
    for phrase, word in _WORD.findall(text or ""):
        if word:
            terms[f'"{word}"' + ("*" if len(word) >= _PREFIX_FROM else "")] = None
        elif re.search(r"\w", phrase):
            terms[f'"{phrase}"'] = None
    return list(islice(terms, _WORDS_MAX))


def _matches(
    connection: sqlite3.Connection, terms: list[str], query: MemoryQuery, lookup: Lookup
) -> Iterator[tuple[Memory, float, int]]:
    """Yield what has all the terms, then what has some; among few memories bm25 cannot tell."""
    before: set[int] = set()
    for joint in (" AND ", " OR ") if len(terms) > 1 else (" OR ",):
        rows = connection.execute(statements("fulltext")["match"], (joint.join(terms),))
        for rank, equals in groupby(rows, key=itemgetter(1)):
            new = [(row[0], row[2]) for row in equals if row[2] not in before]
            found = ((lookup(record_id), row) for record_id, row in new)
            passed = [
                (memory, rank, row)
                for memory, row in found
                if memory is not None and _passes(memory, query)
            ]
            passed.sort(key=lambda match: match[0].id)
            passed.sort(key=lambda match: match[0].updated_at, reverse=True)
            yield from passed
            before.update(row for _, row in new)


def _hit(
    connection: sqlite3.Connection, expression: str, memory: Memory, rank: float, row: int
) -> MemoryHit:
    # A query of its own, for the chosen ones alone: a snippet costs more than a rank.
    mark = (SNIPPET_OPEN, SNIPPET_CLOSE, _ELLIPSIS)
    found = connection.execute(statements("fulltext")["snippet"], (*mark, expression, row))
    return MemoryHit(memory, -rank, found.fetchone()[0])


def _page(found: Iterable[T], query: MemoryQuery) -> Iterator[T]:
    end = None if query.limit is None else query.offset + query.limit
    return islice(found, query.offset, end)


def _passes(memory: Memory, query: MemoryQuery) -> bool:
    if query.type is not None and memory.type != query.type:
        return False
    if query.tags:
        has = {tag.casefold() for tag in memory.tags}
        if not all(tag.casefold() in has for tag in query.tags):
            return False
    if query.since is None and query.until is None:
        return True
    updated = _moment(memory.updated_at)
    if updated is None:
        return False
    if query.since is not None and updated < query.since:
        return False
    return query.until is None or updated < query.until


def _excerpt(content: str, needle: str) -> str:
    at = content.casefold().find(needle) if needle else 0
    start = max(0, at - _SNIPPET_CHARS // 2) if at > 0 else 0
    end = start + _SNIPPET_CHARS
    before = _ELLIPSIS if start else ""
    return f"{before}{content[start:end]}{_ELLIPSIS if end < len(content) else ''}"


def _moment(text: str) -> datetime | None:
    """Read a stored time; one that was written by hand may be without a zone, or no time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
