"""A verifier in one file: `conductor log verifier > verify.py`, then `python verify.py --help`.

Promise: it needs Python 3.11 and nothing else, neither the journal's file nor any package, and it
was written from the formats alone, so it is a second opinion on the program that made the proof.
Refusal: it vouches for no checkpoint. Whoever has none of their own, and no key, learns only that
entry and checkpoint belong together.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import sys
from functools import reduce
from pathlib import Path

EMPTY = hashlib.sha256().digest()
FIELDS = ("time", "event_type", "actor", "session_id", "task_id", "payload")
TEXTS = ("log_id", *FIELDS, "previous", "hash")


class Wrong(Exception):
    """What is claimed is not so."""


class Unreadable(Exception):
    """The input is not what it has to be."""


class Note:
    """A checkpoint and its signature lines."""

    def __init__(self, text: str) -> None:
        self.body, blank, signatures = text.partition("\n\n")
        self.body += "\n"
        lines = self.body.split("\n")
        if not blank or len(lines) != 4 or not lines[1].isdecimal():  # noqa: PLR2004  three and an end
            raise Unreadable("not a checkpoint")
        self.origin, self.size, self.root = lines[0], number(lines[1]), unbase64(lines[2])
        self.signatures: list[tuple[str, bytes]] = []
        for line in signatures.splitlines():
            dash, name, blob = [*line.split(" "), "", "", ""][:3]
            if dash != "\u2014" or line.count(" ") != 2:  # noqa: PLR2004  dash, name, blob
                raise Unreadable("a signature line is malformed")
            self.signatures.append((name, unbase64(blob)))


def number(text: str) -> int:
    """Read a decimal number without a sign and without leading zeros."""
    if not (text.isascii() and text.isdigit()) or text != str(int(text[:20])):
        raise Unreadable(f"{text[:40]!a} is not a number")
    return int(text)


def unbase64(text: str) -> bytes:
    """Read base64 strictly."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    if base64.b64encode(data).decode() != text:
        raise Unreadable(f"{text[:40]!a} is not base64")
    return data


def leaf(entry: bytes) -> bytes:
    """Hash a leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Hash an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def climb(index: int, size: int, digest: bytes, path: list[bytes]) -> tuple[bytes, list[bytes]]:
    """Return the root that a path leads to, and the siblings of the path that are on the left."""
    if not 0 <= index < size:
        raise Wrong(f"index {index} is not in a tree of {size}")
    left: list[bytes] = []
    last, rest = size - 1, list(path)
    while last:
        if index % 2 or index < last:
            if not rest:
                raise Wrong("the proof is too short")
            sibling = rest.pop(0)
            if index % 2:
                left.append(sibling)
                digest = node(sibling, digest)
            else:
                digest = node(digest, sibling)
        index, last = index // 2, last // 2
    if rest:
        raise Wrong("the proof is too long")
    return digest, left


def check_growth(old: int, old_root: bytes, note: Note, path: list[bytes]) -> None:
    """Check that the note's tree begins with a tree of `old` leaves."""
    if old > note.size:
        raise Wrong(f"size {note.size} is smaller than {old}: the log was cut")
    if old in {0, note.size}:
        known = EMPTY if old == 0 else note.root
        if path or old_root != known:
            raise Wrong("the roots differ, or the proof is too long")
        return
    index, size, levels = old - 1, note.size, 0
    while index % 2:  # up to the largest complete subtree that ends the old tree
        index, levels = index // 2, levels + 1
    size = (size - 1 >> levels) + 1
    start = [old_root, *path] if old & (old - 1) == 0 else path
    if not start:
        raise Wrong("the proof is too short")
    new_root, left = climb(index, size, start[0], start[1:])
    before = start[0]
    for sibling in left:
        before = node(sibling, before)
    if before != old_root:
        raise Wrong("the proof does not begin with the old root")
    if new_root != note.root:
        raise Wrong("the proof does not lead to the checkpoint")


def text_bytes(value: str) -> bytes:
    """Encode a string: four bytes of length, then UTF-8."""
    data = value.encode()
    return len(data).to_bytes(4, "big") + data


def entry_bytes(entry: dict[str, str], version: int, sequence: int) -> bytes:
    """Encode an entry as it is hashed."""
    head = text_bytes("conductor.journal.entry") + version.to_bytes(8, "big")
    head += text_bytes(entry["previous"]) + text_bytes(entry["log_id"])
    return head + sequence.to_bytes(8, "big") + b"".join(text_bytes(entry[n]) for n in FIELDS)


def read_entry(data: bytes) -> dict[str, object]:
    """Decode an entry's bytes; they must be exactly an entry."""
    at = 0

    def take(count: int) -> bytes:
        nonlocal at
        at += count
        if at > len(data):
            raise Unreadable("the entry is too short")
        return data[at - count : at]

    def text() -> str:
        try:
            return take(int.from_bytes(take(4), "big")).decode()
        except UnicodeDecodeError:
            raise Unreadable("the entry is not text") from None

    if text() != "conductor.journal.entry" or int.from_bytes(take(8), "big") != 1:
        raise Unreadable("not an entry of chain version 1")
    entry: dict[str, object] = {"previous": text(), "log_id": text()}
    entry["sequence"] = int.from_bytes(take(8), "big")
    entry.update((name, text()) for name in FIELDS)
    if at != len(data):
        raise Unreadable("the entry is too long")
    return entry


def check_proof(text: str) -> tuple[Note, dict[str, object]]:
    """Check an inclusion proof; return its checkpoint and its entry."""
    above, _, below = text.partition("\n\n")
    header, extra, index = [*above.split("\n"), "", ""][:3]
    hashes = above.split("\n")[3:]
    words = extra.startswith("extra ") and index.startswith("index ")
    if header != "c2sp.org/tlog-proof@v1" or not words:
        raise Unreadable("not a tlog-proof of ours")
    data, at, note = unbase64(extra[6:]), number(index[6:]), Note(below)
    entry = read_entry(data)
    root, _ = climb(at, note.size, leaf(data), [unbase64(line) for line in hashes])
    if root != note.root:
        raise Wrong("the proof does not lead to the checkpoint")
    if entry["sequence"] != at + 1 or note.origin != f"conductor.journal/{entry['log_id']}":
        raise Wrong("the entry is not the one that the checkpoint's log has there")
    return note, entry


def check_consistency(text: str, kept: Note) -> Note:
    """Check that a consistency proof leads from a kept checkpoint to its own."""
    above, _, below = text.partition("\n\n")
    first, *hashes = above.split("\n")
    if not first.startswith("old "):
        raise Unreadable("not a consistency proof")
    old, note = number(first[4:]), Note(below)
    if (old, note.origin) != (kept.size, kept.origin):
        raise Wrong(f"it proves growth from {old} of {note.origin}, not from what was kept")
    check_growth(old, kept.root, note, [unbase64(line) for line in hashes])
    return note


def check_export(path: str, kept: Note | None) -> tuple[int, str]:
    """Check every entry of an export and every link; return how many and the last hash."""
    peaks: list[bytes] = []
    size, head, log_id, seen = 0, "", "", kept is None or (kept.size == 0 and kept.root == EMPTY)
    with Path(path).open(encoding="utf-8") as lines:
        for line in lines:
            try:
                found = json.loads(line)
                version, sequence = found["chain_version"], found["sequence"]
                entry = {name: found[name] for name in TEXTS}
                data = entry_bytes(entry, version, sequence)
            except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
                raise Unreadable(f"line {size + 1} is not an entry") from None
            if not size:
                log_id = entry["log_id"]
                start = text_bytes("conductor.journal.genesis") + (1).to_bytes(8, "big")
                head = hashlib.sha256(start + text_bytes(log_id)).hexdigest()
            fits = hashlib.sha256(data).hexdigest() == entry["hash"]
            if not fits or (version, sequence, entry["previous"], entry["log_id"]) != (
                1, size + 1, head, log_id,
            ):  # fmt: skip
                raise Wrong(f"entry {size + 1} is altered, missing or does not follow")
            digest, bits = leaf(data), size
            while bits % 2:
                digest, bits = node(peaks.pop(), digest), bits // 2
            peaks.append(digest)
            size, head = size + 1, entry["hash"]
            if kept is not None and size == kept.size:
                root = reduce(lambda right, left: node(left, right), reversed(peaks))
                seen = kept.origin == f"conductor.journal/{log_id}" and root == kept.root
    if not seen:
        raise Wrong("the export does not contain the log of the checkpoint")
    return size, head


def check_key(note: Note, key: str) -> None:
    """Check the signature of a shared secret, as `conductor log key` writes it."""
    words = [*key.split(), "", "", ""]
    if words[:2] != ["conductor-key-v1", "hmac-sha256"]:
        raise Unreadable("only keys of the kind hmac-sha256 can be checked without packages")
    secret, name = unbase64(words[2]), f"{note.origin}/shared-secret"
    kind = b"\xffconductor.hmac-sha256.shared-secret" + hmac.digest(secret, b"key id", "sha256")
    wanted = hashlib.sha256(name.encode() + b"\n" + kind).digest()[:4]
    wanted += hmac.digest(secret, b"note\n" + note.body.encode(), "sha256")
    if not any(n == name and hmac.compare_digest(s, wanted) for n, s in note.signatures):
        raise Wrong("the checkpoint is not signed with this key")


def say(*lines: str) -> None:
    """Print lines, control characters escaped."""
    for line in lines:
        shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
        sys.stdout.write("".join(shown) + "\n")


def run(options: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    kept = Note(Path(options.checkpoint).read_text("utf-8")) if options.checkpoint else None
    if options.export:
        size, head = check_export(options.proof, kept)
        say(f"chain         OK: {size} entries, head {head}")
        say(f"completeness  {'UNANCHORED: no --checkpoint was given' if kept is None else 'OK'}")
        return
    text = Path(options.proof).read_text("utf-8")
    if options.consistency:
        if kept is None:
            raise Unreadable("--consistency needs the checkpoint that you kept: --checkpoint FILE")
        note = check_consistency(text, kept)
        say(f"consistency   OK: size {note.size} begins with size {kept.size}")
    else:
        note, entry = check_proof(text)
        if kept is not None and kept.body != note.body:
            raise Wrong("the proof leads to another checkpoint than the one you kept")
        say(f"inclusion     OK: entry {entry['sequence']} of {note.origin}, size {note.size}")
        say(*(f"{name:<14}{entry[name]}" for name in FIELDS))
    if options.key:
        check_key(note, Path(options.key).read_text("utf-8"))
        say("signature     OK: made with the shared secret")
    elif kept is None:
        say("checkpoint    UNANCHORED: compare it with one that you kept, or give --key")


def main(arguments: list[str] | None = None) -> int:
    """Check a file; return 0 where it holds, 4 where it does not, 2 where it cannot be read."""
    parser = argparse.ArgumentParser(description="Verify a proof or an export of a journal.")
    parser.add_argument("proof", help="a .tlog-proof, a consistency proof or an export")
    parser.add_argument("--consistency", action="store_true", help="it is a consistency proof")
    parser.add_argument("--export", action="store_true", help="it is an export (JSON lines)")
    parser.add_argument("--checkpoint", metavar="FILE", help="the checkpoint that you kept")
    parser.add_argument("--key", metavar="FILE", help="the shared secret of the signature")
    try:
        run(parser.parse_args(arguments))
    except Wrong as error:
        say(f"WRONG: {error}")
        return 4
    except (Unreadable, OSError, UnicodeDecodeError) as error:
        say(f"UNREADABLE: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
